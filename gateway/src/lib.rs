//! The Carillon gateway: holds WebSocket connections and delivers to them.
//!
//! It talks to clients and to the store, to nothing else, and keeps nothing that a client could
//! not get from another gateway.

mod accept;
mod admission;
mod arrival;
mod bus;
mod busiest;
mod calls;
mod channels;
mod closing;
mod connection;
mod forwarded;
mod gateway;
mod handshake;
mod head;
mod hello;
mod hub;
mod inspect;
mod mailbox;
mod metrics;
mod moving;
mod outgoing;
mod push;
mod rate;
mod refusals;
mod refusing;
mod rewound;
mod screen;
mod session;
mod traced;
mod upkeep;

pub use gateway::Gateway;
pub use inspect::ADMIN_ROUTES;
