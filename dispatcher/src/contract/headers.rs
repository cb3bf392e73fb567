//! Headers that callers send.

use carillon_common::protocol::schema::names;
use serde_json::{Value, json};
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::schema::{optional, query, raw};

/// Most entries of a page of a list.
pub(crate) const MOST_OF_A_PAGE: u32 = 1000;

/// Those of every request.
pub(crate) enum Asking {}

/// Those of a request that is taken once, however often it is repeated.
pub(crate) enum Posting {}

/// The same of a request with several notifications, each of which has a key of its own.
pub(crate) enum PostingSeveral {}

impl IntoParams for Asking {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header(
            "X-Request-Id",
            "The caller's own name for the request, in the answer and in the log; another than this is replaced",
            json!({ "type": "string" }),
        )]
    }
}

impl IntoParams for Posting {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = Asking::into_params(place);
        all.extend([
            header(
                "Idempotency-Key",
                "The caller's own name for this notification: the same key with the same request, byte for byte, \
                 sends nothing again. Remembered for `idempotency.ttl` after its last use, for each API key and \
                 receiver",
                json!({ "type": "string", "pattern": "^[ -~]{1,255}$", "examples": ["order-4711-shipped"] }),
            ),
            traceparent(),
        ]);
        all
    }
}

impl IntoParams for PostingSeveral {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = Asking::into_params(place);
        all.push(traceparent());
        all
    }
}

fn traceparent() -> Parameter {
    header(
        "traceparent",
        "W3C Trace Context: followed where the dispatcher traces; what is unreadable is passed over",
        json!({ "type": "string" }),
    )
}

fn header(name: &str, about: &str, schema: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(raw(schema)))
        .build()
}

/// A user's name in a path.
pub(crate) enum OfUser {}

impl IntoParams for OfUser {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_path("user", "The user, percent-encoded", names::user())]
    }
}

/// A user and a channel in a path.
pub(crate) enum OfAssignment {}

impl IntoParams for OfAssignment {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = OfUser::into_params(&place);
        all.extend(OfChannel::into_params(place));
        all
    }
}

/// A user's notification in a path.
pub(crate) enum OfNotification {}

impl IntoParams for OfNotification {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = OfUser::into_params(place);
        all.push(in_path(
            "id",
            "The notification's id, or its cursor, which is known for longer",
            json!({ "anyOf": [names::notification_id(), names::cursor()] }),
        ));
        all
    }
}

/// A notification in a path that waits for its time.
pub(crate) enum OfScheduled {}

impl IntoParams for OfScheduled {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = OfUser::into_params(place);
        all.push(in_path(
            "id",
            "The notification's id",
            names::notification_id(),
        ));
        all
    }
}

fn in_path(name: &str, about: &str, schema: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about))
        .schema(Some(raw(schema)))
        .build()
}

/// Which part of a list is asked for.
pub(crate) enum Paged {}

impl IntoParams for Paged {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        query(vec![
            optional(
                "after",
                json!({ "type": "string", "description": "`next` of the page before; absent: from the start" }),
            ),
            optional(
                "limit",
                json!({ "type": "integer", "minimum": 1, "maximum": MOST_OF_A_PAGE, "default": 100 }),
            ),
        ])
    }
}

/// A revocation's id in a path.
pub(crate) enum OfRevocation {}

impl IntoParams for OfRevocation {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The revocation's id, as `GET /api/tokens/revocations` has it";
        let id = json!({ "type": "string", "minLength": 1 });
        vec![in_path("id", about, id)]
    }
}

/// A gateway's name in a path.
pub(crate) enum OfGateway {}

impl IntoParams for OfGateway {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The gateway's name, as `GET /api/gateways` has it";
        vec![in_path("id", about, names::gateway())]
    }
}

/// A channel in a path.
pub(crate) enum OfChannel {}

impl IntoParams for OfChannel {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_path("channel", "The channel", names::channel())]
    }
}
