//! The AsyncAPI document of the socket (AsyncAPI 3.1, as of the gateway: it receives what clients send).

use serde_json::{Map, Value, json};

use super::{Described, answers, names, requests};
use crate::protocol::{BEARER_ITEM, CloseCode, Dialect, SUBPROTOCOL};

/// The document of a gateway whose sockets are at one path, and whose event streams at the other.
pub fn document(sockets: &str, streams: &str) -> Value {
    json!({
        "asyncapi": "3.1.0",
        "info": {
            "title": "Carillon: the socket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What devices of users are given, in order, each once to the application: one WebSocket \
                (RFC 6455), text frames of JSON. Notifications have an `id`, control frames never do. Ignore fields \
                and types that you do not know. docs/protocol.md says how a client behaves.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "gateway": {
            "host": "{host}",
            "protocol": "wss",
            "description": "A gateway, or what stands before all of them",
            "variables": { "host": { "default": "localhost:8080" } },
            "security": [{ "$ref": "#/components/securitySchemes/token" }],
        }, "streams": {
            "host": "{host}",
            "protocol": "https",
            "description": "The same, for event streams",
            "variables": { "host": { "default": "localhost:8080" } },
            "security": [{ "$ref": "#/components/securitySchemes/token" }],
        } },
        "channels": per_dialect(|dialect| {
            let path = if dialect.is_asked() { sockets } else { streams };
            (dialect.key().to_owned(), channel(dialect, path))
        }),
        "operations": operations(),
        "components": {
            "messages": messages(),
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A JWT whose `sub` is the user: in `Authorization: Bearer`, as a subprotocol \
                    `bearer.<base64url of the token>` beside `carillon.v1`, in the query parameter `token`, or, of \
                    `carillon.v1`, in an `auth` frame that comes first",
            } },
        },
        "x-close-codes": CloseCode::ALL.iter().map(|code| {
            let row = code.explained();
            json!({ "code": code.code(), "reason": row.code, "title": row.title, "description": row.meaning,
                "remedy": row.remedy, "comeBack": row.retry.words() })
        }).collect::<Vec<_>>(),
    })
}

fn per_dialect(entry: impl Fn(Dialect) -> (String, Value)) -> Map<String, Value> {
    Dialect::ALL.into_iter().map(entry).collect()
}

fn channel(dialect: Dialect, path: &str) -> Value {
    let frames = [requests(dialect), answers(dialect)].concat();
    let of = |frame: &Described| {
        (
            frame.kind.to_owned(),
            reference("components/messages", &name(dialect, frame)),
        )
    };
    let (title, about) = match dialect {
        Dialect::Simple => ("The simple protocol", "A connection without a subprotocol"),
        Dialect::V1 => (
            "carillon.v1",
            "Its superset: acks, resuming, gaps, planned moves",
        ),
        Dialect::Events => (
            "Event streams",
            "The same frames as server-sent events (HTML standard, section 9.2), for where no WebSocket gets through: \
             the client says nothing, and acks by coming back with `Last-Event-ID`",
        ),
    };
    let mut channel = json!({
        "address": path,
        "title": title,
        "description": about,
        "servers": [reference("servers", server(dialect))],
        "messages": frames.iter().map(of).collect::<Map<_, _>>(),
    });
    if dialect.is_asked() {
        channel["bindings"] = json!({ "ws": handshake(dialect) });
    }
    channel
}

fn server(dialect: Dialect) -> &'static str {
    if dialect.is_asked() {
        "gateway"
    } else {
        "streams"
    }
}

/// What a client asks for when it connects.
fn handshake(dialect: Dialect) -> Value {
    let mut query = json!({
        "token": { "type": "string", "description": "The token, where no header can hold it" },
        "device": names::device(),
        "session": names::device(),
    });
    let mut binding = json!({ "method": "GET", "bindingVersion": "0.1.0" });
    if dialect == Dialect::V1 {
        query["since"] = names::cursor();
        let about = format!("`{SUBPROTOCOL}`, and perhaps `{BEARER_ITEM}<base64url of the token>`");
        binding["headers"] = json!({
            "type": "object", "required": ["Sec-WebSocket-Protocol"],
            "properties": { "Sec-WebSocket-Protocol": { "type": "string", "description": about } },
        });
    }
    binding["query"] = json!({ "type": "object", "properties": query });
    binding
}

/// One for each direction; and one for each request that has an answer of its own.
fn operations() -> Map<String, Value> {
    let mut all = Map::new();
    for dialect in Dialect::ALL {
        let channel = dialect.key();
        let told = |frames: &[Described]| -> Vec<Value> {
            frames
                .iter()
                .map(|frame| of_channel(channel, frame.kind))
                .collect()
        };
        all.insert(
            format!("{channel}.send"),
            json!({ "action": "send", "channel": reference("channels", channel),
                "summary": "What a gateway sends", "messages": told(&answers(dialect)) }),
        );
        for request in requests(dialect) {
            let mut operation = json!({ "action": "receive", "channel": reference("channels", channel),
                "summary": request.about, "messages": [of_channel(channel, request.kind)] });
            let replies = replies(dialect, request.kind);
            if !replies.is_empty() {
                let messages: Vec<_> = replies
                    .iter()
                    .map(|kind| of_channel(channel, kind))
                    .collect();
                operation["reply"] =
                    json!({ "channel": reference("channels", channel), "messages": messages });
            }
            all.insert(format!("{channel}.{}", request.kind), operation);
        }
    }
    all
}

fn replies(dialect: Dialect, kind: &str) -> &'static [&'static str] {
    match (kind, dialect) {
        ("ping", _) => &["pong"],
        ("subscribe", _) => &["subscribed", "error"],
        ("unsubscribe", Dialect::V1) => &["unsubscribed", "error"],
        ("auth", _) => &["authenticated", "error"],
        _ => &[],
    }
}

fn messages() -> Map<String, Value> {
    let mut all = Map::new();
    for dialect in Dialect::ALL {
        for frame in [requests(dialect), answers(dialect)].concat() {
            let message = json!({
                "name": frame.kind, "title": frame.kind, "summary": frame.about,
                "payload": frame.schema, "examples": [{ "payload": frame.example }],
            });
            all.insert(name(dialect, &frame), message);
        }
    }
    all
}

fn name(dialect: Dialect, frame: &Described) -> String {
    format!("{}.{}", dialect.key(), frame.kind)
}

fn of_channel(channel: &str, kind: &str) -> Value {
    json!({ "$ref": format!("#/channels/{channel}/messages/{kind}") })
}

fn reference(folder: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{folder}/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value {
                Value::String(to) if name == "$ref" => found.push(to.clone()),
                value => references(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document("/ws/notifications", "/sse/notifications");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 60, "{found:?}");
        for to in found {
            let pointer = to.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{to}");
        }
    }
}
