//! What sessions ask of the store, and its answers.

mod calls;
mod retry;

pub(crate) use calls::Calls;
