//! The problem (RFC 9457) that answers a failed request.

use axum::response::{IntoResponse, Response};
use carillon_common::{auth::Presented, backend::BackendError, errors::ProblemKind, http::Problem};
use http::{HeaderValue, header};

use super::{ApiError, FieldError, store};

impl ApiError {
    /// Its row in the table of all problems.
    pub(crate) fn kind(&self) -> ProblemKind {
        match self {
            Self::MalformedJson(_) => ProblemKind::MalformedJson,
            Self::MalformedQuery(_) => ProblemKind::MalformedQuery,
            Self::UnexpectedQuery(_) => ProblemKind::UnexpectedQuery,
            Self::InvalidFields(errors) => common_kind(errors),
            Self::InvalidIdempotencyKey | Self::IdempotencyKeyOfBatch => {
                ProblemKind::InvalidIdempotencyKey
            }
            Self::NoApiKeys => ProblemKind::NoApiKeys,
            Self::Unauthenticated(_) => ProblemKind::Unauthenticated,
            Self::TokenRefused(_) => ProblemKind::TokenRefused,
            Self::KeysAwaited => ProblemKind::KeysAwaited,
            Self::UserForbidden(_)
            | Self::UserOutOfReach(_)
            | Self::RevocationTooWide
            | Self::TicketForbidden(_) => ProblemKind::UserForbidden,
            Self::ChannelForbidden(_)
            | Self::ChannelOutOfReach(_)
            | Self::ChannelNotJoinable(_)
            | Self::TicketChannelForbidden(_) => ProblemKind::ChannelForbidden,
            Self::UserTokenMissing => ProblemKind::UserTokenMissing,
            Self::UserTokenNeeded => ProblemKind::UserTokenNeeded,
            Self::TooManyRequests(_) => ProblemKind::TooManyRequests,
            Self::InsufficientScope(_) => ProblemKind::InsufficientScope,
            Self::NotFound => ProblemKind::NotFound,
            Self::ReceiptGone => ProblemKind::ReceiptGone,
            Self::ScheduledGone => ProblemKind::ScheduledGone,
            Self::DeliveredAlready(_) => ProblemKind::DeliveredAlready,
            Self::CursorForeign => ProblemKind::CursorForeign,
            Self::InvalidPath(_) => ProblemKind::InvalidPath,
            Self::GatewayUnknown => ProblemKind::GatewayUnknown,
            Self::RevocationUnknown => ProblemKind::RevocationUnknown,
            Self::OriginNotAllowed(_) => ProblemKind::OriginNotAllowed,
            Self::MethodNotAllowed => ProblemKind::MethodNotAllowed,
            Self::Preflight => ProblemKind::Preflight,
            Self::BodyTimeout => ProblemKind::BodyTimeout,
            Self::BodyIncomplete => ProblemKind::BodyIncomplete,
            Self::BodyTooLarge(_) => ProblemKind::BodyTooLarge,
            Self::UnsupportedMediaType(_) => ProblemKind::UnsupportedMediaType,
            Self::Overloaded => ProblemKind::Overloaded,
            Self::TooManyBodies(_) => ProblemKind::TooManyBodies,
            Self::RateLimited(_) => ProblemKind::RateLimited,
            Self::Internal(_) => ProblemKind::Internal,
            Self::Backend(error) => store::kind_of(error),
        }
    }

    /// What the caller is told.
    pub(crate) fn problem(&self, request_id: &HeaderValue) -> Problem {
        let mut problem = Problem::explained(self.kind())
            .detail(self.to_string())
            .request_id(request_id.to_str().unwrap_or_default());
        if let Self::Backend(error) = self
            && let Some(sooner) = store::sooner(error)
        {
            problem = problem.retry_after(sooner);
        }
        match self {
            Self::InvalidFields(errors) => {
                problem.errors = errors.iter().map(|error| error.problem.clone()).collect();
                problem
            }
            Self::RateLimited(limited) => problem.retry_after(limited.short.retry_after),
            Self::Backend(BackendError::NotThen) => problem.at("/deliver_at", self.to_string()),
            Self::UserForbidden(_) => problem.at("/target_user", self.to_string()),
            Self::UserOutOfReach(_) | Self::RevocationTooWide | Self::TicketForbidden(_) => {
                problem.at("/user", self.to_string())
            }
            Self::ChannelForbidden(_)
            | Self::ChannelOutOfReach(_)
            | Self::ChannelNotJoinable(_) => problem.at("/channel", self.to_string()),
            Self::TicketChannelForbidden(_) => problem.at("/channels", self.to_string()),
            _ => problem,
        }
    }

