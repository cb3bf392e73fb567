//! One event stream: the only place that writes to its socket.
//!
//! Server-sent events, as the HTML standard has them (section 9.2). The session is the one that sockets have; only what
//! it writes becomes events, and its client can say nothing.

mod answer;
mod events;
mod run_loop;

use std::time::Duration;

use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

use crate::connection::{Arrived, Context, End};

pub(crate) use answer::{CORS, Framing, head, told_to_wait};
use run_loop::run_loop;

/// A stream about to begin.
pub(crate) struct Opened {
    /// Its answer has begun.
    pub stream: TcpStream,
    /// How the rest of it is written.
    pub framing: Framing,
    /// When its client comes back, if it breaks.
    pub retry: Duration,
    /// Its session.
    pub arrived: Arrived,
    /// Its part of the gateway's limit, given back when it ends.
    pub place: OwnedSemaphorePermit,
}

/// Runs a stream to its end and reports that to the store.
pub(crate) async fn run(mut opened: Box<Opened>, context: &Context) -> End {
    let end = run_loop(&mut opened, context).await;
    let Opened { arrived, place, .. } = *opened;
    arrived.end(context, end.clean, end.confirmed);
    drop(place);
    end
}

#[cfg(test)]
mod tests;
