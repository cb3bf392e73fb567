//! The documents: OpenAPI of the REST API, AsyncAPI of the socket, and the table of errors.

use carillon_common::{
    errors,
    protocol::schema,
    settings::{Scope, Settings},
};
use serde_json::{Value, json};
use utoipa::openapi::{
    Components, ComponentsBuilder, Info, InfoBuilder, License, OpenApi, OpenApiBuilder, Paths,
    security::{Http, HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::{Tag, TagBuilder},
};

use super::{
    refusals,
    schema::raw,
    values::{self, in_seconds},
};
use crate::{router::api, routes::batch::BatchNotification};

const SCOPES: [Scope; 5] = [
    Scope::Send,
    Scope::Broadcast,
    Scope::Read,
    Scope::Admin,
    Scope::Tickets,
];

/// Where the documents are, from the repository's root, and their text: what is committed is as of the default
/// settings.
pub fn files() -> Vec<(&'static str, String)> {
    let settings = Settings::default();
    vec![
        ("docs/openapi.json", text(&openapi(&settings))),
        ("docs/asyncapi.json", text(&asyncapi(&settings))),
        (errors::PATH, errors::markdown()),
    ]
}

/// The REST API of a dispatcher with these settings (OpenAPI 3.1).
pub fn openapi(settings: &Settings) -> Value {
    let document = api().into_openapi();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for (name, place, limit) in values::limits(settings) {
        let pointer = format!("/components/schemas/{name}{place}");
        if let Some(place) = document.pointer_mut(&pointer) {
            *place = limit;
        }
    }
    // Who does not name several users is never answered so.
    document["components"]["schemas"]["SeveralAnswer"]["x-answers"] = "target_users".into();
    optional_bodies(&mut document);
    document["x-limits"] = json!({
        "body_bytes": settings.dispatcher.body_bytes,
        "batch_bytes": settings.dispatcher.batch_bytes,
        "request_timeout_seconds": in_seconds(settings.dispatcher.request_timeout),
        "store_timeout_seconds": in_seconds(settings.dispatcher.store_timeout),
        "idempotency_ttl_seconds": in_seconds(settings.idempotency.ttl),
    });
    document
}

/// A body that may be absent is described as one that may be null, which none may be.
fn optional_bodies(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let schema = operation.pointer_mut("/requestBody/content/application~1json/schema");
        let Some(schema) = schema else { continue };
        let shapes = schema["oneOf"].as_array_mut().map(std::mem::take);
        let body = shapes.and_then(|all| all.into_iter().find(|it| it["type"] != "null"));
        if let Some(body) = body {
            *schema = body;
            operation["requestBody"]["required"] = false.into();
        }
    }
}

/// The socket of the gateways beside it (AsyncAPI 3.1).
pub(super) fn asyncapi(settings: &Settings) -> Value {
    schema::document(&settings.gateway.path, &settings.sse.path)
}

/// A document as a file.
pub(super) fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// What every route's description is added to.
pub(crate) fn base() -> OpenApi {
    OpenApiBuilder::new()
        .info(info())
        .paths(Paths::new())
        .components(Some(components()))
        .tags(Some(tags()))
        .build()
}

fn info() -> Info {
    let about = "Takes notifications from your services. Clients do not use it: they connect to a gateway's \
                 WebSocket. 2xx means accepted; until then retry, which an `Idempotency-Key` makes safe. Every refusal \
                 is a problem (RFC 9457) with a stable `code`. A request whose head has more than 16 KiB is answered \
                 431 without a body, and what is no HTTP/1.1 with 400.";
    InfoBuilder::new()
        .title("Carillon: the REST API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .license(Some(License::new("Apache-2.0")))
        .build()
}

fn components() -> Components {
    let scopes = SCOPES.map(Scope::as_str);
    let about = format!(
        "An API key (`carillon apikey new`). Scopes: {}. What a route needs is named beside it",
        scopes.join(", ")
    );
    let key: Http = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(about))
        .build();
    let token: Http = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A client's token, as it shows it to a gateway; of pages",
        ))
        .build();
    ComponentsBuilder::new()
        .schema("Problem", raw(refusals::problem()))
        .schema_from::<values::Data>()
        .schema_from::<values::SendTtl>()
        .schema_from::<values::CollapseKey>()
        .schema_from::<values::DeliverAt>()
        .schema_from::<values::BroadcastTtl>()
        .schema_from::<BatchNotification>()
        .schema_from::<values::TicketSession>()
        .security_scheme("api_key", SecurityScheme::Http(key))
        .security_scheme("token", SecurityScheme::Http(token))
        .build()
}

