//! What is left of a configuration without what cannot be read of it: the rules judge that, so that
//! their mistakes are told in one go with the others.

use std::collections::{BTreeMap, BTreeSet};

use super::error::SettingsError;
use super::read::{self, MISSING, Section, UNKNOWN};
use super::tree::{Kind, Node};

/// What was taken out.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Settings that have their default instead.
    defaulted: BTreeSet<String>,
    /// Tables of arrays that are missing, by the array's path.
    missing: BTreeMap<String, BTreeSet<usize>>,
}

/// Reads `root`, or what is left of it, and tells all that cannot be read. `None`: even the rest
/// cannot be. Where the syntax is not `sound`, what is missing may stand in a line that was passed over,
/// and is not told.
pub(super) fn read<T: Section>(
    root: &Node,
    defaults: &Node,
    sound: bool,
    errors: &mut Vec<SettingsError>,
) -> Option<(T, Unread)> {
    let told = errors.len();
    let whole = read::root(root, errors);
    let mut unread = Unread::default();
    for error in errors[told..].iter().filter(|it| it.problem != UNKNOWN) {
        unread.note(root, &error.path);
    }
    if !sound {
        let mut before = 0..told;
        errors.retain(|error| before.next().is_some() || error.problem != MISSING);
    }
    if let Some(whole) = whole {
        return Some((whole, unread));
    }
    let mut left = root.clone();
    for path in &unread.defaulted {
        put_back(&mut left, Some(defaults), path);
    }
    for (array, missing) in &unread.missing {
        if let Some(Kind::Items(items)) = find(&mut left, array).map(|node| &mut node.kind) {
            let mut position = 0..;
            items.retain(|_| position.next().is_some_and(|it| !missing.contains(&it)));
        }
    }
    read::root(&left, &mut Vec::new()).map(|rest| (rest, unread))
}

impl Unread {
    fn note(&mut self, root: &Node, path: &str) {
        match array_of(root, path) {
            Some((array, index)) => {
                self.missing.entry(array).or_default().insert(index);
            }
            None => {
                self.defaulted.insert(path.to_owned());
            }
        }
    }

    /// Where the `index`th of the tables that are left stands among all of an array.
    pub(super) fn position(&self, array: &str, index: usize) -> usize {
        let mut position = index;
        for missing in self.missing.get(array).into_iter().flatten() {
            if *missing <= position {
                position += 1;
            }
        }
        position
    }

    /// An error of a rule about what is left, as one about the whole. None if the rule has judged a
    /// default in the place of what could not be read.
    pub(super) fn of_whole(&self, mut error: SettingsError) -> Option<SettingsError> {
        let judged = |path: &String| error.path == *path || error.remedy.contains(path.as_str());
        if self.defaulted.iter().any(judged) {
            return None;
        }
        for array in self.missing.keys() {
            let Some(rest) = error.path.strip_prefix(&format!("{array}.")) else {
                continue;
            };
            let (index, rest) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
            if let Ok(index) = index.parse() {
                error.path = format!("{array}.{}{rest}", self.position(array, index));
                break;
            }
        }
        Some(error)
    }
}

/// The array, and the position of its table, that a path leads through.
fn array_of(root: &Node, path: &str) -> Option<(String, usize)> {
    let mut node = root;
    let mut passed: Vec<&str> = Vec::new();
    for part in path.split('.') {
        match &node.kind {
            Kind::Table(children) => node = children.get(part)?,
            Kind::Items(_) => return Some((passed.join("."), part.parse().ok()?)),
            Kind::Leaf(_) => return None,
        }
        passed.push(part);
    }
    None
}

fn find<'a>(root: &'a mut Node, path: &str) -> Option<&'a mut Node> {
    path.split('.')
        .try_fold(root, |node, part| match &mut node.kind {
            Kind::Table(children) => children.get_mut(part),
            _ => None,
        })
}

/// Puts the default back at `path`, or nothing where there is none.
fn put_back(node: &mut Node, default: Option<&Node>, path: &str) {
    let Kind::Table(children) = &mut node.kind else {
        return;
    };
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(a, b)| (a, Some(b)));
    let default = default.and_then(|node| match &node.kind {
        Kind::Table(defaults) => defaults.get(first),
        _ => None,
    });
    match (rest, children.get_mut(first), default) {
        (Some(rest), Some(child), _) => put_back(child, default, rest),
        (None, Some(child), Some(default)) => *child = default.clone(),
        (None, Some(_), None) => {
            children.remove(first);
        }
        (_, None, _) => {}
    }
}
