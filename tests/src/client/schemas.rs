//! Every frame against its schema, as docs/asyncapi.json has it: a frame that is not described, or not as it is, fails
//! the test through whose client it passes.

use std::collections::HashMap;
use std::sync::OnceLock;

pub use carillon_common::protocol::Dialect;
use jsonschema::Validator;
use serde_json::Value;

/// Clients must ignore fields that they do not know, so the document leaves frames open; here they are closed.
const DOCUMENT: &str = include_str!("../../../docs/asyncapi.json");

/// Who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// A client.
    Client,
    /// A gateway.
    Gateway,
}

/// A frame of a gateway's, read.
///
/// # Panics
/// When it is none, or not as its schema says.
#[must_use]
pub fn answered(dialect: Dialect, text: &str) -> Value {
    let frame = serde_json::from_str(text);
    let Ok(frame) = frame else {
        panic!("the gateway sent what is no JSON: {text}");
    };
    match fault(dialect, By::Gateway, &frame) {
        None => frame,
        Some(fault) => panic!("docs/asyncapi.json does not allow a gateway {frame}: {fault}"),
    }
}

/// Looks at a frame that a client is about to send.
///
/// # Panics
/// When it is not as its schema says.
pub fn asked(dialect: Dialect, frame: &Value) {
    if let Some(fault) = fault(dialect, By::Client, frame) {
        panic!("docs/asyncapi.json does not allow a client {frame}: {fault}");
    }
}

/// What is wrong with a frame, if anything is.
#[must_use]
pub fn fault(dialect: Dialect, by: By, frame: &Value) -> Option<String> {
    // Only notifications have an id, and their type is their sender's.
    let kind = match (by, frame.get("id")) {
        (By::Gateway, Some(_)) => "notification",
        _ => frame["type"].as_str().unwrap_or_default(),
    };
    let Some(schema) = schemas()
        .get(&(dialect.key(), by))
        .and_then(|all| all.get(kind))
    else {
        return Some(format!(
            "there is no such frame as {kind:?} ({})",
            dialect.key()
        ));
    };
    if schema.is_valid(frame) {
        return None;
    }
    let faults = schema.iter_errors(frame);
    let told = faults.map(|fault| format!("{} at {:?}", fault, fault.instance_path().as_str()));
    Some(told.collect::<Vec<_>>().join("; "))
}

/// The types of the frames that are described.
#[must_use]
pub fn kinds(dialect: Dialect, by: By) -> Vec<&'static str> {
    let all = schemas().get(&(dialect.key(), by)).into_iter().flatten();
    all.map(|(kind, _)| kind.as_str()).collect()
}

/// By what the document calls the channel, and by who sends.
type Schemas = HashMap<(&'static str, By), HashMap<String, Validator>>;

/// Compiled once for all clients of the process.
fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
        let channels = Dialect::ALL.into_iter().map(Dialect::key);
        let places = channels.flat_map(|channel| [(channel, By::Client), (channel, By::Gateway)]);
        places
            .map(|place| (place, compiled(&document, place)))
            .collect()
    })
}

fn compiled(document: &Value, (channel, by): (&str, By)) -> HashMap<String, Validator> {
    let action = match by {
        By::Client => "receive",
        By::Gateway => "send",
    };
    let channel = format!("#/channels/{channel}");
    let operations = document["operations"].as_object().into_iter().flatten();
    let wanted = operations
        .map(|(_, operation)| operation)
        .filter(|it| it["action"] == action && it["channel"]["$ref"] == *channel);
    let messages = wanted.flat_map(|it| it["messages"].as_array().into_iter().flatten());
    let follow = |it: &Value| {
        let to = it["$ref"].as_str().unwrap_or_default();
        document.pointer(to.trim_start_matches('#'))
    };
    let messages = messages.filter_map(|it| follow(it).and_then(follow));
    messages
        .map(|message| {
            let kind = message["name"].as_str().unwrap_or_default();
            let schema = closed(message["payload"].clone());
            let options = jsonschema::options().should_validate_formats(true);
            let schema = options.build(&schema);
            (
                kind.to_owned(),
                schema.unwrap_or_else(|fault| panic!("the schema of {kind}: {fault}")),
            )
        })
        .collect()
}

/// The same schema, which takes no other fields than those it names.
#[must_use]
pub fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            for value in members.values_mut() {
                *value = closed(value.take());
            }
            if members.get("properties").is_some_and(Value::is_object) {
                members
                    .entry("additionalProperties")
                    .or_insert(false.into());
            }
        }
        Value::Array(items) => {
            for value in items {
                *value = closed(value.take());
            }
        }
        _ => {}
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_that_drifted_is_found() {
        let fault = |frame: Value| fault(Dialect::V1, By::Gateway, &frame);
        let pong = json!({ "type": "pong", "timestamp": "2026-01-01T00:00:00.000Z", "ref": 1 });
        assert_eq!(fault(pong.clone()), None);
        for (field, value) in [
            ("timestamp", Value::Null),
            ("timestamp", "2026-01-01T00:00:00Z".into()),
            ("more", 1.into()),
            ("ref", true.into()),
            ("type", "pang".into()),
            ("id", "x".into()),
        ] {
            let mut changed = pong.clone();
            changed[field] = value;
            assert!(fault(changed.clone()).is_some(), "{changed}");
        }
        let limits = json!({ "frame_bytes": 1, "channels": 1, "frames_per_second": 1, "inbox": 1, "new": 1 });
        let welcome = json!({ "type": "welcome", "limits": limits });
        let told = fault(welcome).unwrap();
        assert!(
            told.contains("/limits") && told.contains("session"),
            "{told}"
        );
    }

    #[test]
    fn each_dialect_has_its_own() {
        let ack = json!({ "type": "ack", "cursor": "1-1" });
        assert_eq!(fault(Dialect::V1, By::Client, &ack), None);
        assert!(fault(Dialect::Simple, By::Client, &ack).is_some());
        let subscribed =
            json!({ "type": "subscribed", "channel": "a", "cursor": "1-1", "recovered": true });
        assert_eq!(fault(Dialect::V1, By::Gateway, &subscribed), None);
        assert!(fault(Dialect::Simple, By::Gateway, &subscribed).is_some());
        assert_eq!(kinds(Dialect::Simple, By::Client).len(), 3);
    }
}
