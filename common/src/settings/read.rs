//! From the merged tree to typed settings: every value is read, every mistake collected.

use super::error::{Origin, SettingsError, nearest};
use super::tree::{Kind, Node, Raw};

/// A place being read: its path, what stands there, and where mistakes go.
pub(super) struct Place<'a> {
    pub(super) path: String,
    pub(super) node: Option<&'a Node>,
    pub(super) errors: &'a mut Vec<SettingsError>,
}

impl Place<'_> {
    fn fail(self, problem: impl Into<String>, remedy: impl Into<String>) {
        let origin = self
            .node
            .map(|node| node.origin.clone())
            .unwrap_or_default();
        let (problem, remedy) = (problem.into(), remedy.into());
        self.errors.push(SettingsError {
            path: self.path,
            problem,
            remedy,
            origin,
        });
    }
}

/// What can be read from a place. `None` means that the mistake has been recorded.
pub(super) trait Setting: Sized {
    fn read(place: Place<'_>) -> Option<Self>;
}

/// The problem of a key that no setting has. What else stands there is read all the same.
pub(super) const UNKNOWN: &str = "unknown setting";
/// The problem of a key that has no default and is not there.
pub(super) const MISSING: &str = "is missing";

/// Reads a whole file.
pub(super) fn root<T: Section>(node: &Node, errors: &mut Vec<SettingsError>) -> Option<T> {
    section(Place {
        path: String::new(),
        node: Some(node),
        errors,
    })
}

/// A struct whose fields are settings; [`settings!`] writes the implementation.
pub(super) trait Section: Sized {
    /// The keys, in the order of the fields.
    const KEYS: &'static [&'static str];

    fn read_fields(reader: &mut Reader<'_>) -> Option<Self>;

    /// The keys of the fields that `other` has otherwise.
    fn differing(&self, other: &Self) -> Vec<&'static str>;
}

/// Reads the fields of one section.
pub(super) struct Reader<'a> {
    path: String,
    node: &'a Node,
    errors: &'a mut Vec<SettingsError>,
}

impl Reader<'_> {
    pub(super) fn field<T: Setting>(&mut self, key: &str) -> Option<T> {
        let node = match &self.node.kind {
            Kind::Table(children) => children.get(key),
            _ => None,
        };
        T::read(Place {
            path: join(&self.path, key),
            node,
            errors: self.errors,
        })
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Reads a table as a section; unknown keys are mistakes, with the key that was likely meant.
pub(super) fn section<T: Section>(place: Place<'_>) -> Option<T> {
    let Some(Node {
        kind: Kind::Table(children),
        ..
    }) = place.node
    else {
        place.fail(
            "is not a section",
            format!("write [section] with: {}", T::KEYS.join(", ")),
        );
        return None;
    };
    let node = place.node?;
    for (key, child) in children
        .iter()
        .filter(|(key, _)| !T::KEYS.contains(&key.as_str()))
    {
        let remedy = nearest(key, T::KEYS).map_or_else(
            || format!("remove it; known here: {}", T::KEYS.join(", ")),
            |near| format!("did you mean `{}`?", join(&place.path, near)),
        );
        place.errors.push(SettingsError {
            path: join(&place.path, key),
            problem: UNKNOWN.to_owned(),
            remedy,
            origin: child.origin.clone(),
        });
    }
    T::read_fields(&mut Reader {
        path: place.path,
        node,
        errors: place.errors,
    })
}

/// An array of tables; absent is empty.
impl<T: Section> Setting for Vec<T> {
    fn read(place: Place<'_>) -> Option<Self> {
        let items = match place.node.map(|node| &node.kind) {
            None => return Some(Vec::new()),
            Some(Kind::Leaf(Raw::List(items))) if items.is_empty() => return Some(Vec::new()),
            Some(Kind::Items(items)) => items,
            Some(_) => {
                let name = place.path.clone();
                place.fail(
                    "is not an array of tables",
                    format!("write [[{name}]] for each"),
                );
                return None;
            }
        };
        // Each is read before the first failure counts: all mistakes at once.
        let read = items.iter().enumerate().map(|(index, node)| {
            let path = format!("{}.{index}", place.path);
            section(Place {
                path,
                node: Some(node),
                errors: place.errors,
            })
        });
        read.collect::<Vec<Option<T>>>().into_iter().collect()
    }
}

/// A single value.
pub(super) trait Leaf: Sized {
    /// What it looks like, to end the sentence "write …".
    const EXPECTED: &'static str;
    /// Whether the value must not be shown in an error.
    const SECRET: bool = false;

    /// From a value with a type of its own.
    fn from_raw(raw: &Raw, origin: &Origin) -> Option<Self>;
}

fn leaf<T: Leaf>(place: Place<'_>) -> Option<T> {
    let Some(node) = place.node else {
        place.fail(MISSING, format!("write {}", T::EXPECTED));
        return None;
    };
    let raw = match &node.kind {
        Kind::Leaf(raw) => raw,
        Kind::Table(_) | Kind::Items(_) => {
            place.fail("is a table", format!("write {}", T::EXPECTED));
            return None;
        }
    };
    let value = T::from_raw(raw, &node.origin);
    if value.is_none() {
        let shown = if T::SECRET {
            "the value".to_owned()
        } else {
            shown(raw)
        };
        place.fail(
            format!("{shown} is not accepted"),
            format!("write {}", T::EXPECTED),
        );
    }
    value
}

/// Absent or empty is none: TOML has no null, and the defaults file names every key.
impl<T: Leaf> Setting for Option<T> {
    fn read(place: Place<'_>) -> Option<Self> {
        match place.node.map(|node| &node.kind) {
            None => Some(None),
            Some(Kind::Leaf(Raw::Text(text) | Raw::Env(text))) if text.is_empty() => Some(None),
            Some(_) => leaf(place).map(Some),
        }
    }
}

fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) | Raw::Env(text) => format!("{text:?}"),
        Raw::Integer(number) => number.to_string(),
        Raw::Float(number) => number.to_string(),
        Raw::Bool(value) => value.to_string(),
        Raw::List(items) => {
            format!(
                "[{}]",
                items.iter().map(shown).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// A text, from wherever it came.
pub(super) fn text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(text) | Raw::Env(text) => Some(text),
        _ => None,
    }
}

