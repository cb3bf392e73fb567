//! The Redis store.

pub mod keys;
pub mod wire;
