//! The protocol as JSON Schema (draft 2020-12): every frame of each dialect, and the AsyncAPI document of them.
//!
//! The schemas are open: clients ignore fields that they do not know. The tests close them, and hold every
//! frame against them that passes through a test's client.

mod asyncapi;
mod client;
pub mod names;
mod server;

pub use asyncapi::document;
pub use client::{auth, requests};
pub use server::answers;

use serde_json::{Map, Value, json};

use super::Dialect;

/// A kind of frame, described.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its `type`; of the application's notifications `notification`.
    pub kind: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What it looks like.
    pub schema: Value,
    /// One of them.
    pub example: Value,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Simple, Self::V1, Self::Events];

    /// Its name in documents.
    pub fn key(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::V1 => "v1",
            Self::Events => "events",
        }
    }
}

/// A field, and whether it is always there.
struct Field(&'static str, Value, Need);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    Sometimes,
}

use Need::{Always, Sometimes};

/// An object with these fields.
fn object(fields: impl IntoIterator<Item = Field>) -> Value {
    let mut required = Vec::new();
    let mut properties = Map::new();
    for Field(name, schema, need) in fields {
        if need == Always {
            required.push(name);
        }
        properties.insert(name.to_owned(), schema);
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// A frame of this `type`, with these fields.
fn frame(kind: &'static str, fields: impl IntoIterator<Item = Field>) -> Value {
    let own = Field("type", json!({ "const": kind }), Always);
    object([own].into_iter().chain(fields))
}

/// A schema with a word on what it is for.
fn said(schema: Value, about: &str) -> Value {
    let mut schema = schema;
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), about.into());
    }
    schema
}

/// The same, or null.
fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// A `ref`, of `carillon.v1` alone.
fn mark(dialect: Dialect) -> Option<Field> {
    (dialect == Dialect::V1).then(|| Field("ref", names::mark(), Sometimes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ClientFrame;

    #[test]
    fn a_frame_is_an_object_of_its_type() {
        let all = Dialect::ALL.into_iter();
        let frames = all.flat_map(|dialect| [requests(dialect), answers(dialect)].concat());
        for Described {
            kind,
            schema,
            example,
            ..
        } in frames
        {
            assert_eq!(schema["type"], "object", "{kind}");
            if kind != "notification" {
                assert_eq!(schema["properties"]["type"]["const"], kind);
                assert_eq!(example["type"], kind);
            }
            let required = schema["required"].as_array().unwrap();
            assert!(
                required
                    .iter()
                    .all(|name| example.get(name.as_str().unwrap()).is_some())
            );
        }
    }

    #[test]
    fn what_clients_may_send_is_understood() {
        for dialect in Dialect::ALL {
            for frame in requests(dialect) {
                let text = frame.example.to_string();
                assert!(ClientFrame::parse(&text).is_ok(), "{text}");
            }
        }
    }
}
