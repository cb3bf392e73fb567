//! Values made of a JSON Schema, right ones and wrong ones, for as much of it as the contract uses. By a seed, so that
//! what was found is found again.

mod texts;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Number, Value, json};

/// Makes values of the schemas of one document.
pub struct Generator<'a> {
    document: &'a Value,
    rng: StdRng,
}

/// A value that its schema refuses, and why.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// What is wrong with it.
    pub why: String,
    /// The value.
    pub value: Value,
}

impl<'a> Generator<'a> {
    /// One whose choices follow from the seed.
    #[must_use]
    pub fn new(document: &'a Value, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { document, rng }
    }

    /// The schema that is meant, be it a reference or not.
    #[must_use]
    pub fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(to) => {
                let target = self.document.pointer(to.trim_start_matches('#'));
                self.resolve(target.unwrap_or(&Value::Null))
            }
            None => schema,
        }
    }

    /// True so often.
    pub fn happens(&mut self, often: f64) -> bool {
        self.rng.random_bool(often)
    }

    /// A value that the schema takes.
    pub fn right(&mut self, schema: &'a Value) -> Value {
        let schema = self.resolve(schema);
        if !schema["properties"].is_object()
            && let Some(all) = schema["anyOf"].as_array().or(schema["oneOf"].as_array())
        {
            return match all.choose(&mut self.rng) {
                Some(one) => self.right(one),
                None => Value::Null,
            };
        }
        if !schema["const"].is_null() {
            return schema["const"].clone();
        }
        let given = schema["enum"].as_array().or(schema["examples"].as_array());
        let must_choose = !schema["enum"].is_null();
        if let Some(values) = given
            && (must_choose || self.happens(0.2))
            && let Some(value) = values.choose(&mut self.rng)
        {
            return value.clone();
        }
        let kinds = schema["type"].as_array();
        let one_of_them = kinds.and_then(|all| all.choose(&mut self.rng));
        match one_of_them.unwrap_or(&schema["type"]).as_str() {
            Some("string") => self.text(schema).into(),
            Some("integer") => self.integer(schema).into(),
            Some("number") => self.number(schema),
            Some("boolean") => self.happens(0.5).into(),
            Some("null") => Value::Null,
            Some("object") => self.object(schema),
            Some("array") => {
                let count = self.rng.random_range(1..4);
                let mut items: Vec<_> = (0..count).map(|_| self.right(&schema["items"])).collect();
                if schema["uniqueItems"] == true {
                    let mut seen = Vec::new();
                    items.retain(|item| {
                        let is_new = !seen.contains(item);
                        seen.push(item.clone());
                        is_new
                    });
                }
                items.into()
            }
            _ => self.any(3),
        }
    }

    fn object(&mut self, schema: &'a Value) -> Value {
        let either = either(schema);
        let chosen = either.choose(&mut self.rng).copied();
        let mut made = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let wanted = match either.contains(&name.as_str()) {
                true => chosen == Some(name.as_str()),
                false => is_required(schema, name) || self.happens(0.5),
            };
            if wanted {
                made.insert(name.clone(), self.right(field));
            }
        }
        made.into()
    }

    fn integer(&mut self, schema: &Value) -> i64 {
        let least = schema["minimum"].as_i64().unwrap_or(0);
        let most = schema["maximum"].as_i64().unwrap_or(least + 1_000);
        self.rng.random_range(least..=most)
    }

    fn number(&mut self, schema: &Value) -> Value {
        let least = schema["minimum"]
            .as_f64()
            .or(schema["exclusiveMinimum"].as_f64());
        let least = least.unwrap_or(0.0);
        let most = schema["maximum"].as_f64().unwrap_or(least + 1_000.0);
        // Whole ones as often as others, and never the least, which may be excluded.
        let number = (self.rng.random_range(least..most) * 1_000.0).ceil() / 1_000.0;
        match self.happens(0.5) && number >= 1.0 {
            true => json!(number.floor().min(most) as u64),
            false => Number::from_f64(number.clamp(0.001, most)).into(),
        }
    }

    /// Any JSON, so many levels deep at most.
    fn any(&mut self, depth: u32) -> Value {
        let most = if depth == 0 { 4 } else { 6 };
        match self.rng.random_range(0..most) {
            0 => Value::Null,
            1 => self.happens(0.5).into(),
            2 => self.rng.random_range(-1_000_000..1_000_000).into(),
            3 => self.letters(0, 12).into(),
            4 => {
                let count = self.rng.random_range(0..4);
                (0..count).map(|_| self.any(depth - 1)).collect()
            }
            _ => {
                let count = self.rng.random_range(0..4);
                let members = (0..count).map(|_| (self.letters(1, 6), self.any(depth - 1)));
                Value::Object(members.collect())
            }
        }
    }

    /// Objects of this schema with one thing wrong in each: a field too few, too many, of another type, beyond a
    /// limit.
    pub fn wrong(&mut self, schema: &'a Value) -> Vec<Wrong> {
        let schema = self.resolve(schema);
        let mut all = Vec::new();
        for other in [json!([]), json!("text"), json!(7), Value::Null] {
            all.push(Wrong {
                why: format!("it is {other}"),
                value: other,
            });
        }
        let mut more = self.object(schema);
        more["no_such_field"] = json!(1);
        all.push(Wrong {
            why: "an unknown field".to_owned(),
            value: more,
        });
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if is_required(schema, name) {
                let mut less = self.object(schema);
                if let Some(members) = less.as_object_mut() {
                    members.remove(name);
                }
                all.push(Wrong {
                    why: format!("{name} is missing"),
                    value: less,
                });
            }
            let mut wrong = self.wrong_fields(field);
            // Null is as good as absent, and then it is the other one that counts.
            wrong.retain(|value| !value.is_null() || !either(schema).contains(&name.as_str()));
            for value in wrong {
                let mut object = self.object(schema);
                let why = format!("{name} is {}", brief(&value));
                object[name.as_str()] = value;
                all.push(Wrong { why, value: object });
            }
        }
        all
    }

    /// Values that a field does not take.
    fn wrong_fields(&mut self, field: &'a Value) -> Vec<Value> {
        let mut shapes = vec![];
        self.gather(field, &mut shapes);
        let mut wrong = vec![
            json!([]),
            json!({}),
            json!(true),
            json!(7),
            json!("\u{1f980} \t"),
            Value::Null,
        ];
        for shape in &shapes {
            if let Some(most) = shape["maxLength"].as_u64() {
                wrong.push("x".repeat(usize::try_from(most).unwrap_or(0) + 1).into());
            }
            if let Some(most) = shape["maximum"].as_f64() {
                wrong.push(json!(most + 1.0));
            }
            let refused = shape["not"]["enum"].as_array().into_iter().flatten();
            wrong.extend(refused.cloned());
            wrong.extend(["", "a b", "$own", "*"].map(Value::from));
            wrong.extend([json!(-1), json!(0)]);
        }
        wrong.retain(|value| !shapes.iter().any(|shape| takes(shape, value)));
        wrong
    }

    /// The alternatives that a field has.
    fn gather(&self, schema: &'a Value, shapes: &mut Vec<&'a Value>) {
        let schema = self.resolve(schema);
        match schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            Some(all) => all.iter().for_each(|one| self.gather(one, shapes)),
            None => shapes.push(schema),
        }
    }
}

