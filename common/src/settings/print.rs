//! The configuration that comes of defaults, file and environment, as TOML: what is otherwise than built in, and where
//! that was said. Secrets are not shown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::error::{Origin, SettingsErrors};
use super::tree::{Kind, Node, Raw};
use super::{Merged, Settings};

/// What stands in the place of a secret. Not a value that anybody would copy.
const HIDDEN: &str = "\"(not shown)\"";

impl Settings {
    /// What a service would go by, if it is in order: what is otherwise than built in, or `all`.
    ///
    /// # Errors
    /// Every mistake.
    pub fn effective(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        all: bool,
    ) -> Result<String, SettingsErrors> {
        let env: Vec<_> = env.collect();
        Self::load(file, env.iter().cloned())?;
        let merged = Merged::of(file, env, &mut Vec::new());
        let printing = Printing {
            defaults: &merged.defaults,
            all,
        };
        let mut text = String::new();
        printing.table("", &merged.root, &mut text);
        Ok(text)
    }
}

struct Printing<'a> {
    defaults: &'a Node,
    all: bool,
}

impl Printing<'_> {
    /// The values of a table under its header, then the tables in it.
    fn table(&self, path: &str, node: &Node, text: &mut String) {
        let Kind::Table(children) = &node.kind else {
            return;
        };
        let header = match path {
            "" => String::new(),
            path => format!("[{path}]\n"),
        };
        self.values(&header, path, children, text);
        for (key, child) in children {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            match &child.kind {
                Kind::Table(_) => self.table(&path, child, text),
                Kind::Items(items) if self.all || child.origin != Origin::Default => {
                    for item in items {
                        self.item(&path, item, text);
                    }
                }
                Kind::Items(_) | Kind::Leaf(_) => {}
            }
        }
    }

    /// A table of an array, which is shown whole.
    fn item(&self, path: &str, item: &Node, text: &mut String) {
        if let Kind::Table(children) = &item.kind {
            let whole = Printing { all: true, ..*self };
            whole.values(&format!("[[{path}]]\n"), path, children, text);
        }
    }

    fn values(
        &self,
        header: &str,
        path: &str,
        children: &BTreeMap<String, Node>,
        text: &mut String,
    ) {
        let mut header = Some(header);
        for (key, child) in children {
            let Kind::Leaf(raw) = &child.kind else {
                continue;
            };
            if !self.all && child.origin == Origin::Default {
                continue;
            }
            if let Some(header) = header.take() {
                let separator = if text.is_empty() { "" } else { "\n" };
                text.push_str(separator);
                text.push_str(header);
            }
            let value = match is_secret(path, key, raw) {
                true => HIDDEN.to_owned(),
                false => self.value(path, key, raw),
            };
            let origin = match &child.origin {
                Origin::Default => String::new(),
                origin => format!("  # {origin}"),
            };
            // Writing to a text does not fail.
            writeln!(text, "{key} = {value}{origin}").unwrap_or_default();
        }
    }

    /// As a file would have it. What comes of a variable has the type of the default.
    fn value(&self, path: &str, key: &str, raw: &Raw) -> String {
        let Raw::Env(value) = raw else {
            return shown(raw);
        };
        match self.default_of(path, key) {
            Some(Raw::List(_)) => {
                let items = value.split(',').map(str::trim);
                let items = items.filter(|item| !item.is_empty()).map(quoted);
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Some(Raw::Integer(_) | Raw::Float(_) | Raw::Bool(_)) => value.trim().to_owned(),
            _ => quoted(value),
        }
    }

    fn default_of(&self, path: &str, key: &str) -> Option<&Raw> {
        let mut node = self.defaults;
        for part in path.split('.').chain([key]) {
            let Kind::Table(children) = &node.kind else {
                return None;
            };
            node = children.get(part)?;
        }
        match &node.kind {
            Kind::Leaf(raw) => Some(raw),
            _ => None,
        }
    }
}

/// The URL of a store may hold a password.
fn is_secret(path: &str, key: &str, raw: &Raw) -> bool {
    let text = match raw {
        Raw::Text(text) | Raw::Env(text) => text.as_str(),
        _ => "",
    };
    match (path, key) {
        (_, "secret") | ("tracing", "headers") => !text.is_empty(),
        ("backend", "url") => text.contains('@'),
        _ => false,
    }
}

fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) | Raw::Env(text) => quoted(text),
        Raw::Integer(number) => number.to_string(),
        // With its point: else it would be a whole number.
        Raw::Float(number) => format!("{number:?}"),
        Raw::Bool(value) => value.to_string(),
        Raw::List(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => {
                // Writing to a text does not fail.
                write!(quoted, "\\u{:04X}", u32::from(control)).unwrap_or_default();
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[backend]
url = "redis://user:hush@redis:6379"
[inbox]
ttl = "3d"
[gateway]
max_age_jitter = 1
trusted_proxies = ["10.0.0.0/8"]
[[auth.issuers]]
name = "a \"quoted\" one"
algorithms = ["HS256"]
secret = "a secret that is long enough for HS256"
"#;

    fn printed(env: &[(&str, &str)], all: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, FILE).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let printed = Settings::effective(Some(&path), env.iter().map(owned), all).unwrap();
        printed.replace(&path.display().to_string(), "c.toml")
    }

    #[test]
    fn what_is_not_built_in_is_shown_with_its_origin() {
        let env = [
            ("CARILLON__INBOX__MAX", "500"),
            (
                "CARILLON__GATEWAY__ORIGINS",
                "https://a.example, https://b.example",
            ),
        ];
        assert_eq!(
            printed(&env, false),
            r#"[[auth.issuers]]
algorithms = ["HS256"]  # c.toml, line 11
name = "a \"quoted\" one"  # c.toml, line 10
secret = "(not shown)"  # c.toml, line 12

[backend]
url = "(not shown)"  # c.toml, line 3

[gateway]
max_age_jitter = 1  # c.toml, line 7
origins = ["https://a.example", "https://b.example"]  # environment variable CARILLON__GATEWAY__ORIGINS
trusted_proxies = ["10.0.0.0/8"]  # c.toml, line 8

[inbox]
max = 500  # environment variable CARILLON__INBOX__MAX
ttl = "3d"  # c.toml, line 5
"#
        );
    }

    #[test]
    fn all_of_it_is_a_configuration_again() {
        let whole = printed(&[], true).replace(
            "secret = \"(not shown)\"",
            "secret = \"another that is long enough for HS256\"",
        );
        let whole = whole.replace("url = \"(not shown)\"", "url = \"redis://redis:6379\"");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("again.toml");
        std::fs::write(&path, whole).unwrap();
        let again = Settings::load(Some(&path), std::iter::empty()).unwrap();
        assert_eq!(again.inbox.ttl.as_secs(), 3 * 86_400);
        assert_eq!(again.namespaces, Settings::default().namespaces);
        assert_eq!(again.socket, Settings::default().socket);
    }
}
