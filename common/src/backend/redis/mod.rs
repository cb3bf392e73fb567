//! The Redis store.

pub mod bus;
pub mod commit;
pub mod functions;
pub mod keys;
pub mod link;
pub mod topology;
pub mod url;
pub mod wire;
