//! Every way a request can fail. `answer.rs` is what the caller gets for each, `store.rs` for the store's; what
//! stands in the problem of each kind is in the table of `carillon_common::errors`.

mod answer;
mod store;

use std::borrow::Cow;

use carillon_common::{
    auth::{Presented, TokenError},
    backend::BackendError,
    errors::ProblemKind,
    http::FieldProblem,
    ids::{ChannelName, Cursor, UserId},
    settings::Scope,
};
use http::StatusCode;

use crate::allowance::RateLimited;

/// A refused or failed request. What stands in a variant that clients must not see (the store's own
/// words) is logged, never answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON; says where.
    #[error("{0}")]
    MalformedJson(String),
    /// The query string cannot be decoded.
    #[error("{0}")]
    MalformedQuery(String),
    /// Query parameters where the route takes none, or beside a body.
    #[error("{0}")]
    UnexpectedQuery(&'static str),
    /// Everything that is wrong with the fields.
    #[error("{}", summary(.0))]
    InvalidFields(Vec<FieldError>),
    /// A batch with an `Idempotency-Key` of its own.
    #[error(
        "a batch has no Idempotency-Key of its own: give each of its notifications an idempotency_key"
    )]
    IdempotencyKeyOfBatch,
    /// The `Idempotency-Key` header breaks its rule.
    #[error("Idempotency-Key must be given once, with 1 to 255 printable ASCII characters")]
    InvalidIdempotencyKey,
    /// One notification too many, for its service or for its user.
    #[error("{}", .0.detail())]
    RateLimited(RateLimited),
    /// Nobody can call: the operator has to configure a key.
    #[error(
        "no API key is configured, so every call is refused: make one with `carillon apikey new` \
         and put it into [[auth.api_keys]] of the configuration, or into auth.dir"
    )]
    NoApiKeys,
    /// No API key, or one that is not known.
    #[error("{}", remedy(*.0))]
    Unauthenticated(Presented),
    /// A service's token that is refused.
    #[error("{0}")]
    TokenRefused(TokenError),
    /// The keys of the token's issuer are still to come.
    #[error("{}", TokenError::KeysAwaited)]
    KeysAwaited,
    /// The key may not do this.
    #[error("this needs an API key or a token with the scope `{}`", .0.as_str())]
    InsufficientScope(Scope),
    /// The key may not send to this user.
    #[error(
        "this API key or token may not send to the user {:?}: its `users` do not include it", .0.as_str()
    )]
    UserForbidden(UserId),
    /// The key may not send to this channel, or to everyone.
    #[error("{}", channel_remedy(.0.as_ref()))]
    ChannelForbidden(Option<ChannelName>),
    /// The key has nothing to do with this user.
    #[error(
        "this API key or token has nothing to do with the user {:?}: its `users` do not include it", .0.as_str()
    )]
    UserOutOfReach(UserId),
    /// The key has nothing to do with all users whose token it may be.
    #[error(
        "a `jti` alone may be a token of anybody, and this API key or token has to do with its `users` alone: name the \
         user, too"
    )]
    RevocationTooWide,
    /// The key has nothing to do with this channel.
    #[error(
        "this API key or token has nothing to do with the channel {:?}: its `channels` do not include it", .0.as_str()
    )]
    ChannelOutOfReach(ChannelName),
    /// Nothing is known of a notification.
    #[error(
        "nothing is known of this notification: its id is that of none in the user's inbox, or its cursor was never \
         given out"
    )]
    ReceiptGone,
    /// Nothing waits under this id.
    #[error(
        "nothing of this id waits for its time, and nothing is known of it: its time came and it has left the inbox since, \
         or nothing was ever accepted under it"
    )]
    ScheduledGone,
    /// What is to be cancelled is in the inbox.
    #[error(
        "it was delivered to the inbox, where its cursor is {0}: DELETE /api/users/{{user}}/notifications/{0} takes it back"
    )]
    DeliveredAlready(Cursor),
    /// A position of no notification.
    #[error("`after` is the position of nothing that is listed here: begin anew without it")]
    CursorForeign,
    /// The key may not have tickets made for this user, or the token is another's.
    #[error(
        "this API key or token may not ask for a ticket of the user {:?}", .0.as_str()
    )]
    TicketForbidden(UserId),
    /// The key may not have tickets made for these channels.
    #[error(
        "this API key or token may not ask for a ticket for the channels {0:?}: its `channels` do not include all of them"
    )]
    TicketChannelForbidden(String),
    /// No token on a route that is a user's own.
    #[error("this is about the user whose token it is: send it as `Authorization: Bearer <token>`")]
    UserTokenMissing,
    /// A service's key or token on a route that is a user's own.
    #[error(
        "this is about the user whose token it is, and an API key or a service's token is none: services have \
         /api/users/{{user}}/…"
    )]
    UserTokenNeeded,
    /// The token does not let its user join this channel.
    #[error("this token does not allow the channel {:?}: its `channels` do not include it", .0.as_str())]
    ChannelNotJoinable(ChannelName),
    /// One request too many of a user's pages.
    #[error("this user's pages make more than {0} requests a second here")]
    TooManyRequests(u32),
    /// The page's origin is not listed.
    #[error(
        "pages of the origin {0:?} may not call this: it is not in gateway.origins of this service's configuration"
    )]
    OriginNotAllowed(String),
    /// No such route.
    #[error("there is no such route")]
    NotFound,
    /// No revocation has this id.
    #[error(
        "no revocation of this id is in force: GET /api/tokens/revocations lists those that are"
    )]
    RevocationUnknown,
    /// A part of the path is no name; says which rule they have.
    #[error("{0}")]
    InvalidPath(String),
    /// No gateway of that name has a lease.
    #[error(
        "no gateway of this name is there: GET /api/gateways lists those that are (of a pod, the \
         name is the last two parts of the pod's)"
    )]
    GatewayUnknown,
    /// A browser asks whether a page may call this.
    #[error(
        "a browser asks here whether a page may call this API, and it may not: services call it \
         with their API key, which no page must hold; pages connect to a gateway's WebSocket"
    )]
    Preflight,
    /// The route has other methods; `Allow` names them.
    #[error("this route does not have that method; the header Allow names those it has")]
    MethodNotAllowed,
    /// The body did not arrive in time.
    #[error(
        "the body did not arrive in time: it has a second, and one more for each 16 KiB, at most \
         dispatcher.body_timeout"
    )]
    BodyTimeout,
    /// The connection failed while the body was read.
    #[error("the body could not be read to its end")]
    BodyIncomplete,
    /// The body is larger than `dispatcher.body_bytes`.
    #[error("the body may have at most {0} bytes")]
    BodyTooLarge(usize),
    /// As many bodies of one API key as may be are on their way.
    #[error(
        "{0} bodies under this API key are on their way already: send each in one go, or fewer at once"
    )]
    TooManyBodies(usize),
    /// Not JSON by its headers.
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    /// The store's refusal or failure.
    #[error("{}", store::detail(.0))]
    Backend(#[from] BackendError),
    /// As many requests as the service holds at once are under way.
    #[error("too many requests are under way here")]
    Overloaded,
    /// A defect.
    #[error("the service failed; its log has the reason under this request's id")]
    Internal(Cow<'static, str>),
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The problem's, if all fields have the same.
    pub kind: ProblemKind,
    /// Where it is (a query parameter counts as a member of an object), what is wrong with it, and
    /// what would be right.
    pub problem: FieldProblem,
}

impl ApiError {
    /// Stable; clients branch on it.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What only the log may say. Of a store that refuses, the store's own log line a minute says it.
    pub(crate) fn internal_reason(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Backend(
                error @ (BackendError::Unavailable(_)
                | BackendError::Unknown(_)
                | BackendError::StoreFull(_)
                | BackendError::Unexpected(_)),
            ) => Some(error.to_string().into()),
            Self::Internal(reason) => Some(Cow::Borrowed(reason)),
            _ => None,
        }
    }

    /// Whether it shows a defect rather than a caller's mistake or a store that is away.
    pub(crate) fn is_defect(&self) -> bool {
        self.kind() == ProblemKind::Internal
    }
}

