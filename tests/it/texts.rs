//! What README.md and docs/ say, held against what there is. The lists are the programs' own: the tree of
//! settings, the parser of the command line, the routers, the declared metrics, the protocol.

mod blocks;
mod commands;
mod frames;
mod metrics;
mod paths;
mod routes;
mod running;
mod settings;

use std::collections::BTreeMap;

use crate::tidy::{files, read};

/// The documents of today, by their path. What docs/proof/ records was true when it was measured.
fn documents() -> BTreeMap<String, String> {
    let mut all = files("docs", &["md"]);
    all.retain(|path, _| !path.starts_with("docs/proof/"));
    all.insert("README.md".to_owned(), read("README.md"));
    assert!(all.len() > 5, "{:?}", all.keys());
    all
}

/// A fenced block.
struct Block {
    /// `README.md:23`
    place: String,
    language: String,
    /// Without the indent of the list that it stands in.
    text: String,
    /// Why it is not run, as the comment before it says.
    not_run: Option<String>,
}

impl Block {
    /// Whether people type it.
    fn is_typed(&self) -> bool {
        matches!(&*self.language, "sh" | "bash" | "js" | "console")
    }
}

/// The fenced blocks of a document, and its text without them.
fn parts(path: &str, text: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut lines = text.lines().enumerate();
    let mut before = "";
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line.trim();
            }
            prose += line;
            prose.push('\n');
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let inside = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| !line.trim_start().starts_with("```"));
        let text: String = inside
            .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
            .collect();
        let reason = before.strip_prefix("<!-- not run: ");
        blocks.push(Block {
            place: format!("{path}:{}", number + 1),
            language: language.to_owned(),
            text,
            not_run: reason
                .and_then(|it| it.strip_suffix(" -->"))
                .map(str::to_owned),
        });
        before = "";
    }
    (blocks, prose)
}

/// What stands between backticks in prose; a span may go on in the next line.
fn spans(prose: &str) -> Vec<String> {
    let inside = prose.split('`').skip(1).step_by(2);
    inside
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Every block and span of every document, with its place.
fn quoted() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut texts = documents();
    texts.extend(files("helm/carillon/files/runbooks", &["md"]));
    for (path, text) in texts {
        let (blocks, prose) = parts(&path, &text);
        all.extend(blocks.into_iter().map(|block| (block.place, block.text)));
        all.extend(spans(&prose).into_iter().map(|span| (path.clone(), span)));
    }
    all
}

/// The longest pieces of `text` that begin with `start` and go on with characters that are `part`s.
fn words<'a>(text: &'a str, start: &str, part: fn(char) -> bool) -> Vec<&'a str> {
    text.match_indices(start)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| part(c)))
        .map(|(at, _)| {
            let rest = &text[at + start.len()..];
            let length = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
            &text[at..at + start.len() + length]
        })
        .collect()
}

#[test]
fn backticks_are_closed() {
    for (path, text) in documents() {
        let (_, prose) = parts(&path, &text);
        for paragraph in prose.split("\n\n") {
            let count = paragraph.matches('`').count();
            assert!(count % 2 == 0, "{path}: {count} backticks in\n{paragraph}");
        }
    }
}
