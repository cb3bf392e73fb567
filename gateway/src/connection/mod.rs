//! One connection: the only place that reads and writes its socket.

mod arrived;
mod close;
mod effects;
mod inputs;
mod outgoing;
mod rewound;
mod run_loop;
mod screen;
mod writing;

use std::time::Duration;

use carillon_common::{backend::Clock, protocol::CloseCode};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_tungstenite::WebSocketStream;

use crate::{metrics::Counters, session::Now, store::Calls};
pub(crate) use arrived::Arrived;
pub(crate) use close::{close_refused, close_refused_at_once};
pub(crate) use effects::{Ending, Gathered, Wire, carry_out};
pub(crate) use inputs::on_mail;
pub(crate) use rewound::Rewound;
use run_loop::run_loop;
pub(crate) use screen::Screen;
pub(crate) use writing::{write, written};

/// A socket that speaks WebSocket.
pub(crate) type Socket = WebSocketStream<Screen>;

/// What a connection works with.
#[derive(Clone)]
pub(crate) struct Context {
    /// The way to the store.
    pub calls: Calls,
    /// The store's time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Counters,
    /// How long a client may leave its outbox full.
    pub slow: Duration,
    /// How long a client may take to answer a close frame.
    pub close_grace: Duration,
}

impl Context {
    /// The time, by both clocks.
    pub(crate) fn now(&self) -> Now {
        Now {
            mono: Instant::now(),
            wall: self.clock.now(),
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Who began it: `client`, `server`, or `none` when it broke.
    pub initiator: &'static str,
    /// The close code, 1006 when there was none.
    pub code: u16,
    /// The client closed it with a frame of its own.
    pub clean: bool,
    /// The client answered our close frame, so it has read everything before it.
    pub confirmed: bool,
}

impl End {
    /// It broke.
    pub(crate) const BROKEN: Self = Self {
        initiator: "none",
        code: 1006,
        clean: false,
        confirmed: false,
    };

    /// The client of an event stream closed its side.
    pub(crate) const LEFT: Self = Self {
        initiator: "client",
        code: 1005,
        clean: true,
        confirmed: false,
    };

    /// Closed here; `confirmed` as above.
    pub(crate) fn here(code: CloseCode, confirmed: bool) -> Self {
        Self {
            initiator: "server",
            code: code.code(),
            clean: false,
            confirmed,
        }
    }

    /// Given up because the client did not read.
    pub(crate) fn slow() -> Self {
        Self::here(CloseCode::SlowConsumer, false)
    }
}

/// A connection about to begin.
pub(crate) struct Opened {
    /// Its handshake is done.
    pub socket: Socket,
    /// Its session.
    pub arrived: Arrived,
    /// Its part of the gateway's limit, given back when it ends.
    pub place: OwnedSemaphorePermit,
}

/// Runs a connection to its end and reports that to the store. Boxed, so that nothing large is a
/// part of the task (and moved into it) twice.
pub(crate) async fn run(mut opened: Box<Opened>, context: &Context) -> End {
    let end = run_loop(&mut opened.socket, &mut opened.arrived, context).await;
    let Opened { arrived, place, .. } = *opened;
    arrived.end(context, end.clean, end.confirmed);
    drop(place);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The allocator has no size between 1 024 and 1 280 bytes.
    #[test]
    fn a_connection_is_small() {
        let size = size_of::<Opened>();
        assert!(size <= 1_024, "{size} bytes each");
    }
}