    /// The answer, with the problem that names the request.
    pub(crate) fn answer(&self, request_id: &HeaderValue) -> Response {
        let mut response = self.problem(request_id).into_response();
        if let Self::RateLimited(limited) = self {
            limited.told.put(response.headers_mut());
        }
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
            | Self::UserTokenMissing
            | Self::Unauthenticated(
                Presented::Nothing | Presented::Several | Presented::OtherScheme,
            ) => "Bearer",
            Self::Unauthenticated(_) | Self::TokenRefused(_) | Self::UserTokenNeeded => {
                r#"Bearer error="invalid_token""#
            }
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
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The one kind that all fields share, else the general one.
fn common_kind(errors: &[FieldError]) -> ProblemKind {
    match errors {
        [first, rest @ ..] if rest.iter().all(|error| error.kind == first.kind) => first.kind,
        _ => ProblemKind::InvalidField,
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, collections::HashSet, time::Duration};

    use carillon_common::{
        auth::TokenError,
        backend::{AccountKind, Fault, FaultKind},
        errors::At,
        http::FieldProblem,
        ids::Cursor,
        settings::Scope,
    };

    use super::*;
    use crate::allowance::{RateLimited, Short, Told};

    /// Each failure once; those of the store and of fields in all their kinds.
    fn all() -> Vec<ApiError> {
        let refused = |kind| Fault::new(kind, "");
        let stores = [
            BackendError::InboxFull,
            BackendError::TooManyScheduled,
            BackendError::NotThen,
            BackendError::IdempotencyMismatch,
            BackendError::TooManyRevocations,
            BackendError::TooManyChannels,
            BackendError::TooManyTickets(std::time::Duration::from_secs(30)),
            BackendError::StoreFull(""),
            BackendError::Unavailable(String::new()),
            BackendError::Refused(refused(FaultKind::Disk)),
            BackendError::Refused(refused(FaultKind::Replica)),
            BackendError::Partly(refused(FaultKind::Disk)),
            BackendError::Unknown(String::new()),
            BackendError::Unexpected(String::new()),
        ];
        let fields = [
            ProblemKind::InvalidField,
            ProblemKind::MissingField,
            ProblemKind::UnknownField,
            ProblemKind::ReservedType,
            ProblemKind::InvalidChannel,
            ProblemKind::TtlTooLong,
        ];
        let mut all = vec![
            ApiError::MalformedJson(String::new()),
            ApiError::MalformedQuery(String::new()),
            ApiError::UnexpectedQuery(""),
            ApiError::InvalidIdempotencyKey,
            ApiError::IdempotencyKeyOfBatch,
            ApiError::NoApiKeys,
            ApiError::Unauthenticated(Presented::Unknown),
            ApiError::TokenRefused(TokenError::Key),
            ApiError::KeysAwaited,
            ApiError::UserForbidden("alice".parse().unwrap()),
            ApiError::ChannelForbidden(None),
            ApiError::UserOutOfReach("alice".parse().unwrap()),
            ApiError::ChannelOutOfReach("orders".parse().unwrap()),
            ApiError::InsufficientScope(Scope::Send),
            ApiError::UserTokenMissing,
            ApiError::UserTokenNeeded,
            ApiError::ChannelNotJoinable("orders".parse().unwrap()),
            ApiError::TooManyRequests(1),
            ApiError::NotFound,
            ApiError::ReceiptGone,
            ApiError::ScheduledGone,
            ApiError::DeliveredAlready(Cursor { seq: 7, nonce: 9 }),
            ApiError::CursorForeign,
            ApiError::InvalidPath(String::new()),
            ApiError::GatewayUnknown,
            ApiError::RevocationUnknown,
            ApiError::OriginNotAllowed(String::new()),
            ApiError::Preflight,
            ApiError::MethodNotAllowed,
            ApiError::BodyTimeout,
            ApiError::BodyIncomplete,
            ApiError::BodyTooLarge(1),
            ApiError::TooManyBodies(1),
            ApiError::RateLimited(RateLimited {
                short: Short {
                    kind: AccountKind::User,
                    retry_after: Duration::ZERO,
                },
                told: Told::default(),
            }),
            ApiError::UnsupportedMediaType(""),
            ApiError::Overloaded,
            ApiError::Internal(Cow::Borrowed("")),
        ];
        all.extend(fields.map(|kind| ApiError::InvalidFields(vec![wrong(kind)])));
        all.extend(stores.map(ApiError::Backend));
        all
    }

    fn wrong(kind: ProblemKind) -> FieldError {
        let (pointer, detail) = ("/a".to_owned(), String::new());
        FieldError {
            kind,
            problem: FieldProblem { pointer, detail },
        }
    }

    #[test]
    fn every_failure_is_answered_as_the_table_says() {
        let id = HeaderValue::from_static("r1");
        let mut seen = HashSet::new();
        for error in all() {
            let row = error.kind().explained();
            let answer = error.answer(&id);
            assert_eq!(Some(answer.status().as_u16()), row.number, "{error:?}");
            let again = answer.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(again, row.retry.is_possible(), "{error:?}");
            seen.insert(error.kind());
        }
        let of_rest = ProblemKind::ALL.iter().filter(|kind| kind.at() == At::Rest);
        let never: Vec<_> = of_rest.filter(|kind| !seen.contains(kind)).collect();
        assert!(never.is_empty(), "nothing is answered with {never:?}");
    }

    #[test]
    fn fields_share_a_code_where_they_have_one() {
        let (one, other) = (ProblemKind::MissingField, ProblemKind::UnknownField);
        assert_eq!(common_kind(&[wrong(one), wrong(one)]), one);
        let mixed = [wrong(one), wrong(other)];
        assert_eq!(common_kind(&mixed), ProblemKind::InvalidField);
    }

    #[test]
    fn what_passes_by_itself_is_over_sooner() {
        let refused = |kind| ApiError::Backend(BackendError::Refused(Fault::new(kind, "")));
        let after = |kind| {
            let answer = refused(kind).answer(&HeaderValue::from_static("r1"));
            answer.headers()[header::RETRY_AFTER].clone()
        };
        assert_eq!(after(FaultKind::Disk), "10");
        assert_eq!(after(FaultKind::Replica), "1");
    }
}
