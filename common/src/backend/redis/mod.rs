//! The Redis store: standalone, Sentinel or Cluster, 7.0 or later, or Valkey.
//!
//! Each of these imports only from those that are named before it:
//! - [`link`] and [`bus`] know Redis and nothing of notifications;
//! - [`functions`] calls a library, [`version`] says which; that library (`carillon_2/`), `calls`, [`keys`],
//!   [`wire`] and `reply` are the data, and [`trace`] only looks at it;
//! - `history` is what each partition serves, `shared` what a process knows of its store, `believing` how it calls
//!   functions;
//! - `lease` reads leases and reaps, `lease_tasks` keep one;
//! - `membership` is the gateway's side, `accepting` and `store` are the dispatcher's.

mod accepting;
mod believing;
pub mod bus;
mod calls;
pub mod functions;
mod history;
pub mod keys;
mod lease;
mod lease_tasks;
pub mod link;
mod membership;
mod reply;
mod shared;
mod store;
pub mod trace;
pub mod version;
pub mod wire;

pub use shared::RedisOptions;
pub use store::RedisBackend;
pub use version::library;
