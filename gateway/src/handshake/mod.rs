//! How a socket of the public port becomes a connection, or is refused.

mod accept;
mod cookie;
mod cors;
mod deny;
mod enter;
mod forwarded;
mod head;
mod hello;
mod proxy_protocol;
mod refuse;
mod request;
mod stream;
mod switch;
mod turn_away;
mod upgrade;

use std::net::IpAddr;

use carillon_common::http::Place;
use tokio::net::TcpStream;

use crate::parts::Gateway;

pub(crate) use accept::accept;

/// A socket that is not a connection yet.
struct Guest {
    stream: TcpStream,
    /// The peer's, until its head names the client's.
    address: IpAddr,
    /// Among those that are not connections yet.
    place: Place,
}

impl Gateway {
    /// Counts a socket that did not become a connection.
    fn rejected(&self, reason: &str) {
        let rejected = &self.metrics.all.handshakes_rejected;
        rejected.with_label_values(&[reason]).inc();
    }
}
