//! Every way a request can fail, and the problem (RFC 9457) that tells of it.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use carillon_common::{
    backend::{BackendError, Fault, FaultKind},
    http::{FieldProblem, Problem},
    settings::Scope,
};
use http::{HeaderValue, StatusCode, header};

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
    /// The `Idempotency-Key` header breaks its rule.
    #[error("Idempotency-Key must be given once, with 1 to 255 printable ASCII characters")]
    InvalidIdempotencyKey,
    /// Nobody can call: the operator has to configure a key.
    #[error(
        "no API key is configured, so every call is refused: make one with `carillon apikey new` \
         and put it into [[auth.api_keys]] of the configuration, or into auth.dir"
    )]
    NoApiKeys,
    /// No API key, or one that is not known.
    #[error("{}", .0.remedy())]
    Unauthenticated(Presented),
    /// The key may not do this.
    #[error("this needs an API key with the scope `{}`", .0.as_str())]
    InsufficientScope(Scope),
    /// No such route.
    #[error("there is no such route")]
    NotFound,
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
    #[error("{}", told(.0))]
    Backend(#[from] BackendError),
    /// As many requests as the service holds at once are under way.
    #[error("too many requests are under way here")]
    Overloaded,
    /// A defect.
    #[error("the service failed; its log has the reason under this request's id")]
    Internal(Cow<'static, str>),
}

/// What stood in the place of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Nothing at all.
    Nothing,
    /// More than one header, of which another on the way may have looked at another.
    Several,
    /// Another scheme of authorization, or none.
    OtherScheme,
    /// A JWT.
    Token,
    /// What the configuration holds of a key.
    KeyHash,
    /// Something else; a key that is not known, most likely.
    Unknown,
}

impl Presented {
    fn remedy(self) -> &'static str {
        match self {
            Self::Several => {
                "the header Authorization is there more than once: send it once, with \
                 `Bearer <key>`"
            }
            Self::Nothing => "send an API key in the header `Authorization: Bearer <key>`",
            Self::OtherScheme => {
                "the header Authorization has no Bearer: write `Authorization: Bearer <key>`"
            }
            Self::Token => {
                "this is a token (JWT), which clients show to a gateway: a service needs an API \
                 key, which begins with ck_ (`carillon apikey new` makes one)"
            }
            Self::KeyHash => {
                "this is the hash of an API key, as the configuration holds it: send the key \
                 itself, which begins with ck_"
            }
            Self::Unknown => "this API key is not known",
        }
    }
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The problem's `code`, if all fields have the same.
    pub code: &'static str,
    /// Where it is (a query parameter counts as a member of an object), what is wrong with it, and
    /// what would be right.
    pub problem: FieldProblem,
}

/// The answer's fixed part.
struct Kind {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    /// In so many seconds the same request may succeed; `None`: never unchanged.
    retry_after: Option<u64>,
}

