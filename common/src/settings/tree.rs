//! The merged configuration before it has types: each value remembers where it came from.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{Origin, SettingsError};

/// A variable that sets a value starts with this; `__` separates the parts of its path.
const ENV_PREFIX: &str = "CARILLON__";

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// From the environment: text whose type only the reader knows.
    Env(String),
}

/// A place in the configuration.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Table(BTreeMap<String, Node>),
    /// An array of tables.
    Items(Vec<Node>),
    Leaf(Raw),
}

impl Node {
    pub(super) fn table(origin: Origin) -> Self {
        Self {
            kind: Kind::Table(BTreeMap::new()),
            origin,
        }
    }
}

/// A file tells at most so much of its syntax; what follows a mistake is often its consequence.
const MAX_SYNTAX_ERRORS: usize = 10;

/// Parses a TOML text, as far as it is one: each line that is wrong is told, the others are read.
/// `path` is `None` for the built-in defaults.
pub(super) fn parse(text: &str, path: Option<&Path>, errors: &mut Vec<SettingsError>) -> Node {
    let origin_at = |offset: Option<usize>| match path {
        None => Origin::Default,
        Some(path) => {
            let line = offset.map_or(0, |at| 1 + text[..at].matches('\n').count());
            Origin::File {
                path: path.to_owned(),
                line,
            }
        }
    };
    let (table, wrong) = DeTable::parse_recoverable(text);
    let wrong = wrong.iter().take(MAX_SYNTAX_ERRORS);
    errors.extend(wrong.map(|error| SettingsError {
        path: path.map_or_else(
            || "carillon.toml".to_owned(),
            |path| path.display().to_string(),
        ),
        problem: format!("not valid TOML: {}", error.message()),
        remedy: "correct the syntax of this line".to_owned(),
        origin: origin_at(error.span().map(|span| span.start)),
    }));
    node_of_table(table.get_ref(), origin_at(None), &|offset| {
        origin_at(Some(offset))
    })
}

fn node_of_table(table: &DeTable<'_>, origin: Origin, at: &dyn Fn(usize) -> Origin) -> Node {
    let children = table.iter().map(|(key, value)| {
        let origin = at(key.span().start);
        (
            key.get_ref().to_string(),
            node_of_value(value.get_ref(), origin, at),
        )
    });
    Node {
        kind: Kind::Table(children.collect()),
        origin,
    }
}

fn node_of_value(value: &DeValue<'_>, origin: Origin, at: &dyn Fn(usize) -> Origin) -> Node {
    match value {
        DeValue::Table(table) => node_of_table(table, origin, at),
        DeValue::Array(array)
            if !array.is_empty() && array.iter().all(|item| item.get_ref().is_table()) =>
        {
            let items = array
                .iter()
                .map(|item| node_of_value(item.get_ref(), at(item.span().start), at));
            Node {
                kind: Kind::Items(items.collect()),
                origin,
            }
        }
        other => Node {
            kind: Kind::Leaf(raw(other)),
            origin,
        },
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Raw::Text(number.to_string()), Raw::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Raw::Text(number.as_str().to_owned()), Raw::Float),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(time) => Raw::Text(time.to_string()),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        // A table among scalars: no setting looks like that, and its reader says so.
        DeValue::Table(_) => Raw::Text("{…}".to_owned()),
    }
}

/// Lays `over` on `base`: tables are merged, everything else is replaced.
pub(super) fn merge(base: &mut Node, over: Node) {
    match (&mut base.kind, over.kind) {
        (Kind::Table(base), Kind::Table(over)) => {
            for (key, node) in over {
                match base.get_mut(&key) {
                    Some(existing) => merge(existing, node),
                    None => {
                        base.insert(key, node);
                    }
                }
            }
        }
        (_, kind) => {
            *base = Node {
                kind,
                origin: over.origin,
            }
        }
    }
}

/// Lays the `CARILLON__SECTION__KEY` variables on `root`; others are ignored. A number in the path
/// is a position in an array of tables, counted from 0: `CARILLON__AUTH__ISSUERS__0__SECRET`.
pub(super) fn overlay_env(
    root: &mut Node,
    env: impl Iterator<Item = (String, String)>,
    errors: &mut Vec<SettingsError>,
) {
    let mut variables: Vec<(Vec<String>, String, String)> = env
        .filter_map(|(name, value)| {
            let path = name.strip_prefix(ENV_PREFIX)?.to_lowercase();
            Some((path.split("__").map(str::to_owned).collect(), name, value))
        })
        .collect();
    // Positions have to come in numeric order: 0 makes room for 1, and 2 comes before 10.
    variables.sort_by_cached_key(|(path, ..)| {
        let key = |part: &String| (part.parse::<u64>().unwrap_or(0), part.clone());
        path.iter().map(key).collect::<Vec<_>>()
    });
    for (path, name, value) in variables {
        put(root, &path, value, name, errors);
    }
}

/// Puts what the variable `name` says at a path; what cannot be put there is among the errors.
pub(super) fn put(
    root: &mut Node,
    path: &[String],
    value: String,
    name: String,
    errors: &mut Vec<SettingsError>,
) {
    let origin = Origin::Env(name);
    if let Err((problem, remedy)) = set(root, path, value, &origin) {
        errors.push(SettingsError {
            path: path.join("."),
            problem,
            remedy,
            origin,
        });
    }
}

fn set(
    node: &mut Node,
    path: &[String],
    value: String,
    origin: &Origin,
) -> Result<(), (String, String)> {
    let Some((first, rest)) = path.split_first() else {
        *node = Node {
            kind: Kind::Leaf(Raw::Env(value)),
            origin: origin.clone(),
        };
        return Ok(());
    };
    let position = first.parse::<usize>().ok();
    // The first variable of an array of tables that is not there yet makes it.
    if position.is_some() && matches!(&node.kind, Kind::Table(children) if children.is_empty()) {
        node.kind = Kind::Items(Vec::new());
    }
    match (&mut node.kind, position) {
        (Kind::Table(children), _) => {
            let child = children
                .entry(first.clone())
                .or_insert_with(|| Node::table(origin.clone()));
            set(child, rest, value, origin)
        }
        (Kind::Items(items), Some(index)) if index <= items.len() => {
            if index == items.len() {
                items.push(Node::table(origin.clone()));
            }
            set(&mut items[index], rest, value, origin)
        }
        (Kind::Items(items), _) => Err((
            format!(
                "`{first}` is not a position of this array of {} tables",
                items.len()
            ),
            "number the tables from 0 without a gap".to_owned(),
        )),
        (Kind::Leaf(_), _) => Err((
            format!("there is no setting `{first}` below a plain value"),
            "remove this variable or correct its name".to_owned(),
        )),
    }
}

/// Completes an error about several settings with the origin of the one that it names.
pub(super) fn locate(root: &Node, mut error: SettingsError) -> SettingsError {
    if error.origin == Origin::Default {
        error.origin = origin(root, &error.path);
    }
    error
}

/// Where what stands at `path` came from; as much of the path as there is counts.
pub(super) fn origin(root: &Node, path: &str) -> Origin {
    let mut node = root;
    for part in path.split('.') {
        let child = match &node.kind {
            Kind::Table(children) => children.get(part),
            Kind::Items(items) => part.parse().ok().and_then(|index: usize| items.get(index)),
            Kind::Leaf(_) => None,
        };
        match child {
            Some(child) => node = child,
            None => break,
        }
    }
    node.origin.clone()
}
