//! The Carillon gateway: holds WebSocket connections and delivers to them.
//!
//! It talks to clients and to the store, to nothing else, and keeps nothing that a client could
//! not get from another gateway.

mod accept;
mod admission;
mod arrival;
mod bus;
mod calls;
mod channels;
mod connection;
mod gateway;
mod hello;
mod hub;
mod mailbox;
mod metrics;
mod moving;
mod outgoing;
mod push;
mod rarely;
mod refusals;
mod session;
mod upkeep;

pub use gateway::Gateway;
