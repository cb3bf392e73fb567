//! The rules of schemas.

use serde_json::Value;

use super::{Between, Breaks, members};

/// Who writes what the schema tells of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Callers: what was taken must be taken.
    Taken,
    /// The service: what was found must be found.
    Answered,
}

/// Limits that shut out more the lower they are.
const MOST: [&str; 6] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
    "x-max-bytes",
];
/// Limits that shut out more the higher they are.
const LEAST: [&str; 5] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
];
/// Rules of which nobody can tell whether another one is narrower.
const OPAQUE: [&str; 4] = ["pattern", "format", "not", "multipleOf"];

/// Notes what breaks between two schemas of the same place.
pub(super) fn compare<'a>(
    between: Between<'a>,
    side: Side,
    place: &str,
    old: &'a Value,
    new: &'a Value,
    found: &mut Breaks,
) {
    let (old, new) = (between.old.resolve(old), between.new.resolve(new));
    if let Some(all) = old["allOf"].as_array() {
        for (index, part) in all.iter().enumerate() {
            compare(between, side, place, part, &new["allOf"][index], found);
        }
    }
    let (was, now) = (alternatives(old), alternatives(new));
    if was.len() > 1 || now.len() > 1 {
        return either(between, side, place, &was, &now, found);
    }
    types(side, place, old, new, found);
    values(side, place, old, new, found);
    limits(side, place, old, new, found);
    fields(between, side, place, old, new, found);
    if !old["items"].is_null() {
        let place = format!("{place}[]");
        compare(between, side, &place, &old["items"], &new["items"], found);
    }
}

fn alternatives(schema: &Value) -> Vec<&Value> {
    let listed = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    match listed {
        Some(all) if requirements(schema).is_empty() => all.iter().collect(),
        _ => vec![schema],
    }
}

/// The fields of which one and no other must be there: each alternative names one, and says nothing else.
fn requirements(schema: &Value) -> Vec<&str> {
    let only = |it: &Value| it.as_object().is_some_and(|it| it.keys().eq(["required"]));
    let all = schema["oneOf"].as_array().into_iter().flatten();
    let all: Vec<_> = all.collect();
    if !all.iter().all(|it| only(it)) {
        return Vec::new();
    }
    let named = all.into_iter().filter_map(|it| it["required"].as_array());
    named.flatten().filter_map(Value::as_str).collect()
}

/// Whether it answers requests with a field that there was not before: nobody is given it who does not ask for it.
fn answers_a_new_field<'a>(between: Between<'a>, answer: &'a Value) -> bool {
    let field = between.new.resolve(answer)["x-answers"].as_str();
    field.is_some_and(|field| !between.old.has_field(field))
}

