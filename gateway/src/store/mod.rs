//! What sessions ask of the store, and its answers.

mod calls;
mod rarely;

pub(crate) use calls::Calls;
