//! The codes of `error` frames.

use super::{Explained, Retry};
use crate::protocol::ErrorCode;

macro_rules! rows {
    ($($variant:ident: $title:literal, $retry:expr, $meaning:literal, $remedy:literal;)*) => {
        impl ErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What a client has to know of it.
            pub fn explained(self) -> Explained {
                let (title, retry, meaning, remedy) = match self {
                    $(Self::$variant => ($title, $retry, $meaning, $remedy),)*
                };
                Explained { code: self.as_str(), number: None, title, retry, meaning, remedy }
            }
        }
    };
}

rows! {
    MalformedFrame: "Not a frame", Retry::Never,
        "the text is not JSON, or not one object with a `type`",
        "send one JSON object a frame, with a `type`";
    InvalidField: "Invalid field", Retry::Never,
        "a field is missing or of the wrong type; `message` names it",
        "mend the field";
    UnknownType: "Unknown type", Retry::Never,
        "a `type` that clients do not send",
        "send one of ping, subscribe, unsubscribe, auth and ack";
    InvalidChannel: "Not a channel", Retry::Never,
        "the name breaks the rule for names, or is `*`",
        "name a channel of 1 to 255 characters of `A-Z a-z 0-9 _ . : -`; everyone is on `*` already";
    ChannelForbidden: "Channel forbidden", Retry::Never,
        "the token does not allow this channel",
        "ask your service for a token whose `channels` has it";
    Assigned: "Put on the channel by a service", Retry::Never,
        "an `unsubscribe` from a channel that a service has put the user on",
        "have the service take the user off, or pass over what comes";
    Removed: "Taken off the channel", Retry::Never,
        "in `unsubscribed`: a service has taken the user off the channel",
        "stay away, or ask for it again where the token allows it";
    TooManyChannels: "Too many channels", Retry::Never,
        "the connection has `limits.channels`, all of them asked for on it; in `unsubscribed`: a subscription that \
         gave way to another, or a durable one beyond what a user may keep (`channels.kept`)",
        "unsubscribe from one, or subscribe to fewer";
    NotInSimple: "Only in carillon.v1", Retry::Never,
        "`ack` and `auth` are frames of `carillon.v1`, which this connection does not speak",
        "connect with the subprotocol `carillon.v1`";
    UnknownCursor: "Unknown cursor", Retry::Never,
        "reserved: an ack of a cursor that was not written on this connection is ignored and counted",
        "ack what came on this connection";
    TokenRefused: "Token refused", Retry::Never,
        "the token of an `auth` was refused; the old one stays in force",
        "send another token before `token_expiring` is over";
    TokenRevoked: "Token revoked", Retry::Never,
        "the token of an `auth` was taken back before its end; the old one stays in force",
        "send another token before `token_expiring` is over";
    UserMismatch: "Another user's token", Retry::Never,
        "the token of an `auth` names another user than the connection's",
        "open another connection for another user";
    Unavailable: "The store does not answer", Retry::WithPause,
        "the store cannot be asked now; what was asked for did not happen",
        "ask again";
}
