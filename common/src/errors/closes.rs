//! The codes that a gateway closes a socket with.

use super::{Explained, Retry};
use crate::protocol::CloseCode;

macro_rules! rows {
    ($($variant:ident: $title:literal, $retry:expr, $meaning:literal, $remedy:literal;)*) => {
        impl CloseCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What a client has to know of it.
            pub fn explained(self) -> Explained {
                let (title, retry, meaning, remedy) = match self {
                    $(Self::$variant => ($title, $retry, $meaning, $remedy),)*
                };
                let (code, number) = (self.reason(), Some(self.code()));
                Explained { code, number, title, retry, meaning, remedy }
            }
        }
    };
}

rows! {
    Normal: "Closed", Retry::WithPause,
        "the answer to a client's own close",
        "nothing: the client wanted it";
    GoingAway: "Going away", Retry::WithPause,
        "the gateway ends at once",
        "come back";
    ProtocolError: "Not a WebSocket frame", Retry::WithPause,
        "what RFC 6455 does not allow: unmasked, reserved bits or opcodes, broken fragments",
        "mend the client, or what stands between";
    Unsupported: "Binary frame", Retry::WithPause,
        "a binary frame; the protocol is text",
        "send JSON as text";
    InvalidText: "Not UTF-8", Retry::WithPause,
        "a text frame that is not UTF-8",
        "send UTF-8";
    TooBig: "Frame too big", Retry::WithPause,
        "a message of more than `limits.frame_bytes`",
        "send less in one frame";
    Internal: "Internal error", Retry::WithPause,
        "a defect of the gateway",
        "report it, with the gateway's log";
    Restart: "Moving", Retry::WithPause,
        "the gateway is leaving, or has too many users (the simple protocol; `carillon.v1` has 4200 and 4202)",
        "come back";
    Unauthenticated: "Authentication failed", Retry::Never,
        "no token in time, or one that is refused; the reason says why: `token_missing`, `token_too_large`, \
         `token_is_api_key`, `token_malformed`, `token_algorithm`, `token_key`, `token_signature`, `token_expired`, \
         `token_not_yet_valid`, `token_claim`, `ticket_refused` (used, lapsed or never there), `cookie_repeated` (which of \
         two cookies of one name would count?)",
        "get another token, or ticket, from your service";
    Revoked: "Token revoked", Retry::Never,
        "the token was taken back before its end, also while the connection was open",
        "get another token, if your service still gives you any";
    Forbidden: "Forbidden", Retry::Never,
        "`origin_not_allowed`, `invalid_device` or `invalid_session`",
        "let the operator allow the page's origin, or mend the name";
    Idle: "Idle", Retry::WithPause,
        "no pong in time, or silence for longer than `socket.idle_timeout`",
        "come back: who can read this is there again";
    Replaced: "Session replaced", Retry::Never,
        "a newer connection of the same session",
        "let the newer one live; another tab takes another `session`";
    Version: "Unsupported version", Retry::Never,
        "a `carillon.` subprotocol that is not served here",
        "offer `carillon.v1`";
    Overloaded: "Overloaded", Retry::WithPause,
        "the gateway is at a limit, or the store refuses the registration or does not let the connection begin",
        "come back later";
    RateLimited: "Too many frames", Retry::WithPause,
        "more frames than `socket.frames_per_second`, after a burst; nothing more is read then",
        "send fewer, and come back";
    SlowConsumer: "Reads too slowly", Retry::WithPause,
        "the client did not read while its outbox was full; nothing is lost, the cursor recovers it",
        "come back, and read faster";
    TooManyConnections: "Too many connections", Retry::WithPause,
        "the user has as many connections as may be, on this gateway or on all (`inbox.connections`)",
        "close others first";
    Draining: "Draining", Retry::Now,
        "the gateway is leaving (`carillon.v1`)",
        "come back: another gateway is there";
    TokenExpired: "Token expired", Retry::Now,
        "the token ended, or the key that it is signed with is no longer accepted",
        "come back with a new token";
    Rebalance: "Asked to move", Retry::Now,
        "this gateway has too many users (`carillon.v1`)",
        "come back: another gateway has room";
    Unacked: "Read enough", Retry::Now,
        "an event stream has given as much as may be unacknowledged, or for as long",
        "come back with the last event's id: that is the ack";
    Disconnected: "Disconnected", Retry::Now,
        "an operator or a service ended the connection",
        "come back, if the token still allows it";
}
