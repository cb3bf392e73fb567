//! Each rule by itself.

use serde_json::{Value, json};

use super::breaks;

/// A document with one route.
fn document() -> Value {
    json!({
        "paths": { "/send": { "post": {
            "security": [{ "api_key": ["send"] }],
            "parameters": [
                { "name": "Idempotency-Key", "in": "header", "required": false, "schema": { "type": "string" } },
                { "name": "kind", "in": "query", "required": false, "schema": { "type": "string" } },
            ],
            "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Send" } } } },
            "responses": {
                "200": {
                    "headers": { "X-Request-Id": { "schema": { "type": "string" } } },
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Sent" } } },
                },
                "422": { "content": { "application/problem+json": { "schema": { "allOf": [
                    { "$ref": "#/components/schemas/Problem" },
                    { "properties": { "code": { "enum": ["invalid_field", "unknown_field"] } } },
                ] } } } },
            },
        } } },
        "components": { "schemas": {
            "Send": {
                "type": "object", "additionalProperties": false, "required": ["user"],
                "properties": {
                    "user": { "type": "string", "minLength": 1, "maxLength": 255, "x-max-bytes": 255 },
                    "channel": { "type": "string", "pattern": "^[a-z]+$" },
                    "ttl": { "anyOf": [{ "type": "number", "minimum": 0, "maximum": 60 }, { "type": "string" }] },
                    "level": { "enum": ["low", "high"] },
                },
            },
            "Sent": {
                "type": "object", "required": ["id", "cursor"],
                "properties": {
                    "id": { "type": "string", "format": "uuid" },
                    "cursor": { "type": ["string", "null"] },
                    "outcome": { "enum": ["routed", "queued"] },
                    "list": { "type": "array", "items": { "type": "object", "required": ["a"],
                        "properties": { "a": { "type": "integer" } } } },
                    "place": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                },
            },
            "Problem": { "type": "object", "required": ["code"], "properties": { "code": { "type": "string" } } },
        } },
    })
}

const POST: &str = "/paths/~1send/post";
const SEND: &str = "/components/schemas/Send";
const SENT: &str = "/components/schemas/Sent";

/// The document with a change at a place.
fn changed(place: &str, value: Value) -> Value {
    let mut document = document();
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        parent => parent[name.replace("~1", "/")] = value,
    }
    document
}

#[track_caller]
fn breaking(place: &str, value: Value, told: &str) {
    let found = breaks(&document(), &changed(place, value));
    assert_eq!(found.len(), 1, "{place}: {found:?}");
    assert!(found[0].contains(told), "{place}: {found:?}");
}

#[track_caller]
fn harmless(place: &str, value: Value) {
    let found = breaks(&document(), &changed(place, value));
    assert!(found.is_empty(), "{place}: {found:?}");
}

#[test]
fn the_same_breaks_nothing() {
    assert_eq!(breaks(&document(), &document()), Vec::<String>::new());
}

#[test]
fn a_route_that_is_gone() {
    breaking("/paths/~1send", json!({}), "POST /send: is gone");
    breaking(
        "/paths/~1send",
        json!({ "put": document()["paths"]["/send"]["post"] }),
        "is gone",
    );
    harmless("/paths/~1new", json!({ "get": {} }));
}

#[test]
fn another_scope() {
    breaking(
        &format!("{POST}/security"),
        json!([{ "api_key": ["admin"] }]),
        "scope",
    );
    harmless(
        &format!("{POST}/security"),
        json!([{ "api_key": ["send"] }, { "api_key": ["admin"] }]),
    );
    harmless(&format!("{POST}/security"), json!([]));
}

#[test]
fn parameters() {
    let at = |index: usize| format!("{POST}/parameters/{index}");
    let kind = |required: bool, schema: Value| json!({ "name": "kind", "in": "query", "required": required, "schema": schema });
    breaking(
        &at(1),
        kind(true, json!({ "type": "string" })),
        "must be there now",
    );
    breaking(
        &at(1),
        kind(false, json!({ "type": "integer" })),
        "the type was",
    );
    breaking(
        &at(1),
        json!({ "name": "other", "in": "query", "schema": {} }),
        "is taken no more",
    );
    harmless(
        &at(1),
        kind(false, json!({ "type": ["string", "integer"] })),
    );
    harmless(
        &at(0),
        json!({ "name": "other", "in": "header", "schema": {} }),
    );
}

#[test]
fn a_body_that_must_be_there_or_is_of_another_kind() {
    breaking(
        &format!("{POST}/requestBody/required"),
        json!(true),
        "must be there now",
    );
    breaking(
        &format!("{POST}/requestBody/content"),
        json!({ "text/xml": {} }),
        "no more as application/json",
    );
}

#[test]
fn fields_of_requests() {
    breaking(
        &format!("{SEND}/required"),
        json!(["user", "level"]),
        "/level: must be there now",
    );
    let mut properties = document()["components"]["schemas"]["Send"]["properties"].clone();
    properties["new"] = json!({ "type": "string" });
    harmless(&format!("{SEND}/properties"), properties.clone());
    properties.as_object_mut().unwrap().remove("channel");
    breaking(
        &format!("{SEND}/properties"),
        properties,
        "/channel: is gone",
    );
    harmless(&format!("{SEND}/required"), json!([]));
    harmless(&format!("{SEND}/additionalProperties"), json!(true));
    let mut open = document();
    open["components"]["schemas"]["Send"]["additionalProperties"] = json!(true);
    assert_eq!(breaks(&open, &document()).len(), 1);
}

