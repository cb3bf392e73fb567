//! The socket protocol: the simple one, and `carillon.v1`, its superset.

mod client;
mod close;
mod error;
mod reference;
pub mod schema;
mod server;

pub use client::{ClientFrame, FrameError, Request};
pub use close::{CloseCode, REASON_BYTES};
pub use error::ErrorCode;
pub use reference::Ref;
pub use server::{
    ServerFrame, SocketLimits, notification_kept, notification_simple, notification_v1,
    notification_waiting,
};

/// The subprotocol's name, as in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "carillon.v1";

/// Prefix of the subprotocol item that carries a token: `bearer.` and its base64url.
pub const BEARER_ITEM: &str = "bearer.";

/// Types that only the protocol may use; a notification of one of them is refused.
pub const RESERVED_TYPES: [&str; 21] = [
    "ping",
    "pong",
    "subscribe",
    "subscribed",
    "unsubscribe",
    "unsubscribed",
    "welcome",
    "auth",
    "authenticated",
    "token_expiring",
    "ack",
    "acked",
    "error",
    "reconnect",
    "replayed",
    "gap",
    "presence",
    "retracted",
    "changed",
    "disconnect",
    "resume",
];

/// Whether a notification may not have this type: a control frame's, or one that starts with `$`.
pub fn is_reserved_type(kind: &str) -> bool {
    kind.starts_with('$') || RESERVED_TYPES.contains(&kind)
}

/// Which frames a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// No subprotocol: exactly the simple protocol's frames.
    Simple,
    /// `carillon.v1`.
    V1,
    /// The frames of `carillon.v1` as server-sent events: their client can neither be asked nor say anything, and
    /// acks what it has read by coming back with its position.
    Events,
}

impl Dialect {
    /// Whether its client is told what goes on (`welcome`, `gap`, `reconnect` …), besides its notifications.
    pub fn tells(self) -> bool {
        self != Self::Simple
    }

    /// Whether its client answers pings.
    pub fn is_asked(self) -> bool {
        self != Self::Events
    }

    /// Its name, as operators see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::V1 => SUBPROTOCOL,
            Self::Events => "sse",
        }
    }
}
