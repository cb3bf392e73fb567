//! The layers of the Redis store: each of its files imports only from those before it, in the order that its
//! `mod.rs` tells.

use std::collections::BTreeSet;

use super::{code, files, read};

const FOLDER: &str = "common/src/backend/redis/";

/// The modules, in the order in which the documentation of `mod.rs` names them.
fn layers(text: &str) -> Vec<&str> {
    let declared = code(text).into_iter().filter_map(|line| {
        let (_, module) = line.split_once("mod ")?;
        module.strip_suffix(';')
    });
    let declared: BTreeSet<_> = declared.collect();
    let told = text.lines().take_while(|line| line.starts_with("//!"));
    let told = told.flat_map(|line| line.split('`').skip(1).step_by(2));
    let told: Vec<_> = told.filter(|name| declared.contains(name)).collect();
    let once: BTreeSet<_> = told.iter().copied().collect();
    assert_eq!(once, declared, "told, and declared");
    assert_eq!(once.len(), told.len(), "one is told twice: {told:?}");
    told
}

/// What a file's code names right below `prefix`: `prefix::a::B`, `prefix::{a::B, c}`.
fn named_below<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = code.match_indices(prefix);
    let begins = begins.filter(|(at, _)| !code[..*at].ends_with(is_part));
    let mut named = Vec::new();
    for (at, _) in begins {
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.extend(rest.split(|c| !is_part(c)).next());
            continue;
        };
        let mut depth = 0;
        let mut begins_name = true;
        for (at, character) in group.char_indices() {
            match character {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => begins_name = true,
                _ if begins_name && is_part(character) => {
                    named.extend(group[at..].split(|c| !is_part(c)).next());
                    begins_name = false;
                }
                _ => {}
            }
        }
    }
    named
}

#[test]
fn the_redis_store_imports_one_way() {
    let text = read(&format!("{FOLDER}mod.rs"));
    let layers = layers(&text);
    let place = |name: &str| layers.iter().position(|layer| *layer == name);
    let (mut imports, mut wrong) = (0, Vec::new());
    for (path, text) in files(FOLDER, &["rs"]) {
        let inner = &path[FOLDER.len()..];
        let (layer, above) = match inner.split_once('/') {
            // `redis::` is the crate's as well, which has none of these modules.
            Some((folder, _)) => (folder, ["super::super::", "redis::"]),
            None => (inner.trim_end_matches(".rs"), ["super::", "redis::"]),
        };
        let Some(own) = place(layer) else {
            assert_eq!(layer, "mod", "{path} belongs to no layer");
            continue;
        };
        let code = code(&text).join("\n");
        let named = above.iter().flat_map(|prefix| named_below(&code, prefix));
        for name in named {
            let Some(other) = place(name) else { continue };
            imports += 1;
            if other > own {
                wrong.push(format!("{path} imports {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order of mod.rs: {wrong:?}");
    assert!(
        imports > 40,
        "only {imports} imports: this test reads nothing"
    );
}

#[test]
fn imports_are_found_however_they_are_written() {
    for (code, named) in [
        ("use super::version;", &["version"][..]),
        ("use super::link::{Link, read};", &["link"]),
        (
            "use super::{\n    calls::{Send, word},\n    lease::{self, Held}, wire,\n};",
            &["calls", "lease", "wire"],
        ),
        ("let at = super::wire::presence(a, b);", &["wire"]),
        ("pub(super) fn new()", &[]),
    ] {
        assert_eq!(named_below(code, "super::"), named, "{code}");
    }
    for (code, named) in [
        ("use crate::backend::redis::link::LinkError;", &["link"][..]),
        (
            "use crate::{backend::{Page, redis::{calls::{Claim, Keep}, reply::Reply}}, ids::Cursor};",
            &["calls", "reply"],
        ),
        ("let mut call = redis::cmd(\"TIME\");", &["cmd"]),
    ] {
        assert_eq!(named_below(code, "redis::"), named, "{code}");
    }
}