/// What was taken fits into something that is taken; what is answered into something that was answered.
fn either<'a>(
    between: Between<'a>,
    side: Side,
    place: &str,
    was: &[&'a Value],
    now: &[&'a Value],
    found: &mut Breaks,
) {
    let fits = |old: &'a Value, new: &'a Value| {
        let mut breaks = Breaks::default();
        compare(between, side, place, old, new, &mut breaks);
        breaks.0.is_empty()
    };
    match side {
        Side::Taken => {
            for old in was
                .iter()
                .filter(|old| !now.iter().any(|new| fits(old, new)))
            {
                found.note(place, &format!("{} is taken no more", brief(old)));
            }
        }
        Side::Answered => {
            for new in now
                .iter()
                .filter(|new| !answers_a_new_field(between, new))
                .filter(|new| !was.iter().any(|old| fits(old, new)))
            {
                found.note(place, &format!("{} was never answered", brief(new)));
            }
        }
    }
}

fn brief(schema: &Value) -> String {
    match schema["type"].as_str() {
        Some(kind) => kind.to_owned(),
        None => schema.to_string(),
    }
}

/// `type` may be absent (any), one or several; an integer is a number.
fn types(side: Side, place: &str, old: &Value, new: &Value, found: &mut Breaks) {
    let (was, now) = (kinds(old), kinds(new));
    let within = |inner: &[&str], outer: &[&str]| {
        outer.is_empty()
            || (!inner.is_empty()
                && inner.iter().all(|kind| {
                    outer.contains(kind) || (*kind == "integer" && outer.contains(&"number"))
                }))
    };
    let holds = match side {
        Side::Taken => within(&was, &now),
        Side::Answered => within(&now, &was),
    };
    if !holds {
        found.note(place, &format!("the type was {was:?}, is {now:?}"));
    }
}

fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

fn values(side: Side, place: &str, old: &Value, new: &Value, found: &mut Breaks) {
    match (listed(old), listed(new)) {
        (None, None) => {}
        (None, Some(_)) => {
            if side == Side::Taken {
                found.note(place, "only some values are taken now");
            }
        }
        (Some(_), None) => {
            if side == Side::Answered {
                found.note(place, "may be any value now");
            }
        }
        (Some(was), Some(now)) => {
            for value in was.iter().filter(|it| !now.contains(it)) {
                found.note(place, &format!("the value {value} is gone"));
            }
        }
    }
}

fn listed(schema: &Value) -> Option<Vec<&Value>> {
    let all = schema["enum"].as_array().map(|all| all.iter().collect());
    let constant = &schema["const"];
    all.or((!constant.is_null()).then(|| vec![constant]))
}

/// Only what is taken has limits that callers rely on.
fn limits(side: Side, place: &str, old: &Value, new: &Value, found: &mut Breaks) {
    if side == Side::Answered {
        let (was, now) = (&old["format"], &new["format"]);
        if !was.is_null() && was != now {
            found.note(place, &format!("the format was {was}, is {now}"));
        }
        return;
    }
    let number = |schema: &Value, name: &str| schema[name].as_f64();
    for (names, sign) in [(&MOST[..], 1.0), (&LEAST[..], -1.0)] {
        for name in names {
            let (was, now) = (number(old, name), number(new, name));
            let narrower = match (was, now) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(was), Some(now)) => now * sign < was * sign,
            };
            if narrower {
                found.note(
                    place,
                    &format!("{name} was {}, is {}", old[*name], new[*name]),
                );
            }
        }
    }
    for name in OPAQUE {
        let (was, now) = (&old[name], &new[name]);
        if !now.is_null() && was != now {
            found.note(place, &format!("{name} was {was}, is {now}"));
        }
    }
}

fn fields<'a>(
    between: Between<'a>,
    side: Side,
    place: &str,
    old: &'a Value,
    new: &'a Value,
    found: &mut Breaks,
) {
    let is_required = |schema: &Value, name: &str| {
        let required = schema["required"].as_array();
        required.is_some_and(|all| all.iter().any(|it| it == name))
    };
    let is_closed = |schema: &Value| schema["additionalProperties"] == false;
    if side == Side::Taken && is_closed(new) && !is_closed(old) {
        found.note(place, "unknown fields are refused now");
    }
    for name in new["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if side == Side::Taken && !is_required(old, name) {
            found.note(&format!("{place} /{name}"), "must be there now");
        }
    }
    let (was, now) = (requirements(old), requirements(new));
    let is_there = |name: &&str| is_required(old, name) || was == [*name];
    if side == Side::Taken && !now.is_empty() && was != now && !now.iter().any(is_there) {
        found.note(place, &format!("one of {now:?} must be there now"));
    }
    for (name, schema) in members(&old["properties"]) {
        let place = format!("{place} /{name}");
        let now = &new["properties"][name.as_str()];
        if now.is_null() {
            if side == Side::Answered || is_closed(new) {
                found.note(&place, "is gone");
            }
            continue;
        }
        if side == Side::Answered && is_required(old, name) && !is_required(new, name) {
            found.note(&place, "may be missing now");
        }
        compare(between, side, &place, schema, now, found);
    }
}