/// Whether the schema, which has no alternatives, takes the value.
fn takes(schema: &Value, value: &Value) -> bool {
    jsonschema::validator_for(schema).is_ok_and(|it| it.is_valid(value))
}

/// The fields of which one and no other must be there.
fn either(schema: &Value) -> Vec<&str> {
    let all = schema["oneOf"].as_array().into_iter().flatten();
    all.flat_map(required).collect()
}

fn is_required(schema: &Value, name: &str) -> bool {
    required(schema).any(|it| it == name)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let all = schema["required"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str)
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "names": { "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$" },
            "own": { "type": "string", "minLength": 1, "maxLength": 128, "x-max-bytes": 128, "pattern": "^[^$]",
                "not": { "enum": ["ping", "ack"] } },
            "root": {
                "type": "object", "additionalProperties": false, "required": ["name", "own"],
                "oneOf": [{ "required": ["one"] }, { "required": ["several"] }],
                "properties": {
                    "one": { "$ref": "#/names" },
                    "several": { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": ["a", "b"] } },
                    "few": { "type": "integer", "minimum": 1, "maximum": 3 },
                    "name": { "$ref": "#/names" },
                    "own": { "$ref": "#/own" },
                    "ttl": { "anyOf": [{ "type": "number", "exclusiveMinimum": 0, "maximum": 60 },
                        { "type": "string", "pattern": "^[0-9]+s$", "examples": ["9s"] }, { "type": "null" }] },
                    "data": {},
                    "list": { "type": "array", "items": { "type": "integer", "minimum": 0 } },
                    "key": { "type": "string", "pattern": "^[ -~]{1,255}$" },
                    "flag": { "type": ["boolean", "null"] },
                },
            },
        })
    }

    fn whole(document: &Value) -> jsonschema::Validator {
        let mut schema = document["root"].clone();
        schema["names"] = document["names"].clone();
        schema["own"] = document["own"].clone();
        jsonschema::validator_for(&schema).unwrap()
    }

    #[test]
    fn what_is_made_right_is_taken_and_what_is_made_wrong_is_not() {
        let document = document();
        let whole = whole(&document);
        let mut generator = Generator::new(&document, 7);
        for _ in 0..500 {
            let value = generator.right(&document["root"]);
            let fault = whole.validate(&value).err().map(|it| it.to_string());
            assert_eq!(fault, None, "{value}");
            assert!(value["own"].as_str().unwrap().len() <= 128);
        }
        let wrong = generator.wrong(&document["root"]);
        assert!(wrong.len() > 40, "{}", wrong.len());
        for Wrong { why, value } in wrong {
            assert!(!whole.is_valid(&value), "{why}: {value}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_again() {
        let document = document();
        let made = |seed| Generator::new(&document, seed).right(&document["root"]);
        assert_eq!(made(3), made(3));
        assert!((4..9).any(|seed| made(seed) != made(3)));
    }
}
