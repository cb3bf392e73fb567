//! The contract: what is committed is what the code makes, what is released is not broken, every frame is described,
//! and a running service answers as it says.

mod asked;
mod committed;
mod frames;
mod fuzz;
