//! The problem (RFC 9457) that answers a failed request.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use carillon_common::{
    auth::{Presented, TokenError},
    http::Problem,
};
use http::{HeaderValue, StatusCode, header};

use super::{ApiError, FieldError, store};

/// The answer's fixed part.
pub(super) struct Kind {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    title: &'static str,
    /// In so many seconds the same request may succeed; `None`: never unchanged.
    retry_after: Option<u64>,
}

impl ApiError {
    pub(super) fn kind(&self) -> Kind {
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
            Self::TokenRefused(_) => kind(S::UNAUTHORIZED, "unauthenticated", "Token refused"),
            Self::KeysAwaited => kind(
                S::SERVICE_UNAVAILABLE,
                "token_keys_awaited",
                "Keys are being fetched",
            )
            .after(TokenError::AWAIT.as_secs()),
            Self::UserForbidden(_) => kind(
                S::FORBIDDEN,
                "user_forbidden",
                "The API key may not send to this user",
            ),
            Self::ChannelForbidden(_) => kind(
                S::FORBIDDEN,
                "channel_forbidden",
                "The API key may not send to this channel",
            ),
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
            Self::Backend(error) => store::kind_of(error),
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
        match self {
            Self::InvalidFields(errors) => {
                problem.errors = errors.iter().map(|error| error.problem.clone()).collect();
                problem
            }
            Self::UserForbidden(_) => problem.at("/target_user", self.to_string()),
            Self::ChannelForbidden(_) => problem.at("/channel", self.to_string()),
            _ => problem,
        }
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
            Self::Unauthenticated(_) | Self::TokenRefused(_) => r#"Bearer error="invalid_token""#,
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
    pub(super) fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

pub(super) fn kind(status: StatusCode, code: &'static str, title: &'static str) -> Kind {
    Kind {
        status,
        code,
        title,
        retry_after: None,
    }
}

/// The one code that all fields share, else the general one.
fn common_code(errors: &[FieldError]) -> &'static str {
    match errors {
        [first, rest @ ..] if rest.iter().all(|error| error.code == first.code) => first.code,
        _ => "invalid_field",
    }
}
