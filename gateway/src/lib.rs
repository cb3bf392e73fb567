//! The Carillon gateway: holds WebSocket connections and event streams, and delivers to them.
//!
//! It talks to clients and to the store, to nothing else, and keeps nothing that a client could
//! not get from another gateway.

mod busiest;
mod connection;
mod gateway;
mod handshake;
mod inspect;
mod limits;
mod metrics;
mod parts;
mod push;
mod routing;
mod session;
mod store;
mod stream;
mod upkeep;

pub use inspect::ADMIN_ROUTES;
pub use parts::Gateway;
