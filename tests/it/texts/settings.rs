//! Settings: every one that a text names exists, and every one is read by the programs.

use std::collections::BTreeSet;

use carillon_common::settings::Settings;

use super::{quoted, words};
use crate::tidy::{code, product};

/// The tree of carillon.toml by its leaves, with the tables that it shows as comments.
fn settings() -> BTreeSet<String> {
    let shown: String = Settings::default_toml()
        .lines()
        .map(|line| {
            let inner = line.strip_prefix("# ").unwrap_or(line);
            let is_setting = inner.starts_with("[[") || is_assignment(inner);
            match line.starts_with("# ") && is_setting {
                true => format!("{inner}\n"),
                false => format!("{line}\n"),
            }
        })
        .collect();
    let root: toml::Table = shown.parse().unwrap();
    let mut leaves = BTreeSet::new();
    collect(&toml::Value::Table(root), String::new(), &mut leaves);
    assert!(leaves.contains("auth.issuers.secret_file"), "{leaves:?}");
    // What the comment of [[namespaces]] names besides.
    leaves.extend(["policy", "history", "ttl"].map(|key| format!("namespaces.{key}")));
    leaves
}

fn is_assignment(line: &str) -> bool {
    let name = line.split(" = ").next().unwrap_or_default();
    line.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn collect(value: &toml::Value, path: String, leaves: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = match path.is_empty() {
                    true => key.clone(),
                    false => format!("{path}.{key}"),
                };
                collect(value, path, leaves);
            }
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            for item in items {
                collect(item, path.clone(), leaves);
            }
        }
        _ => {
            leaves.insert(path);
        }
    }
}

/// Every path of a setting, table or section.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for leaf in settings() {
        let parts: Vec<_> = leaf.split('.').collect();
        known.extend((1..=parts.len()).map(|length| parts[..length].join(".")));
    }
    known
}

#[test]
fn settings_exist() {
    let known = known();
    let sections: Vec<_> = known.iter().filter(|it| !it.contains('.')).collect();
    let mut named = 0;
    for (place, text) in quoted() {
        // A variable of a page.
        let text = text.replace("socket.on", "").replace("socket.send", "");
        for section in &sections {
            let start = format!("{section}.");
            let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
            for path in words(&text, &start, part) {
                let path = path.trim_end_matches('.');
                // Files of the repository and of programs are no settings, nor are hosts.
                let ends = [
                    "toml", "rs", "md", "lua", "jwt", "json", "key", "secret", "io", "com",
                    "example", "log", "conf",
                ];
                let last = path.rsplit('.').next().unwrap_or_default();
                let is_other =
                    ends.contains(&last) || path == **section || place_of_host(&text, path);
                named += usize::from(!is_other);
                assert!(
                    is_other || known.contains(path),
                    "{place}: there is no setting {path}"
                );
            }
        }
        for header in text.lines().filter_map(header) {
            // A file of auth.dir leaves its first part out.
            let of_keys = format!("auth.{header}");
            assert!(
                known.contains(header) || known.contains(&*of_keys),
                "{place}: there is no [{header}]"
            );
        }
        for variable in words(&text, "CARILLON__", |c| {
            c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
        }) {
            let path = variable["CARILLON__".len()..]
                .to_lowercase()
                .replace("__", ".");
            let path = without_positions(&path);
            let is_pattern = path == "section.key";
            assert!(
                is_pattern || known.contains(&path),
                "{place}: {variable} sets nothing"
            );
        }
    }
    assert!(named > 30, "{named}");
}

/// `[[auth.issuers]]`, `[drain]`: a line, or a span, of a configuration.
fn header(line: &str) -> Option<&str> {
    let line = line.split('#').next()?.trim();
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    let inner = inner
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(inner);
    let is_name = inner
        .chars()
        .all(|c| c.is_ascii_lowercase() || "_.".contains(c));
    (is_name && !inner.is_empty() && inner != "section").then_some(inner)
}

/// `redis.internal:6379`, `//gateway.example`
fn place_of_host(text: &str, path: &str) -> bool {
    text.contains(&format!("{path}:"))
        || text.contains(&format!("//{path}"))
        || path.ends_with(".internal")
}

fn without_positions(path: &str) -> String {
    let names = path.split('.').filter(|part| part.parse::<u32>().is_err());
    names.collect::<Vec<_>>().join(".")
}

/// A setting that nothing reads promises what nobody keeps. It is read where a file names its section,
/// or the type of that, and itself as a field.
#[test]
fn every_setting_is_read() {
    let mut sources = product();
    // Within the settings, only what makes something of them counts; reading and judging is no use.
    let turned = [
        "files",
        "credentials",
        "kubernetes",
        "gateway",
        "channels",
        "services",
        "traces",
    ];
    sources.retain(|path, _| match path.strip_prefix("common/src/settings/") {
        Some(file) => turned.iter().any(|name| file == format!("{name}.rs")),
        None => true,
    });
    let sources: Vec<String> = sources.values().map(|text| code(text).concat()).collect();
    let unread: Vec<_> = settings()
        .into_iter()
        .filter(|setting| {
            let (path, key) = setting.rsplit_once('.').unwrap();
            let section = path.rsplit('.').next().unwrap_or(path);
            let names = names_of(section);
            !sources
                .iter()
                .any(|text| names.iter().any(|name| has_word(text, name)) && has_field(text, key))
        })
        .collect();
    assert!(unread.is_empty(), "read by nothing: {unread:?}");
}

/// `api_keys` is also `ApiKeySettings`.
fn names_of(section: &str) -> [String; 3] {
    let camel: String = section
        .split('_')
        .map(|part| part[..1].to_uppercase() + &part[1..])
        .collect();
    let one = camel.trim_end_matches('s');
    [
        section.to_owned(),
        format!("{camel}Settings"),
        format!("{one}Settings"),
    ]
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    words(text, word, part).contains(&word)
}

/// `.key`, not `.key_of` and not `.key(`.
fn has_field(text: &str, key: &str) -> bool {
    text.match_indices(&format!(".{key}")).any(|(at, found)| {
        let rest = &text[at + found.len()..];
        !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "_(".contains(c))
    })
}
