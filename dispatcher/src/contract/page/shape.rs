//! JSON Schema in words.

use serde_json::Value;

use super::html::{escaped, line, text};

/// A schema, and the document in which its references are looked up.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    schema: &'a Value,
    document: &'a Value,
}

impl<'a> Shape<'a> {
    /// Follows a reference, if it is one.
    pub(super) fn of(schema: &'a Value, document: &'a Value) -> Self {
        let pointer = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        let target = pointer.and_then(|it| document.pointer(it));
        Self {
            schema: target.unwrap_or(schema),
            document,
        }
    }

    fn inner(self, schema: &'a Value) -> Self {
        Self::of(schema, self.document)
    }

    /// The fields of an object, those that must be there first.
    pub(super) fn fields(self) -> String {
        let Some(properties) = self.schema["properties"].as_object() else {
            return String::new();
        };
        let is_required = |name: &str| {
            let required = self.schema["required"].as_array();
            required.is_some_and(|names| names.iter().any(|it| it == name))
        };
        let row = |wanted: bool| {
            let chosen = properties
                .iter()
                .filter(move |(name, _)| is_required(name) == wanted);
            chosen.map(move |(name, schema)| self.inner(schema).row(name, wanted))
        };
        format!(
            "<dl>\n{}{}</dl>\n",
            row(true).collect::<String>(),
            row(false).collect::<String>()
        )
    }

    /// One field or parameter.
    pub(super) fn row(self, name: &str, required: bool) -> String {
        let need = if required { "" } else { "optional, " };
        format!(
            "<dt><code>{}</code> <small>{need}{}</small></dt>\n<dd>{}{}</dd>\n",
            escaped(name),
            line(&self.words()),
            line(self.about()),
            self.nested(),
        )
    }

    fn about(self) -> &'a str {
        text(&self.schema["description"])
    }

    /// The fields of what it holds.
    fn nested(self) -> String {
        match text(&self.schema["type"]) {
            "object" => self.fields(),
            "array" => self.inner(&self.schema["items"]).fields(),
            _ => String::new(),
        }
    }

    /// What it may be, in a line.
    pub(super) fn words(self) -> String {
        for either in ["anyOf", "oneOf"] {
            if let Some(shapes) = self.schema[either].as_array() {
                let words: Vec<_> = shapes.iter().map(|it| self.inner(it).words()).collect();
                return words.join(" or ");
            }
        }
        if !self.schema["const"].is_null() {
            return format!("`{}`", self.schema["const"]);
        }
        if let Some(values) = self.schema["enum"].as_array() {
            let words: Vec<_> = values.iter().map(|it| format!("`{it}`")).collect();
            return words.join(" or ");
        }
        let kind = match &self.schema["type"] {
            Value::String(kind) => kind.clone(),
            Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
            _ => "any JSON".to_owned(),
        };
        let limits = self.limits();
        match limits.is_empty() {
            true => kind,
            false => format!("{kind}, {}", limits.join(", ")),
        }
    }

    fn limits(self) -> Vec<String> {
        let said = |name: &str, words: &str| {
            let limit = &self.schema[name];
            (!limit.is_null())
                .then(|| format!("{words} {}", limit.to_string().trim_end_matches(".0")))
        };
        let pattern = self.schema["pattern"].as_str();
        let format = self.schema["format"].as_str();
        // Bytes say it better than characters.
        let longest = said("x-max-bytes", "bytes ≤").or_else(|| said("maxLength", "length ≤"));
        [
            format
                .filter(|it| !it.starts_with("int"))
                .map(str::to_owned),
            said("minLength", "length ≥"),
            longest,
            said("minimum", "≥"),
            said("exclusiveMinimum", ">"),
            said("maximum", "≤"),
            pattern.map(|it| format!("`{it}`")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_told_in_words() {
        let document = json!({ "names": { "type": "string", "minLength": 1, "x-max-bytes": 9, "maxLength": 9 } });
        for (schema, words) in [
            (
                json!({ "$ref": "#/names" }),
                "string, length ≥ 1, bytes ≤ 9",
            ),
            (
                json!({ "anyOf": [{ "const": "ok" }, { "type": "null" }] }),
                "`\"ok\"` or null",
            ),
            (
                json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 60.0 }),
                "number, > 0, ≤ 60",
            ),
            (json!({ "enum": [1, 2] }), "`1` or `2`"),
            (json!({}), "any JSON"),
        ] {
            assert_eq!(Shape::of(&schema, &document).words(), words);
        }
    }
}