#[test]
fn one_field_of_several() {
    let one_of = |names: &[&str]| {
        let mut send = document()["components"]["schemas"]["Send"].clone();
        send["required"] = json!([]);
        for name in ["users", "channels"] {
            send["properties"][name] = json!({ "type": "array" });
        }
        let all = names.iter().map(|name| json!({ "required": [name] }));
        send["oneOf"] = all.collect();
        send
    };
    harmless(SEND, one_of(&["user", "users"]));
    breaking(SEND, one_of(&["users", "channels"]), "must be there now");
    let mut less = one_of(&["user", "users"]);
    less["properties"].as_object_mut().unwrap().remove("level");
    breaking(SEND, less, "/level: is gone");
}

#[test]
fn an_answer_to_a_field_that_is_new() {
    let content = format!("{POST}/responses/200/content/application~1json/schema");
    let answered = |field: Option<&str>| {
        let mut several =
            json!({ "type": "object", "properties": { "results": { "type": "array" } } });
        if let Some(field) = field {
            several["x-answers"] = field.into();
        }
        json!({ "oneOf": [{ "$ref": "#/components/schemas/Sent" }, several] })
    };
    harmless(&content, answered(Some("users")));
    breaking(&content, answered(Some("user")), "was never answered");
    breaking(&content, answered(None), "was never answered");
}

#[test]
fn limits_of_requests() {
    let user = format!("{SEND}/properties/user");
    breaking(
        &format!("{user}/minLength"),
        json!(2),
        "minLength was 1, is 2",
    );
    breaking(
        &format!("{user}/maxLength"),
        json!(254),
        "maxLength was 255, is 254",
    );
    breaking(&format!("{user}/x-max-bytes"), json!(64), "x-max-bytes");
    breaking(&format!("{user}/pattern"), json!("^a"), "pattern was null");
    breaking(
        &format!("{user}/enum"),
        json!(["alice"]),
        "only some values",
    );
    harmless(&format!("{user}/minLength"), json!(0));
    harmless(&format!("{user}/maxLength"), json!(256));
    let channel = format!("{SEND}/properties/channel");
    breaking(
        &format!("{channel}/pattern"),
        json!("^[a-y]+$"),
        "pattern was",
    );
    harmless(&channel, json!({ "type": "string" }));
    breaking(
        &format!("{SEND}/properties/ttl/anyOf/0/maximum"),
        json!(59),
        "number is taken no more",
    );
    harmless(&format!("{SEND}/properties/ttl/anyOf/0/maximum"), json!(61));
    breaking(
        &format!("{SEND}/properties/ttl"),
        json!({ "type": "string" }),
        "number is taken no more",
    );
    breaking(
        &format!("{SEND}/properties/level/enum"),
        json!(["low"]),
        "\"high\" is gone",
    );
    harmless(
        &format!("{SEND}/properties/level/enum"),
        json!(["low", "high", "top"]),
    );
}

#[test]
fn statuses_headers_and_kinds_of_answers() {
    let mut responses = document()
        .pointer(&format!("{POST}/responses"))
        .unwrap()
        .clone();
    responses["503"] = json!({});
    harmless(&format!("{POST}/responses"), responses.clone());
    responses.as_object_mut().unwrap().remove("422");
    breaking(
        &format!("{POST}/responses"),
        responses,
        "the status 422 is gone",
    );
    breaking(
        &format!("{POST}/responses/200/headers"),
        json!({}),
        "X-Request-Id is gone",
    );
    breaking(
        &format!("{POST}/responses/200/content"),
        json!({}),
        "no more as application/json",
    );
}

#[test]
fn fields_of_answers() {
    let mut properties = document()["components"]["schemas"]["Sent"]["properties"].clone();
    properties["new"] = json!({});
    harmless(&format!("{SENT}/properties"), properties.clone());
    properties.as_object_mut().unwrap().remove("outcome");
    breaking(
        &format!("{SENT}/properties"),
        properties,
        "/outcome: is gone",
    );
    breaking(
        &format!("{SENT}/required"),
        json!(["id"]),
        "/cursor: may be missing now",
    );
    harmless(
        &format!("{SENT}/required"),
        json!(["id", "cursor", "outcome"]),
    );
    breaking(
        &format!("{SENT}/properties/id/format"),
        json!("uri"),
        "the format was",
    );
    breaking(
        &format!("{SENT}/properties/id/type"),
        json!(["string", "null"]),
        "the type was",
    );
    harmless(&format!("{SENT}/properties/cursor/type"), json!("string"));
    let item = format!("{SENT}/properties/list/items/properties/a/type");
    breaking(&item, json!("number"), "[] /a: the type was");
    let place = format!("{SENT}/properties/place");
    breaking(
        &place,
        json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] }),
        "integer was never answered",
    );
    harmless(&place, json!({ "type": "string" }));
}

#[test]
fn values_of_answers() {
    let outcome = format!("{SENT}/properties/outcome");
    breaking(
        &format!("{outcome}/enum"),
        json!(["routed"]),
        "\"queued\" is gone",
    );
    harmless(
        &format!("{outcome}/enum"),
        json!(["routed", "queued", "dropped"]),
    );
    breaking(&outcome, json!({ "type": "string" }), "");
    let codes = format!(
        "{POST}/responses/422/content/application~1problem+json/schema/allOf/1/properties/code/enum"
    );
    breaking(
        &codes,
        json!(["invalid_field"]),
        "\"unknown_field\" is gone",
    );
}
