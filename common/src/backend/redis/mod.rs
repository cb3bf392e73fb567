//! The Redis store: standalone, Sentinel or Cluster, 7.0 or later, or Valkey.
//!
//! [`link`], [`functions`] and [`bus`] know Redis and nothing of notifications;
//! [`keys`], [`wire`] and `carillon_2/` are the data, and [`trace`] only looks at it; [`store`] and [`membership`] bring them
//! together.

mod accepting;
pub mod bus;
mod calls;
pub mod functions;
mod history;
pub mod keys;
pub mod lease;
mod lease_tasks;
pub mod link;
pub mod membership;
mod reply;
pub mod store;
pub mod trace;
pub mod version;
pub mod wire;

pub use store::{RedisBackend, RedisOptions};
pub use version::library;