/// Makes leaves readable as settings.
macro_rules! leaves {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::settings::read::Setting for $type {
            fn read(place: $crate::settings::read::Place<'_>) -> Option<Self> {
                $crate::settings::read::read_leaf(place)
            }
        }
    )*};
}
pub(super) use leaves;

pub(super) fn read_leaf<T: Leaf>(place: Place<'_>) -> Option<T> {
    leaf(place)
}

/// Makes an enum of fixed words readable: `words!(LogFormat { Human: "human", Json: "json" })`.
macro_rules! words {
    ($type:ident { $($variant:ident: $word:literal),* $(,)? }) => {
        impl $type {
            /// The word that stands for it in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
        impl $crate::settings::read::Leaf for $type {
            const EXPECTED: &'static str = concat!("one of", $(" \"", $word, "\""),*);

            fn from_raw(
                raw: &$crate::settings::tree::Raw,
                _: &$crate::settings::error::Origin,
            ) -> Option<Self> {
                use $crate::settings::tree::Raw;
                match raw {
                    Raw::Text(text) | Raw::Env(text) => match text.as_str() {
                        $($word => Some(Self::$variant),)*
                        _ => None,
                    },
                    _ => None,
                }
            }
        }
        $crate::settings::read::leaves!($type);
    };
}
pub(super) use words;

/// Declares a section: the struct, its keys and how it is read, from one list of fields. Those after a `;` are
/// no settings: they follow from all of them, and are found after these are read.
macro_rules! settings {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty,)*
        $(; $($(#[$found_meta:meta])* $found_vis:vis $found:ident: $found_type:ty,)*)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
            $($($(#[$found_meta])* $found_vis $found: $found_type,)*)?
        }

        impl $crate::settings::read::Section for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn read_fields(reader: &mut $crate::settings::read::Reader<'_>) -> Option<Self> {
                $(let $field = reader.field(stringify!($field));)*
                Some(Self { $($field: $field?,)* $($($found: Default::default(),)*)? })
            }

            fn differing(&self, other: &Self) -> Vec<&'static str> {
                let fields = [$((stringify!($field), self.$field != other.$field)),*];
                let differing = fields.into_iter().filter(|(_, differs)| *differs);
                differing.map(|(key, _)| key).collect()
            }
        }

        impl $crate::settings::read::Setting for $name {
            fn read(place: $crate::settings::read::Place<'_>) -> Option<Self> {
                $crate::settings::read::section(place)
            }
        }
    };
}
pub(super) use settings;
