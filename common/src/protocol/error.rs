//! The stable error codes, the same in the socket's `error` frames and in REST problems.

use serde::Serialize;

/// What went wrong, as clients branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not an object with a `type`.
    MalformedFrame,
    /// A field is missing or of the wrong type.
    InvalidField,
    /// A `type` that the protocol does not know.
    UnknownType,
    /// The channel's name breaks the rule for names.
    InvalidChannel,
    /// The token does not allow this channel.
    ChannelForbidden,
    /// A service has put the user on the channel: its clients cannot leave it.
    Assigned,
    /// A service has taken the user off the channel.
    Removed,
    /// More channels than `socket.channels`.
    TooManyChannels,
    /// A frame that only `carillon.v1` has, on a connection without it.
    NotInSimple,
    /// A cursor that was not written on this connection.
    UnknownCursor,
    /// The token of an `auth` frame was refused; the connection keeps its old one.
    TokenRefused,
    /// The token of an `auth` frame was revoked; the connection keeps its old one.
    TokenRevoked,
    /// The token names another user.
    UserMismatch,
    /// The store does not answer; try again.
    Unavailable,
}

impl ErrorCode {
    /// As in the frame.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedFrame => "malformed_frame",
            Self::InvalidField => "invalid_field",
            Self::UnknownType => "unknown_type",
            Self::InvalidChannel => "invalid_channel",
            Self::ChannelForbidden => "channel_forbidden",
            Self::Assigned => "assigned",
            Self::Removed => "removed",
            Self::TooManyChannels => "too_many_channels",
            Self::NotInSimple => "not_in_simple",
            Self::UnknownCursor => "unknown_cursor",
            Self::TokenRefused => "token_refused",
            Self::TokenRevoked => "token_revoked",
            Self::UserMismatch => "user_mismatch",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the same request may succeed later, unchanged.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}