impl ApiError {
    /// Stable; clients branch on it.
    pub fn code(&self) -> &'static str {
        self.kind().code
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
        self.kind().status == StatusCode::INTERNAL_SERVER_ERROR
    }

    fn kind(&self) -> Kind {
        use StatusCode as S;
        match self {
            Self::MalformedJson(_) => kind(S::BAD_REQUEST, "malformed_json", "Not JSON"),
            Self::MalformedQuery(_) => kind(
                S::BAD_REQUEST,
                "malformed_query",
                "Undecodable query string",
            ),
            Self::UnexpectedQuery(_) => kind(
                S::BAD_REQUEST,
                "unexpected_query",
                "Unexpected query parameters",
            ),
            Self::InvalidFields(errors) => kind(
                S::UNPROCESSABLE_ENTITY,
                common_code(errors),
                "Invalid fields",
            ),
            Self::InvalidIdempotencyKey => kind(
                S::BAD_REQUEST,
                "invalid_idempotency_key",
                "Invalid idempotency key",
            ),
            Self::NoApiKeys => kind(S::UNAUTHORIZED, "no_api_keys", "No API key is configured"),
            Self::Unauthenticated(_) => kind(S::UNAUTHORIZED, "unauthenticated", "API key needed"),
            Self::InsufficientScope(_) => kind(
                S::FORBIDDEN,
                "insufficient_scope",
                "The API key may not do this",
            ),
            Self::NotFound => kind(S::NOT_FOUND, "not_found", "No such route"),
            Self::GatewayUnknown => kind(S::NOT_FOUND, "gateway_unknown", "No such gateway"),
            Self::MethodNotAllowed => kind(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "No such method here",
            ),
            Self::Preflight => kind(S::METHOD_NOT_ALLOWED, "preflight_refused", "Not for pages"),
            Self::BodyTimeout => kind(
                S::REQUEST_TIMEOUT,
                "body_timeout",
                "The body came too slowly",
            )
            .after(1),
            Self::BodyIncomplete => kind(S::BAD_REQUEST, "body_incomplete", "Incomplete body"),
            Self::BodyTooLarge(_) => kind(S::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large"),
            Self::UnsupportedMediaType(_) => kind(
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Not application/json",
            ),
            Self::Overloaded => {
                kind(S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests").after(1)
            }
            Self::TooManyBodies(_) => {
                kind(S::TOO_MANY_REQUESTS, "too_many_bodies", "Too many bodies").after(1)
            }
            Self::Internal(_) => kind(S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Backend(error) => backend_kind(error),
        }
    }

    /// What the caller is told.
    fn problem(&self, request_id: &HeaderValue) -> Problem {
        let kind = self.kind();
        let mut problem = Problem::new(kind.status.as_u16(), kind.code, kind.title)
            .detail(self.to_string())
            .request_id(request_id.to_str().unwrap_or_default());
        if let Some(seconds) = kind.retry_after {
            problem = problem.retry_after(Duration::from_secs(seconds));
        }
        if let Self::InvalidFields(errors) = self {
            problem.errors = errors.iter().map(|error| error.problem.clone()).collect();
        }
        problem
    }

    /// The answer, with the problem that names the request.
    pub(crate) fn answer(&self, request_id: &HeaderValue) -> Response {
        let mut response = self.problem(request_id).into_response();
        if let Some(challenge) = self.challenge() {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// RFC 6750, section 3: what to authenticate with, and why that was not enough.
    fn challenge(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::NoApiKeys
            | Self::Unauthenticated(
                Presented::Nothing | Presented::Several | Presented::OtherScheme,
            ) => "Bearer",
            Self::Unauthenticated(_) => r#"Bearer error="invalid_token""#,
            Self::InsufficientScope(scope) => {
                let scope = scope.as_str();
                let text = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
                return HeaderValue::try_from(text).ok();
            }
            _ => return None,
        };
        Some(HeaderValue::from_static(text))
    }
}

/// Only carries the error out: the edge of the service, which knows the request's id, answers it.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.kind().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Kind {
    fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

fn kind(status: StatusCode, code: &'static str, title: &'static str) -> Kind {
    Kind {
        status,
        code,
        title,
        retry_after: None,
    }
}

fn backend_kind(error: &BackendError) -> Kind {
    use StatusCode as S;
    match error {
        BackendError::InboxFull => kind(S::CONFLICT, "inbox_full", "The inbox is full"),
        BackendError::IdempotencyMismatch => kind(
            S::UNPROCESSABLE_ENTITY,
            "idempotency_mismatch",
            "Idempotency key used before",
        ),
        BackendError::StoreFull(_) => {
            kind(S::INSUFFICIENT_STORAGE, "store_full", "The store is full").after(10)
        }
        BackendError::Unavailable(_) => {
            kind(S::SERVICE_UNAVAILABLE, "unavailable", "The store is away").after(1)
        }
        BackendError::Refused(fault) => {
            kind(S::SERVICE_UNAVAILABLE, "unavailable", "The store refuses")
                .after(if fault.kind.passes() { 1 } else { 10 })
        }
        BackendError::Unknown(_) => kind(
            S::SERVICE_UNAVAILABLE,
            "outcome_unknown",
            "The store did not confirm",
        )
        .after(1),
        BackendError::Partly(_) => kind(
            S::SERVICE_UNAVAILABLE,
            "outcome_unknown",
            "The store refuses a part",
        )
        .after(10),
        BackendError::Replaced
        | BackendError::TooManyConnections
        | BackendError::TooManyChannels
        | BackendError::Unexpected(_) => {
            kind(S::INTERNAL_SERVER_ERROR, "internal", "Internal error")
        }
    }
}

/// What a caller is told of the store: never its address or its own words.
fn told(error: &BackendError) -> &'static str {
    match error {
        BackendError::InboxFull => {
            "this user's inbox holds its limit of unread notifications and none of the user's \
             devices can be passed over; it takes more once a device has read some or they expire"
        }
        BackendError::IdempotencyMismatch => {
            "this Idempotency-Key was used before with another request; take a new key for a new \
             notification, and repeat a request byte for byte"
        }
        BackendError::StoreFull(_) => "the store's bound is reached; nothing was accepted",
        BackendError::Unavailable(_) => {
            "the store cannot be reached; nothing was accepted, try again"
        }
        BackendError::Refused(fault) => told_of(fault),
        BackendError::Unknown(_) => {
            "the store did not confirm in time, so the notification may or may not have been \
             accepted; retry with the same Idempotency-Key and it is not doubled"
        }
        BackendError::Partly(_) => {
            "the store does not allow this service all that it needs, so the notification is stored and \
             may reach connected devices late or not at all; correct the rights (`carillon doctor` names \
             them), then retry with the same Idempotency-Key"
        }
        BackendError::Replaced
        | BackendError::TooManyConnections
        | BackendError::TooManyChannels
        | BackendError::Unexpected(_) => {
            "the service failed; its log has the reason under this request's id"
        }
    }
}

/// The same of a store that is there: what an operator of it has to look at.
fn told_of(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::OutOfMemory => {
            "the store's memory is full; nothing was accepted, and nothing will be until somebody makes \
             room there"
        }
        FaultKind::Disk => {
            "the store cannot write to its disk; nothing was accepted, and nothing will be until \
             somebody looks at it"
        }
        FaultKind::Auth => {
            "the store refuses this service's log-in; nothing was accepted, and nothing will be until \
             its user and password are corrected"
        }
        FaultKind::Permission => {
            "the store does not allow this service what it needs; nothing was accepted, and nothing \
             will be until its rights are corrected"
        }
        FaultKind::Tls => {
            "no encrypted connection to the store comes about; nothing was accepted, and nothing will \
             be until its configuration is corrected"
        }
        FaultKind::Replica => {
            "the store is a replica, which takes no writes; nothing was accepted, try again: a failover \
             is over soon"
        }
        FaultKind::MaxClients => "the store takes no more clients; nothing was accepted, try again",
        FaultKind::TooFewReplicas => {
            "the store has fewer replicas than it asks for itself; nothing was accepted, try again"
        }
        FaultKind::WrongServer
        | FaultKind::Misconfigured
        | FaultKind::Unreachable
        | FaultKind::Unanswered
        | FaultKind::NotReady
        | FaultKind::Unexpected => {
            "the store refuses what this service is configured with; nothing was accepted, and nothing \
             will be until that is corrected"
        }
    }
}

/// The one code that all fields share, else the general one.
fn common_code(errors: &[FieldError]) -> &'static str {
    match errors {
        [first, rest @ ..] if rest.iter().all(|error| error.code == first.code) => first.code,
        _ => "invalid_field",
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [only] => only.problem.detail.clone(),
        _ => format!("{} fields are wrong, see errors", errors.len()),
    }
}