impl From<RateLimited> for ApiError {
    fn from(limited: RateLimited) -> Self {
        Self::RateLimited(limited)
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [only] => only.problem.detail.clone(),
        _ => format!("{} fields are wrong, see errors", errors.len()),
    }
}

/// What a service that is limited to others may not send to.
fn channel_remedy(channel: Option<&ChannelName>) -> String {
    match channel {
        Some(channel) => format!(
            "this API key or token may not send to the channel {:?}: its `channels` do not include it",
            channel.as_str()
        ),
        None => "this API key or token may not send to everyone, because it is limited to some users or \
                 channels: name a channel"
            .to_owned(),
    }
}

/// What to send in the place of what stood in an API key's.
fn remedy(presented: Presented) -> &'static str {
    match presented {
        Presented::Several => {
            "the header Authorization is there more than once: send it once, with \
             `Bearer <key>`"
        }
        Presented::Nothing => "send an API key in the header `Authorization: Bearer <key>`",
        Presented::OtherScheme => {
            "the header Authorization has no Bearer: write `Authorization: Bearer <key>`"
        }
        Presented::Token => {
            "this is a token (JWT), which clients show to a gateway: a service needs an API \
             key, which begins with ck_ (`carillon apikey new` makes one)"
        }
        Presented::KeyHash => {
            "this is the hash of an API key, as the configuration holds it: send the key \
             itself, which begins with ck_"
        }
        Presented::Unknown => "this API key is not known",
    }
}