fn tags() -> Vec<Tag> {
    let tag = |name: &str, about: &str| {
        TagBuilder::new()
            .name(name)
            .description(Some(about))
            .build()
    };
    vec![
        tag("notifications", "To users, to channels, to everyone"),
        tag(
            "users",
            "Where they are, what they are given, and what became of it",
        ),
        tag("channels", "What is said on them, and who listens"),
        tag("me", "What a user's own pages ask, with the user's token"),
        tag("gateways", "For operators"),
        tag(
            "tokens",
            "Of clients and services: revoked ones, and tickets that stand for one",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        dispatch::{BatchItem, BroadcastRequest, RevokeRequest, SendRequest, TicketRequest},
        error::ApiError,
        extract::Fields,
        paths::ROUTES,
    };

    fn operations(document: &Value) -> BTreeSet<(String, String)> {
        let paths = document["paths"].as_object().unwrap();
        let each = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        });
        each.collect()
    }

    #[test]
    fn every_route_is_in_the_contract_and_no_other() {
        let document = openapi(&Settings::default());
        assert_eq!(document["openapi"], "3.1.0");
        let named = ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned()));
        assert_eq!(operations(&document), BTreeSet::from(named));
    }

    #[test]
    fn every_operation_is_described_whole() {
        let document = openapi(&Settings::default());
        let tags: Vec<_> = document["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["name"])
            .collect();
        let mut ids = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id), "{id} twice");
                assert!(
                    operation["summary"]
                        .as_str()
                        .is_some_and(|it| it.len() > 10),
                    "{id}"
                );
                assert!(tags.contains(&&operation["tags"][0]), "{id}");
                let needed = &operation["security"][0];
                let scope = &needed["api_key"][0];
                assert!(
                    SCOPES.iter().any(|it| *scope == it.as_str()) || needed["token"].is_array(),
                    "{id}: {needed}"
                );
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|status| status.starts_with('2')), "{id}");
                for status in ["401", "403", "500", "503"] {
                    assert!(answers.contains_key(status), "{id} lacks {status}");
                }
            }
        }
    }

    /// The readers name what they know when they meet what they do not.
    #[test]
    fn the_fields_that_are_described_are_those_that_are_read() {
        let settings = Settings::default();
        let document = openapi(&settings);
        let fields = Fields::from_json(br#"{"no_such_field":1}"#).unwrap();
        let send = SendRequest::read(&fields, &settings).err();
        let broadcast = BroadcastRequest::read(&fields, &settings).err();
        let item = BatchItem::read(&fields, &settings).err();
        let revoke = RevokeRequest::read(&fields, &settings.auth, 0).err();
        let ticket = TicketRequest::read(&fields, &settings.auth, true).err();
        for (name, refused) in [
            ("SendFields", send),
            ("BroadcastFields", broadcast),
            ("BatchNotification", item),
            ("RevokeFields", revoke),
            ("TicketFields", ticket),
        ] {
            let Some(ApiError::InvalidFields(errors)) = refused else {
                panic!("{name}: {refused:?}");
            };
            let told = &errors.last().unwrap().problem.detail;
            let (_, known) = told.split_once("known are ").unwrap();
            let known: BTreeSet<&str> = known.split(", ").collect();
            let described = document["components"]["schemas"][name]["properties"].as_object();
            let described: BTreeSet<&str> = described.unwrap().keys().map(String::as_str).collect();
            assert_eq!(described, known, "{name}");
        }
    }

    #[test]
    fn limits_are_those_of_the_settings() {
        let mut settings = Settings::default();
        settings.inbox.ttl = std::time::Duration::from_secs(60);
        settings.dispatcher.body_bytes = 1000;
        let document = openapi(&settings);
        let ttl = document.pointer("/components/schemas/SendTtl/anyOf/0/maximum");
        assert_eq!(ttl, Some(&json!(60)));
        assert_eq!(document["x-limits"]["body_bytes"], 1000);
    }
}
