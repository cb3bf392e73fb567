//! What is wrong with a configuration, told so that one reading is enough to repair it.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from; part of every error, because three places can set the same key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// The defaults that are built in (`carillon.toml`).
    #[default]
    Default,
    /// A file, with the line (from 1) when it is known.
    File {
        /// The file as it was named to the process.
        path: PathBuf,
        /// Line of the key, counted from 1; 0 when the whole file is meant.
        line: usize,
    },
    /// An environment variable.
    Env(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One mistake. Never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Dotted path of the setting, such as `inbox.ttl` or `auth.issuers.0.secret`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl SettingsError {
    /// An error about a value whose origin is not known here (a rule over several settings).
    pub fn new(
        path: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (path, problem, remedy) = (path.into(), problem.into(), remedy.into());
        Self {
            path,
            problem,
            remedy,
            origin: Origin::Default,
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            problem,
            remedy,
            origin,
        } = self;
        write!(f, "{path}: {problem} ({origin}); {remedy}")
    }
}

impl std::error::Error for SettingsError {}

/// Every mistake of a configuration at once, so that a rollout is repaired in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors(pub Vec<SettingsError>);

impl SettingsErrors {
    /// Whether this is why a service does not start: all mistakes of a configuration, or one that shows only then.
    #[must_use]
    pub fn are_why(error: &anyhow::Error) -> bool {
        error.is::<Self>() || error.is::<SettingsError>()
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "1 setting is wrong:")?,
            n => write!(f, "{n} settings are wrong:")?,
        }
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for SettingsErrors {}

/// The known key most like `key`, if one is near enough to have been meant.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, best) = known
        .iter()
        .map(|known| (edit_distance(key, known), *known))
        .min()?;
    (distance <= 2.max(key.len() / 3)).then_some(best)
}

/// Levenshtein distance, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_is_suggested_only_when_near() {
        let known = ["ttl", "max", "keep", "page", "devices", "device_ttl"];
        assert_eq!(nearest("tll", &known), Some("ttl"));
        assert_eq!(nearest("device", &known), Some("devices"));
        assert_eq!(nearest("retention_policy", &known), None);
    }
}
