//! The Redis store: standalone, Sentinel or Cluster, 7.0 or later, or Valkey.
//!
//! Each of these imports only from those that are named before it:
//! - [`link`] and [`bus`] know Redis and nothing of notifications;
//! - [`functions`] calls a library, [`version`] says which; that library (`carillon_3/`), `calls`, [`keys`],
//!   [`wire`] and `reply` are the data, and [`trace`] only looks at it;
//! - `history` is what each partition serves, `shared` what a process knows of its store, `believing` how it calls
//!   functions, `logs` what it reads of channels;
//! - `lease` reads leases and reaps, `lease_tasks` keep one; `words` are left for gateways, `rolls` what they answer;
//! - `revoked` and `tickets` are what is kept about tokens;
//! - `membership` is the gateway's side; `accepting`, `lending`, `store`, `reading`, `scheduled` and `assigned` are the
//!   dispatcher's, `tokens` is both's.

mod accepting;
mod assigned;
mod believing;
pub mod bus;
mod calls;
pub mod functions;
mod history;
pub mod keys;
mod lease;
mod lease_tasks;
mod lending;
pub mod link;
mod logs;
mod membership;
mod reading;
mod reply;
mod revoked;
mod rolls;
mod scheduled;
mod shared;
mod store;
mod tickets;
mod tokens;
pub mod trace;
pub mod version;
pub mod wire;
mod words;

pub use shared::RedisOptions;
pub use store::RedisBackend;
pub use version::library;
