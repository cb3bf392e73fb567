//! Files: every one of this repository that a text names is there.

use std::collections::BTreeMap;
use std::fs;

use super::{documents, parts, spans};
use crate::tidy::{read, root};

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    match path
        .split_once('{')
        .and_then(|(start, rest)| Some((start, rest.split_once('}')?)))
    {
        Some((start, (names, end))) => names
            .split(',')
            .flat_map(|name| expanded(&format!("{start}{name}{end}")))
            .collect(),
        None => vec![path.to_owned()],
    }
}

#[test]
fn files_are_there() {
    let mut texts: BTreeMap<_, _> = documents();
    for path in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        texts.insert(path.to_owned(), read(path));
    }
    let tops: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "target" && name != ".git")
        .collect();
    let mut named = 0;
    for (place, text) in texts {
        let (_, prose) = parts(&place, &text);
        // What is in a block is the reader's, mostly.
        for span in spans(&prose) {
            let file = span.split([' ', ':', '#']).next().unwrap_or_default();
            let Some((top, _)) = file.split_once('/') else {
                continue;
            };
            if !tops.iter().any(|it| it == top) {
                continue;
            }
            named += 1;
            for path in expanded(file) {
                assert!(root().join(&path).exists(), "{place}: there is no {path}");
            }
        }
        for target in words_of_make(&prose) {
            let makefile = read("Makefile");
            let is_target = makefile
                .lines()
                .any(|line| line.starts_with(&format!("{target}:")));
            assert!(is_target, "{place}: there is no `make {target}`");
        }
    }
    assert!(named > 30, "{named}");
}

/// The targets of `make …` in spans.
fn words_of_make(prose: &str) -> Vec<String> {
    let calls = spans(prose).into_iter().filter_map(|span| {
        let target = span.strip_prefix("make ")?.split(' ').next()?.to_owned();
        target
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '-')
            .then_some(target)
    });
    calls.collect()
}
