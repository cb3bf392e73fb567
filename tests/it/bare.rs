//! Every command of ours does its work from nothing, and what one has built the others take.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const SCRIPTS: [&str; 10] = [
    "Makefile",
    ".ci/first-steps",
    ".ci/run",
    "images/build",
    "images/notices",
    "images/sbom",
    "images/version",
    "scripts/release",
    "tests/e2e/next",
    "tests/e2e/run",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The calls of cargo in all scripts, without comments; what goes on in the next line is one call.
fn calls() -> Vec<String> {
    let mut all = Vec::new();
    for script in SCRIPTS {
        let text = fs::read_to_string(root().join(script)).unwrap();
        let text = text.replace("\\\n", " ").replace("$(CARGO)", "cargo");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            for call in line.split("cargo ").skip(1) {
                all.push(format!("{script}: cargo {call}"));
            }
        }
    }
    all
}

/// The calls that begin with one of these words.
fn calls_of(words: &[&str]) -> Vec<String> {
    let mut all = calls();
    all.retain(|call| {
        let command = call.split_once(": cargo ").unwrap().1;
        words.contains(&command.split_whitespace().next().unwrap_or_default())
    });
    all
}

/// Each crate that is built for a selection of the workspace, with its features.
fn built(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new("cargo")
        .args(["tree", "--offline", "--locked"])
        .args(["--prefix", "none", "--format", "{p} {f}"])
        .args(selection)
        .current_dir(root())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{selection:?}: {told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| line.trim_end_matches(" (*)"));
    lines
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A crate is compiled again where its features differ, and everything above it: a minute or more for
/// each command.
#[test]
fn every_command_builds_the_same_crates() {
    let building = calls_of(&["build", "clippy", "doc", "run", "test"]);
    assert!(building.len() >= 5, "{building:?}");
    for call in building {
        assert!(call.contains("--workspace"), "{call}");
    }
    let programs = built(&["--workspace", "--edges", "normal,build"]);
    assert!(programs.len() > 100, "{programs:?}");
    for selection in [
        // `make test`, and one test of it as CONTRIBUTING.md has it.
        &["--workspace", "--edges", "normal,build,dev"][..],
        &["-p", "carillon-tests", "--edges", "normal,build,dev"],
    ] {
        let differ: Vec<_> = built(selection).difference(&programs).cloned().collect();
        assert!(differ.is_empty(), "{selection:?} builds again: {differ:?}");
    }
}

/// A build downloads what is for this platform alone; a question about all of them would need a network, or
/// what some other command has downloaded.
#[test]
fn cargo_is_asked_about_this_platform_alone() {
    let questions = calls_of(&["metadata", "tree"]);
    assert!(questions.len() >= 3, "{questions:?}");
    for call in questions {
        assert!(
            call.contains("--filter-platform \"$host\"") || call.contains("--target \"$host\""),
            "{call}"
        );
    }
}
