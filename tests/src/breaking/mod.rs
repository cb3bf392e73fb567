//! What of a change to an OpenAPI document would break callers of the document before. Pure.
//!
//! Callers may go on sending what they send, and find in answers what they find: so what is taken may only grow, and
//! what is answered may only gain fields. Codes are told apart by programs: none goes away.

mod schema;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use schema::{Side, compare};

/// Everything that would break, in words; empty when nothing would.
#[must_use]
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Breaks::default();
    for (path, item) in members(&old["paths"]) {
        for (method, operation) in members(item) {
            let place = format!("{} {path}", method.to_uppercase());
            let now = &new["paths"][path.as_str()][method.as_str()];
            if now.is_null() {
                found.note(&place, "is gone");
                continue;
            }
            let between = Between {
                old: Document(old),
                new: Document(new),
            };
            between.operation(&place, operation, now, &mut found);
        }
    }
    found.0
}

/// A document, in which references are followed.
#[derive(Clone, Copy)]
struct Document<'a>(&'a Value);

impl<'a> Document<'a> {
    /// What is meant, be it a reference or not.
    fn resolve(self, value: &'a Value) -> &'a Value {
        let mut value = value;
        // A chain of references that is longer is a circle.
        for _ in 0..8 {
            let Some(to) = value["$ref"].as_str() else {
                break;
            };
            value = self
                .0
                .pointer(to.trim_start_matches('#'))
                .unwrap_or(&Value::Null);
        }
        value
    }

    /// Whether something in it has a field of this name.
    fn has_field(self, name: &str) -> bool {
        fn is_in(value: &Value, name: &str) -> bool {
            match value {
                Value::Object(members) => {
                    let fields = members.get("properties");
                    fields.is_some_and(|it| !it[name].is_null())
                        || members.values().any(|it| is_in(it, name))
                }
                Value::Array(items) => items.iter().any(|it| is_in(it, name)),
                _ => false,
            }
        }
        is_in(self.0, name)
    }
}

#[derive(Default)]
struct Breaks(Vec<String>);

impl Breaks {
    fn note(&mut self, place: &str, what: &str) {
        self.0.push(format!("{place}: {what}"));
    }
}

#[derive(Clone, Copy)]
struct Between<'a> {
    old: Document<'a>,
    new: Document<'a>,
}

impl<'a> Between<'a> {
    fn operation(self, place: &str, old: &'a Value, new: &'a Value, found: &mut Breaks) {
        self.security(place, old, new, found);
        self.parameters(place, old, new, found);
        self.body(place, &old["requestBody"], &new["requestBody"], found);
        for (status, answer) in members(&old["responses"]) {
            let now = &new["responses"][status.as_str()];
            match now.is_null() {
                true => found.note(place, &format!("the status {status} is gone")),
                false => self.answer(&format!("{place} {status}"), answer, now, found),
            }
        }
    }

    fn security(self, place: &str, old: &Value, new: &Value, found: &mut Breaks) {
        let allowed = |operation: &Value| {
            operation["security"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        let now = allowed(new);
        let is_open = |ways: &[Value]| ways.is_empty() || ways.contains(&Value::Object(Map::new()));
        let was = allowed(old);
        let stays = |way: &Value| now.contains(way) || is_open(&now);
        if (is_open(&was) && !is_open(&now)) || !was.iter().all(stays) {
            found.note(place, "needs another key or scope");
        }
    }

    fn parameters(self, place: &str, old: &'a Value, new: &'a Value, found: &mut Breaks) {
        let (was, now) = (self.old.parameters(old), self.new.parameters(new));
        for parameter in &now {
            let known = was.iter().find(|it| is_same(it, parameter));
            let was_required = known.is_some_and(|it| it["required"] == true);
            if parameter["required"] == true && !was_required {
                found.note(place, &format!("{} must be there now", name(parameter)));
            }
        }
        for parameter in was {
            let place = format!("{place} {}", name(parameter));
            match now.iter().find(|it| is_same(it, parameter)) {
                // A header that nobody reads any more harms nobody.
                None if parameter["in"] == "header" => {}
                None => found.note(&place, "is taken no more"),
                Some(it) => compare(
                    self,
                    Side::Taken,
                    &place,
                    &parameter["schema"],
                    &it["schema"],
                    found,
                ),
            }
        }
    }

    fn body(self, place: &str, old: &'a Value, new: &'a Value, found: &mut Breaks) {
        let (old, new) = (self.old.resolve(old), self.new.resolve(new));
        let place = format!("{place} body");
        if new["required"] == true && old["required"] != true {
            found.note(&place, "must be there now");
        }
        for (kind, content) in members(&old["content"]) {
            let now = &new["content"][kind.as_str()];
            match now.is_null() {
                true => found.note(&place, &format!("is taken no more as {kind}")),
                false => compare(
                    self,
                    Side::Taken,
                    &place,
                    &content["schema"],
                    &now["schema"],
                    found,
                ),
            }
        }
    }

    fn answer(self, place: &str, old: &'a Value, new: &'a Value, found: &mut Breaks) {
        let (old, new) = (self.old.resolve(old), self.new.resolve(new));
        for (name, _) in members(&old["headers"]) {
            if new["headers"][name.as_str()].is_null() {
                found.note(place, &format!("the header {name} is gone"));
            }
        }
        for (kind, content) in members(&old["content"]) {
            let now = &new["content"][kind.as_str()];
            match now.is_null() {
                true => found.note(place, &format!("is answered no more as {kind}")),
                false => compare(
                    self,
                    Side::Answered,
                    place,
                    &content["schema"],
                    &now["schema"],
                    found,
                ),
            }
        }
    }
}

impl<'a> Document<'a> {
    fn parameters(self, operation: &'a Value) -> Vec<&'a Value> {
        let all = operation["parameters"].as_array().into_iter().flatten();
        all.map(|parameter| self.resolve(parameter)).collect()
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    one["name"] == other["name"] && one["in"] == other["in"]
}

fn name(parameter: &Value) -> String {
    let text = |field: &str| parameter[field].as_str().unwrap_or_default();
    format!("{} {}", text("in"), text("name"))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
