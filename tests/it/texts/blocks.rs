//! Every block of commands runs, or says why it does not.

use super::{Block, documents, parts};

/// Documents whose unmarked blocks of commands are run, by the tests in `running.rs`.
const RUN: [&str; 2] = ["README.md", "docs/api.md"];
/// The one whose unmarked snippets are run, in Chromium and Node, by client/js/test/browser/frontend.test.js.
const RUN_BY_CLIENT: &str = "docs/frontend.md";

#[test]
fn every_block_of_commands_runs_or_says_why_not() {
    let mut typed = 0;
    for (path, text) in documents() {
        let (blocks, _) = parts(&path, &text);
        for block in blocks {
            let Block { place, not_run, .. } = &block;
            let by_client = path == RUN_BY_CLIENT && block.language == "js";
            match not_run {
                Some(reason) => {
                    assert!(block.is_typed(), "{place} is no block of commands");
                    assert!(reason.len() > 8, "{place}: {reason:?} is no reason");
                }
                None => assert!(
                    !block.is_typed()
                        || by_client
                        || (RUN.contains(&&*path) && block.language == "sh"),
                    "{place} is not run: add it to running.rs, or a line before it with the reason, \
                     <!-- not run: needs a cluster -->"
                ),
            }
            typed += usize::from(block.is_typed());
        }
        let marks = text.matches("<!-- not run:").count();
        let marked = parts(&path, &text).0;
        let marked = marked.iter().filter(|it| it.not_run.is_some()).count();
        assert_eq!(
            marks, marked,
            "{path}: a mark stands alone before its block"
        );
    }
    assert!(typed > 10, "{typed}");
}

#[test]
fn a_snippet_for_a_browser_works_when_it_is_pasted_as_one() {
    let mut snippets = 0;
    for (path, text) in documents() {
        let (blocks, _) = parts(&path, &text);
        let plain = |block: &&Block| block.language == "js" && path != RUN_BY_CLIENT;
        for block in blocks.iter().filter(plain) {
            snippets += 1;
            // While a WebSocket connects, `send` throws: what is sent, is sent once it is open.
            for line in block.text.lines().filter(|line| line.contains(".send(")) {
                assert!(line.contains("onopen"), "{}: {line}", block.place);
            }
        }
    }
    assert!(snippets > 0);
}
