//! The problems that routes answer with, each explained by the table of all.

use std::collections::BTreeMap;

use carillon_common::{errors::ProblemKind as K, http::PROBLEM_JSON};
use serde_json::json;
use utoipa::{
    IntoResponses,
    openapi::{
        ContentBuilder, HeaderBuilder, RefOr, Response, ResponseBuilder, example::ExampleBuilder,
    },
};

use super::schema::raw;

/// What may happen to every call, whoever makes it.
const EVERY: [K; 6] = [
    K::Internal,
    K::Unavailable,
    K::StoreRefuses,
    K::OutcomeUnknown,
    K::StoredInPart,
    K::Overloaded,
];

/// What may happen to every call of a service.
const OF_A_SERVICE: [K; 5] = [
    K::NoApiKeys,
    K::Unauthenticated,
    K::TokenRefused,
    K::KeysAwaited,
    K::InsufficientScope,
];

/// What may be wrong with a body, and with a key.
const BODIES: [K; 17] = [
    K::MalformedJson,
    K::UnexpectedQuery,
    K::InvalidIdempotencyKey,
    K::BodyIncomplete,
    K::BodyTimeout,
    K::BodyTooLarge,
    K::UnsupportedMediaType,
    K::InvalidField,
    K::MissingField,
    K::UnknownField,
    K::ReservedType,
    K::InvalidChannel,
    K::TtlTooLong,
    K::IdempotencyMismatch,
    K::TooManyBodies,
    K::RateLimited,
    K::StoreFull,
];

/// Of the fields that tell of limits (draft-ietf-httpapi-ratelimit-headers).
const POLICY: &str = "The limits that there are, `\"key\"` and `\"user\"`: `q` at once, all of it again in `w` seconds; with `rate_limited` alone";
const LEFT: &str = "What is left of each: `r`, and `t` seconds until all of it is there again; with `rate_limited` alone";

/// What may be wrong with a body that is JSON, whatever it says.
const JSON: [K; 9] = [
    K::MalformedJson,
    K::UnexpectedQuery,
    K::BodyIncomplete,
    K::BodyTimeout,
    K::BodyTooLarge,
    K::UnsupportedMediaType,
    K::InvalidField,
    K::UnknownField,
    K::TooManyBodies,
];

/// What may be wrong with parameters of the query.
const PARAMETERS: [K; 3] = [K::MalformedQuery, K::InvalidField, K::UnknownField];

/// What may happen to every request of a user's page.
const OF_A_USER: [K; 7] = [
    K::Unauthenticated,
    K::TokenRefused,
    K::KeysAwaited,
    K::UserTokenMissing,
    K::UserTokenNeeded,
    K::OriginNotAllowed,
    K::TooManyRequests,
];

/// Declares the refusals of a kind of routes.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($kinds:expr),+;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let lists: &[&[K]] = &[$($kinds),+];
                problems(&lists.concat())
            }
        }
    )*};
}

