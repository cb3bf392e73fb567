//! The protocol: every frame and field that docs/protocol.md shows exists, and every one is shown.

use std::collections::{BTreeMap, BTreeSet};

use carillon_common::protocol::{ClientFrame, ErrorCode, is_reserved_type};
use serde_json::{Map, Value};

use super::parts;
use crate::tidy::{code, read};

/// The frames that follow an arrow in the document: of the gateway (`←`) or of clients (`→`).
fn shown(arrow: char) -> Vec<Map<String, Value>> {
    let text = read("docs/protocol.md");
    let (blocks, _) = parts("docs/protocol.md", &text);
    let block = blocks
        .iter()
        .find(|block| block.language == "jsonc")
        .unwrap();
    let mut frames = Vec::new();
    let mut pieces = block.text.split(['→', '←']);
    let mut rest = block.text.as_str();
    pieces.next();
    for piece in pieces {
        let at = rest.find(['→', '←']).unwrap();
        let is_wanted = rest[at..].starts_with(arrow);
        rest = &rest[at + arrow.len_utf8()..];
        let begin = piece
            .find('{')
            .unwrap_or_else(|| panic!("no frame in {piece}"));
        let mut values =
            serde_json::Deserializer::from_str(&piece[begin..]).into_iter::<Map<_, _>>();
        let frame = values.next().unwrap();
        let frame = frame.unwrap_or_else(|error| panic!("{piece}: {error}"));
        if is_wanted {
            frames.push(frame);
        }
    }
    assert!(frames.len() > 4, "{frames:?}");
    frames
}

/// The kinds of frames that shown ones are, each with all fields that are shown of it.
fn kinds(frames: Vec<Map<String, Value>>) -> BTreeMap<String, BTreeSet<String>> {
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for frame in frames {
        let kind = frame["type"].as_str().unwrap().to_owned();
        kinds
            .entry(kind)
            .or_default()
            .extend(frame.into_iter().map(|(name, _)| name));
    }
    kinds
}

#[test]
fn frames_of_clients_are_understood_and_all_are_shown() {
    let shown = kinds(shown('→'));
    for (kind, fields) in &shown {
        let text = format!("{{\"type\":\"{kind}\"}}");
        let unknown =
            matches!(ClientFrame::parse(&text), Err(error) if error.code == ErrorCode::UnknownType);
        assert!(!unknown, "{kind} {fields:?}");
        assert!(
            is_reserved_type(kind),
            "a notification may be called {kind}"
        );
    }
    let parser = read("common/src/protocol/client.rs");
    let lines = code(&parser);
    // The arms of the parser, and the fields of what it reads.
    let arms = lines
        .iter()
        .filter_map(|line| line.trim().strip_prefix("Some(\""));
    let arms: Vec<_> = arms.filter_map(|arm| arm.split('"').next()).collect();
    assert!(arms.contains(&"subscribe"), "{arms:?}");
    for kind in arms {
        assert!(
            shown.contains_key(kind),
            "docs/protocol.md shows no → {kind}"
        );
    }
    let fields = fields_of(&parser, "struct Raw<'a> {");
    let all: BTreeSet<_> = shown.values().flatten().cloned().collect();
    let prose = read("docs/protocol.md");
    for field in fields {
        let told = all.contains(&field) || prose.contains(&format!("`{field}`"));
        assert!(told, "docs/protocol.md does not tell of {field}");
    }
}

#[test]
fn frames_of_the_gateway_are_built_and_all_are_shown() {
    let mut shown = kinds(shown('←'));
    // The notification, whose type is its sender's.
    let notification = shown.remove("order.shipped").unwrap();
    assert!(notification.contains("id") && notification.contains("target_user"));
    let built = server_frames();
    assert!(built.len() > 8, "{built:?}");
    for (kind, fields) in &built {
        assert!(
            is_reserved_type(kind),
            "a notification may be called {kind}"
        );
        let Some(told) = shown.remove(kind) else {
            panic!("docs/protocol.md shows no ← {kind}");
        };
        let told: BTreeSet<_> = told.into_iter().filter(|it| it != "type").collect();
        let mut fields = fields.clone();
        // On every answer, told once for all.
        fields.remove("ref");
        assert_eq!(told, fields, "the fields of ← {kind}");
    }
    assert!(shown.is_empty(), "nothing builds {shown:?}");
}

/// The variants of `ServerFrame` as they are written, with their fields.
fn server_frames() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("common/src/protocol/server.rs");
    let (_, body) = text.split_once("pub enum ServerFrame<'a> {\n").unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let variants = body
        .split("\n    },")
        .filter_map(|variant| variant.split_once(" {\n"));
    variants
        .map(|(name, fields)| (snake_case(name.trim()), fields_of(fields, "")))
        .collect()
}

/// The names of a struct's fields, as serde writes them.
fn fields_of(text: &str, after: &str) -> BTreeSet<String> {
    let (_, body) = text.split_once(after).unwrap();
    let mut fields = BTreeSet::new();
    let mut renamed = None;
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split('"').next();
        } else if let Some((name, _)) = line.split_once(": ")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            fields.insert(renamed.take().unwrap_or(name).to_owned());
        }
    }
    fields
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}
