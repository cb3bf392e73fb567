//! The whole-system tests, in one binary.

mod acl;
mod bad_input;
mod channels;
mod contract;
mod delivery;
mod tidy;
mod world;
