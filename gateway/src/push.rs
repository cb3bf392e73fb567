//! A notification on its way from the bus to many sockets, encoded once for each dialect.

use std::sync::{Arc, OnceLock};

use carillon_common::{
    backend::Gap,
    ids::{ChannelName, Cursor, Millis},
    notification::Frame,
    protocol::{Dialect, notification_simple, notification_v1},
    telemetry::spans::{Delivery, Destination, Spans},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A notification as the bus brought it.
#[derive(Debug)]
pub(crate) struct Push {
    /// The notification and its place.
    pub frame: Frame,
    /// The position that it continues.
    pub prev: Cursor,
    /// What tells of its way to sockets, where it is traced.
    pub trace: Option<Box<Delivery>>,
    simple: OnceLock<Utf8Bytes>,
    v1: OnceLock<Utf8Bytes>,
}

/// Which way a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over the bus, for a user.
    Inbox,
    /// Over the bus, for a channel's members.
    Channel,
    /// Read from a channel's log, because a hint was missed.
    Log,
}

impl Push {
    /// Nothing is encoded until somebody asks.
    pub(crate) fn new(prev: Cursor, frame: Frame, trace: Option<Box<Delivery>>) -> Arc<Self> {
        Arc::new(Self {
            frame,
            prev,
            trace,
            simple: OnceLock::new(),
            v1: OnceLock::new(),
        })
    }

    /// The same of a notification that may be traced.
    pub(crate) fn traced(prev: Cursor, frame: Frame, way: Way, spans: &Spans) -> Arc<Self> {
        let (destination, replayed) = match way {
            Way::Inbox => (Destination::Inbox, false),
            Way::Channel => (Destination::Channel, false),
            Way::Log => (Destination::Channel, true),
        };
        let trace = spans.delivery(frame.trace.as_deref(), frame.id, destination, replayed);
        Self::new(prev, frame, trace)
    }

    /// The text of a socket's frame.
    pub(crate) fn text(&self, dialect: Dialect) -> Utf8Bytes {
        match dialect {
            Dialect::Simple => self
                .simple
                .get_or_init(|| encode(&self.frame, dialect, false)),
            Dialect::V1 | Dialect::Events => {
                self.v1.get_or_init(|| encode(&self.frame, dialect, false))
            }
        }
        .clone()
    }

    /// What it takes of an outbox's bound, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.frame.weight()
    }

    /// Whether a client may be given it at `now`.
    pub(crate) fn deliverable(&self, now: Millis) -> bool {
        self.frame.deliverable(now)
    }
}

/// The text of a notification for one connection; live ones are shared through [`Push::text`].
pub(crate) fn encode(frame: &Frame, dialect: Dialect, replayed: bool) -> Utf8Bytes {
    let text = match dialect {
        Dialect::Simple => notification_simple(frame, replayed),
        Dialect::V1 | Dialect::Events => notification_v1(frame, replayed),
    };
    Utf8Bytes::try_from(text).unwrap_or_default()
}

/// A channel's notification and the channel.
#[derive(Debug)]
pub(crate) struct ChannelPush {
    /// Which channel.
    pub channel: ChannelName,
    /// The notification.
    pub push: Arc<Push>,
}

/// A channel's members cannot be given everything that was published.
#[derive(Debug, Clone)]
pub(crate) struct ChannelGap {
    /// Which channel.
    pub channel: ChannelName,
    /// Why.
    pub reason: Gap,
    /// Where the log goes on.
    pub resume: Cursor,
}
