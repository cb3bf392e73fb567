//! Close codes (RFC 6455 section 7.4): 40xx stop, 41xx back off, 42xx reconnect now.

/// Longest reason of a close frame, in bytes: a control frame has 125, of which the code takes two (RFC 6455
/// section 5.5).
pub const REASON_BYTES: usize = 123;

/// Why the gateway closes a socket. The code and reason are what the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client closed, and so do we.
    Normal,
    /// 1001: the gateway is going away at once (isolated from its store).
    GoingAway,
    /// 1002: a frame that RFC 6455 does not allow.
    ProtocolError,
    /// 1003: a binary frame; the protocol is text.
    Unsupported,
    /// 1007: text that is not UTF-8.
    InvalidText,
    /// 1009: a frame larger than `socket.frame_bytes`.
    TooBig,
    /// 1011: a defect.
    Internal,
    /// 1012: draining, to a simple client.
    Restart,
    /// 4001: no token, or one that is not accepted.
    Unauthenticated,
    /// 4001: the token was revoked.
    Revoked,
    /// 4003: authenticated, but not allowed (also a foreign origin).
    Forbidden,
    /// 4008: silent for longer than `socket.idle_timeout`, or no pong in time.
    Idle,
    /// 4009: a newer connection took the session over.
    Replaced,
    /// 4010: a subprotocol version that is not served.
    Version,
    /// 4100: at a limit, or the store does not answer; come back later.
    Overloaded,
    /// 4101: frames faster than `socket.frames_per_second`.
    RateLimited,
    /// 4102: reads too slowly; nothing is lost, the cursor recovers it.
    SlowConsumer,
    /// 4103: too many connections of this user.
    TooManyConnections,
    /// 4200: draining.
    Draining,
    /// 4201: the token expired and was not renewed.
    TokenExpired,
    /// 4202: asked to move to another gateway.
    Rebalance,
    /// 4203: disconnected by an operator or service.
    Disconnected,
    /// 4204: an event stream, so that its client acks what it has read by coming back.
    Unacked,
}

impl CloseCode {
    /// Those that an operator or a service may have a connection closed with: after some its client stays away, after
    /// others it comes back, at once, later or with a new token. The others tell of what a gateway has seen itself.
    pub const FOR_DISCONNECT: &'static [Self] = &[
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Overloaded,
        Self::Draining,
        Self::TokenExpired,
        Self::Disconnected,
    ];

    /// The one of [`FOR_DISCONNECT`](Self::FOR_DISCONNECT) that has this number.
    pub fn for_disconnect(number: u16) -> Option<Self> {
        let mut all = Self::FOR_DISCONNECT.iter().copied();
        all.find(|code| code.code() == number)
    }

    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::InvalidText => 1007,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::Unauthenticated | Self::Revoked => 4001,
            Self::Forbidden => 4003,
            Self::Idle => 4008,
            Self::Replaced => 4009,
            Self::Version => 4010,
            Self::Overloaded => 4100,
            Self::RateLimited => 4101,
            Self::SlowConsumer => 4102,
            Self::TooManyConnections => 4103,
            Self::Draining => 4200,
            Self::TokenExpired => 4201,
            Self::Rebalance => 4202,
            Self::Disconnected => 4203,
            Self::Unacked => 4204,
        }
    }

    /// The reason on the wire when nothing more precise is known; at most 123 bytes (RFC 6455
    /// section 5.5).
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::GoingAway => "going_away",
            Self::ProtocolError => "protocol_error",
            Self::Unsupported => "binary_not_supported",
            Self::InvalidText => "invalid_utf8",
            Self::TooBig => "frame_too_big",
            Self::Internal => "internal_error",
            Self::Restart | Self::Draining => "draining",
            Self::Unauthenticated => "authentication_failed",
            Self::Revoked => "token_revoked",
            Self::Forbidden => "forbidden",
            Self::Idle => "idle",
            Self::Replaced => "session_replaced",
            Self::Version => "unsupported_version",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::SlowConsumer => "slow_consumer",
            Self::TooManyConnections => "too_many_connections",
            Self::TokenExpired => "token_expired",
            Self::Rebalance => "rebalance",
            Self::Disconnected => "disconnected",
            Self::Unacked => "unacked",
        }
    }
}