refusals! {
    /// Of routes that are asked.
    OfReads: &EVERY, &OF_A_SERVICE, &[K::UnexpectedQuery];
    /// Of routes that take a notification for a user.
    OfSends: &EVERY, &OF_A_SERVICE, &BODIES, &[
        K::UserForbidden, K::ChannelForbidden, K::InboxFull, K::TooManyScheduled, K::NotThen,
    ];
    /// Of routes that take several notifications, of which each has refusals of its own.
    OfBatches: &EVERY, &OF_A_SERVICE, &JSON, &[K::InvalidIdempotencyKey, K::MissingField];
    /// Of routes that end what a user has.
    OfDisconnects: &EVERY, &OF_A_SERVICE, &JSON, &[K::InvalidPath, K::UserForbidden];
    /// Of routes that are asked for a list.
    OfLists: &EVERY, &OF_A_SERVICE, &PARAMETERS, &[K::CursorForeign];
    /// Of routes that are asked for a list of a channel's.
    OfChannels: &EVERY, &OF_A_SERVICE, &PARAMETERS, &[K::InvalidPath, K::ChannelForbidden];
    /// Of routes that take a notification for a channel.
    OfBroadcasts: &EVERY, &OF_A_SERVICE, &BODIES, &[K::ChannelForbidden, K::MalformedQuery];
    /// Of routes that operators call.
    OfOperators: &EVERY, &OF_A_SERVICE, &[K::UnexpectedQuery];
    /// Of routes about a user's inbox.
    OfInboxes: &EVERY, &OF_A_SERVICE, &PARAMETERS, &[K::InvalidPath, K::UserForbidden, K::CursorForeign];
    /// Of routes about one notification.
    OfNotifications: &EVERY, &OF_A_SERVICE, &[K::UnexpectedQuery, K::InvalidPath, K::UserForbidden, K::ReceiptGone];
    /// Of routes about what waits for a user.
    OfSchedules: &EVERY, &OF_A_SERVICE, &PARAMETERS, &[K::InvalidPath, K::UserForbidden];
    /// Of routes about one that waits.
    OfCancels: &EVERY, &OF_A_SERVICE, &[
        K::UnexpectedQuery, K::InvalidPath, K::UserForbidden, K::ScheduledGone, K::DeliveredAlready,
    ];
    /// Of routes about a user.
    OfUsers: &EVERY, &OF_A_SERVICE, &[K::InvalidPath, K::UserForbidden, K::UnexpectedQuery];
    /// Of routes about a user's place on a channel.
    OfAssignments: &EVERY, &OF_A_SERVICE, &[
        K::InvalidPath, K::UserForbidden, K::ChannelForbidden, K::UnexpectedQuery, K::TooManyChannels, K::StoreFull,
    ];
    /// Of the route that puts many users on a channel, of which each has refusals of its own.
    OfSubscribers: &EVERY, &OF_A_SERVICE, &JSON, &[K::InvalidPath, K::ChannelForbidden, K::MissingField];
    /// Of those that name a gateway.
    OfDrains: &EVERY, &OF_A_SERVICE, &[K::UnexpectedQuery, K::GatewayUnknown];
    /// Of the route that revokes tokens.
    OfRevoking: &EVERY, &OF_A_SERVICE, &JSON, &[K::MissingField, K::UserForbidden, K::TooManyRevocations];
    /// Of the route that takes a revocation back.
    OfTakingBack: &EVERY, &OF_A_SERVICE, &[K::UnexpectedQuery, K::RevocationUnknown];
    /// Of a user's own inbox.
    OfMyInbox: &EVERY, &OF_A_USER, &PARAMETERS, &[K::CursorForeign];
    /// Of the log of a channel that a user may join.
    OfMyChannels: &EVERY, &OF_A_USER, &PARAMETERS, &[K::InvalidPath, K::ChannelForbidden];
    /// Of the count of what a user has not read.
    OfMyUnread: &EVERY, &OF_A_USER, &PARAMETERS;
    /// Of the route that marks as read.
    OfMyReading: &EVERY, &OF_A_USER, &JSON, &[K::MissingField, K::ReceiptGone];
    /// Of the route that makes tickets.
    OfTickets: &EVERY, &OF_A_SERVICE, &JSON, &[
        K::MissingField, K::UserForbidden, K::ChannelForbidden, K::OriginNotAllowed, K::TooManyRequests, K::TooManyTickets,
        K::StoreFull,
    ];
}

/// An answer for each status among these kinds.
fn problems(kinds: &[K]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<K>> = BTreeMap::new();
    // In the order of the table.
    for kind in K::ALL.iter().filter(|kind| kinds.contains(kind)) {
        by_status.entry(kind.status()).or_default().push(*kind);
    }
    let answer =
        |(status, kinds): (u16, Vec<K>)| (status.to_string(), answer(status, &kinds).into());
    by_status.into_iter().map(answer).collect()
}

