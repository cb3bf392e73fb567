//! Clients of Carillon, written from its documented protocol alone: what they read and write of it they
//! share with neither the services nor `carillon-client`, so that a change of the wire shows, and a fault
//! of that client, too. Each frame that passes is held against its schema in docs/asyncapi.json.

mod device;
mod driver;
mod events;
mod record;
mod rest;
pub mod schemas;
mod simple;
mod socket;
mod targets;
#[cfg(test)]
mod tests;
pub mod token;
mod v1;

pub use events::{Ask, Event, EventStream, Heard};
pub use record::{Journal, Received, Record};
pub use rest::{Accepted, Api, Refusal, broadcast, notification};
pub use simple::{SimpleClient, SimpleOptions};
pub use socket::{Handshake, Incoming, Socket, TokenIn};
pub use targets::Targets;
pub use v1::{Acks, V1Client, V1Options};

/// Gives a token for each connection.
pub type TokenSource = std::sync::Arc<dyn Fn() -> String + Send + Sync>;

/// A source that always gives the same token.
pub fn fixed(token: impl Into<String>) -> TokenSource {
    let token = token.into();
    std::sync::Arc::new(move || token.clone())
}
