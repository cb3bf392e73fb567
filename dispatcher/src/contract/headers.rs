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

use super::schema::raw;

/// Those of every request.
pub(crate) enum Asking {}

/// Those of a request that is taken once, however often it is repeated.
pub(crate) enum Posting {}

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
            header(
                "traceparent",
                "W3C Trace Context: followed where the dispatcher traces; what is unreadable is passed over",
                json!({ "type": "string" }),
            ),
        ]);
        all
    }
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

/// A gateway's name in a path.
pub(crate) enum OfGateway {}

impl IntoParams for OfGateway {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("The gateway's name, as `GET /api/gateways` has it"))
            .schema(Some(raw(names::gateway())));
        vec![id.build()]
    }
}