fn answer(status: u16, kinds: &[K]) -> Response {
    let mut codes: Vec<_> = kinds.iter().map(|kind| kind.code()).collect();
    codes.dedup();
    let told = kinds.iter().map(|kind| {
        let row = kind.explained();
        format!("`{}`: {}", row.code, row.meaning)
    });
    let schema = json!({
        "allOf": [
            { "$ref": "#/components/schemas/Problem" },
            { "properties": { "status": { "const": status }, "code": { "enum": codes } } },
        ],
    });
    let examples = kinds.iter().map(|kind| {
        let row = kind.explained();
        let example = ExampleBuilder::new()
            .summary(row.title)
            .value(Some(example(*kind)));
        (format!("{kind:?}"), example.build())
    });
    let content = ContentBuilder::new()
        .schema(Some(raw(schema)))
        .examples_from_iter(examples);
    let mut response = ResponseBuilder::new()
        .description(told.collect::<Vec<_>>().join("\n\n"))
        .content(PROBLEM_JSON, content.build())
        .header("X-Request-Id", request_id());
    if kinds
        .iter()
        .any(|kind| kind.explained().retry.is_possible())
    {
        response = response.header("Retry-After", retry_after());
    }
    if kinds.contains(&K::RateLimited) {
        let text = || Some(raw(json!({ "type": "string" })));
        for (name, about) in [("RateLimit-Policy", POLICY), ("RateLimit", LEFT)] {
            let header = HeaderBuilder::new().schema(text()).description(Some(about));
            response = response.header(name, header.build());
        }
    }
    if matches!(status, 401 | 403) {
        let challenge = HeaderBuilder::new().schema(Some(raw(json!({ "type": "string" }))));
        let about = "What to authenticate with (RFC 6750 section 3)";
        response = response.header(
            "WWW-Authenticate",
            challenge.description(Some(about)).build(),
        );
    }
    response.build()
}

fn example(kind: K) -> serde_json::Value {
    let row = kind.explained();
    json!({
        "type": format!("{}#{}", carillon_common::http::ERRORS_PAGE, row.code), "title": row.title,
        "status": kind.status(), "detail": row.remedy, "code": row.code,
        "request_id": "0199d2c4-7f3a-7000-8000-000000000000", "retryable": row.retry.is_possible(),
    })
}

/// The id of every answer.
pub(super) fn request_id() -> utoipa::openapi::Header {
    let about = "The request's name in the log";
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
    HeaderBuilder::new()
        .schema(Some(raw(schema)))
        .description(Some(about))
        .build()
}

fn retry_after() -> utoipa::openapi::Header {
    let about = "In so many seconds the same request may succeed; with `retryable` problems alone";
    let schema = json!({ "type": "integer", "minimum": 1 });
    HeaderBuilder::new()
        .schema(Some(raw(schema)))
        .description(Some(about))
        .build()
}

/// A problem, as every route answers it.
pub(super) fn problem() -> serde_json::Value {
    json!({
        "type": "object",
        "description": "RFC 9457. Branch on `code`; `detail` is for people",
        "required": ["type", "title", "status", "detail", "code", "request_id", "retryable"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference",
                "description": "Where the code is explained; relative to what was asked" },
            "title": { "type": "string", "description": "The same for every problem of its kind" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What is wrong this time, and what to do about it" },
            "code": { "type": "string", "description": "Stable" },
            "request_id": { "type": "string", "minLength": 1, "maxLength": 128 },
            "retryable": { "type": "boolean", "description": "Whether the same request may succeed later, unchanged" },
            "errors": {
                "type": "array", "minItems": 1,
                "description": "The places in the body that are wrong; of unknown fields at most 32",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": { "type": "string", "format": "json-pointer",
                            "description": "RFC 6901; a parameter of the query counts as a member of the body" },
                        "detail": { "type": "string" },
                    },
                },
            },
        },
    })
}
