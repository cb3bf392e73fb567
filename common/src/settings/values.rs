//! The types of single values: how each is written, in a file and in the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use humantime_serde::re::humantime;

use super::error::Origin;
use super::read::{Leaf, leaves, text};
use super::tree::Raw;
use crate::auth::Secret;

/// A value that may be left to the program: `"auto"` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    /// The program chooses.
    Auto,
    /// The operator chose.
    Value(T),
}

impl<T> Auto<T> {
    /// The operator's choice, else the program's.
    pub fn unwrap_or(self, chosen: T) -> T {
        match self {
            Self::Auto => chosen,
            Self::Value(value) => value,
        }
    }
}

impl Leaf for Auto<u32> {
    const EXPECTED: &'static str = "\"auto\" or a whole number";

    fn from_raw(raw: &Raw, origin: &Origin) -> Option<Self> {
        match text(raw) {
            Some("auto") => Some(Self::Auto),
            _ => u32::from_raw(raw, origin).map(Self::Value),
        }
    }
}

/// Whole numbers of the types that settings use.
macro_rules! whole_numbers {
    ($($type:ty: $expected:literal),*) => {$(
        impl Leaf for $type {
            const EXPECTED: &'static str = $expected;

            fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
                match raw {
                    Raw::Integer(number) => (*number).try_into().ok(),
                    Raw::Env(text) => text.trim().parse().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
whole_numbers!(
    u16: "a whole number from 0 to 65535",
    u32: "a whole number, 0 or more",
    usize: "a whole number, 0 or more"
);

impl Leaf for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        match raw {
            Raw::Float(number) => Some(*number),
            Raw::Integer(number) => Some(*number as f64),
            Raw::Env(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
    }
}

impl Leaf for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        match raw {
            Raw::Bool(value) => Some(*value),
            Raw::Env(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl Leaf for Duration {
    const EXPECTED: &'static str = "a duration with its unit, such as \"25s\", \"150ms\" or \"7d\"";

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        humantime::parse_duration(text(raw)?.trim()).ok()
    }
}

impl Leaf for SocketAddr {
    const EXPECTED: &'static str = "an address and port, such as \"0.0.0.0:8080\" or \"[::]:8080\"";

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        text(raw)?.parse().ok()
    }
}

impl Leaf for String {
    const EXPECTED: &'static str = "a text";

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        text(raw).map(str::to_owned)
    }
}

impl Leaf for Secret<String> {
    const EXPECTED: &'static str = "a text, or name a file that holds it";
    const SECRET: bool = true;

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        text(raw).map(|text| Secret::new(text.to_owned()))
    }
}

/// A relative path is taken from the folder of the file that names it.
impl Leaf for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_raw(raw: &Raw, origin: &Origin) -> Option<Self> {
        let path = PathBuf::from(text(raw)?);
        Some(match origin {
            Origin::File { path: file, .. } => file
                .parent()
                .map_or_else(|| path.clone(), |folder| folder.join(&path)),
            _ => path,
        })
    }
}

/// A list; from the environment its items are separated by commas.
impl<T: Leaf> Leaf for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_raw(raw: &Raw, origin: &Origin) -> Option<Self> {
        match raw {
            Raw::List(items) => items.iter().map(|item| T::from_raw(item, origin)).collect(),
            Raw::Env(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| T::from_raw(&Raw::Env(item.to_owned()), origin))
                .collect(),
            _ => None,
        }
    }
}

leaves!(
    u16,
    u32,
    usize,
    f64,
    bool,
    Duration,
    SocketAddr,
    String,
    Secret<String>,
    PathBuf,
    Auto<u32>,
    Vec<String>,
);
