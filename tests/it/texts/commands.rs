//! The command line: every command and flag that a text names exists, every command is named.

use super::{quoted, words};
use crate::tidy::read;

/// The commands that lead to this line, and the last of them: `carillon token mint …`.
fn command<'a>(root: &'a clap::Command, line: &str) -> (&'a clap::Command, String) {
    let mut last = root;
    let mut path = root.get_name().to_owned();
    for word in line.split_whitespace().skip(1) {
        let Some(next) = last.find_subcommand(word) else {
            break;
        };
        last = next;
        path = format!("{path} {word}");
    }
    (last, path)
}

/// The calls of `carillon` in a text, each to its end.
fn calls(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let pieces = text.split(['\n', '|', ';', '(', ')', '#', '>', '<', '&']);
    pieces
        .map(str::trim)
        .filter(|piece| piece.starts_with("carillon "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn commands_and_flags_exist() {
    let root = carillon::command();
    let mut flags = 0;
    for (place, text) in quoted() {
        for call in calls(&text) {
            let (command, path) = command(&root, &call);
            // `bench ledger|churn` and `carillon … | head` name several or none.
            let next = call.split_whitespace().nth(path.split(' ').count());
            let is_whole = !command.has_subcommands()
                || next.is_none_or(|next| next.starts_with(['-', '…', '*']));
            assert!(
                is_whole,
                "{place}: `{call}`: {path} has no command {next:?}"
            );
            for flag in words(&call, "--", |c| c.is_ascii_lowercase() || c == '-') {
                flags += 1;
                let name = flag.trim_start_matches('-');
                let known = command
                    .get_arguments()
                    .any(|it| it.get_long() == Some(name));
                let of_all = ["help", "version"].contains(&name);
                assert!(known || of_all, "{place}: `{call}`: {path} has no {flag}");
            }
        }
    }
    assert!(flags > 20, "{flags}");
}

#[test]
fn flags_beside_no_command_exist_somewhere() {
    let mut known = Vec::new();
    fn collect(command: &clap::Command, known: &mut Vec<String>) {
        let longs = command.get_arguments().filter_map(clap::Arg::get_long);
        known.extend(longs.map(|long| format!("--{long}")));
        command.get_subcommands().for_each(|it| collect(it, known));
    }
    collect(&carillon::command(), &mut known);
    known.extend(["--help".to_owned(), "--version".to_owned()]);
    for (place, text) in quoted() {
        // A span that is a flag alone is one of ours.
        if text.starts_with("--") && !text.contains(' ') {
            let flag = text.split('=').next().unwrap_or_default();
            assert!(
                known.iter().any(|it| it == flag),
                "{place}: there is no {text}"
            );
        }
    }
}

#[test]
fn every_command_is_in_the_readme_and_every_flag_in_its_help() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("## The command line").unwrap();
    let section = section.split("\n## ").next().unwrap_or_default();
    fn check(command: &clap::Command) {
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some() || argument.is_hide_set(),
                "{}: {} has no help",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    let root = carillon::command();
    for command in root.get_subcommands() {
        let name = command.get_name();
        let named = section
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == name);
        assert!(named, "README, The command line: `{name}` is missing");
    }
    check(&root);
}
