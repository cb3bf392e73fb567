//! The workflows: their scripts run, and they may do no more than they must.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::root;

fn workflows() -> BTreeMap<String, Value> {
    let folder = root().join(".github/workflows");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let workflow =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, workflow)
    };
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

/// Every step of every job, with the names of its workflow and job.
fn steps(workflows: &BTreeMap<String, Value>) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (name, workflow) in workflows {
        for (job, value) in workflow["jobs"].as_object().unwrap() {
            for step in value["steps"].as_array().into_iter().flatten() {
                all.push((format!("{name}: {job}"), step));
            }
        }
    }
    all
}

#[test]
fn scripts_of_workflows_are_bash_and_take_nothing_from_outside() {
    let workflows = workflows();
    let mut checked = 0;
    for (place, step) in steps(&workflows) {
        let Some(script) = step["run"].as_str() else {
            continue;
        };
        let bash = Command::new("bash")
            .args(["-n", "-c", script])
            .output()
            .unwrap();
        assert!(
            bash.status.success(),
            "{place}: {}",
            String::from_utf8_lossy(&bash.stderr)
        );
        // The name of a branch or tag would be run as a part of the script.
        assert!(!script.contains("${{"), "{place}: pass it by env: {script}");
        for line in script
            .lines()
            .filter(|line| line.contains("scripts/release "))
        {
            let command = line.split("scripts/release ").nth(1).unwrap();
            let command = command.split_whitespace().next().unwrap();
            let help = Command::new(root().join("scripts/release"))
                .arg("help")
                .output()
                .unwrap();
            let help = String::from_utf8(help.stdout).unwrap();
            assert!(
                help.contains(&format!("scripts/release {command} ")),
                "{place}: {command}"
            );
        }
        for target in script.lines().filter_map(|line| line.strip_prefix("make ")) {
            let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
            assert!(
                makefile.contains(&format!("\n{target}:")),
                "{place}: make {target}"
            );
        }
        checked += 1;
    }
    assert!(checked >= 12, "only {checked} scripts were checked");
    for script in [
        "scripts/release",
        "scripts/setup",
        "scripts/chart",
        ".ci/run",
        ".ci/first-steps",
        "images/build",
        "images/notices",
        "images/push",
        "images/sbom",
        "tests/e2e/next",
        "tests/e2e/run",
        "examples/compose/prepare",
    ] {
        let bash = Command::new("bash")
            .arg("-n")
            .arg(root().join(script))
            .output()
            .unwrap();
        assert!(
            bash.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&bash.stderr)
        );
    }
}

#[test]
fn workflows_may_do_no_more_than_they_must() {
    let workflows = workflows();
    for (name, workflow) in &workflows {
        assert_eq!(workflow["permissions"], serde_json::json!({}), "{name}");
        for (job, value) in workflow["jobs"].as_object().unwrap() {
            let permissions = value["permissions"].as_object();
            let permissions =
                permissions.unwrap_or_else(|| panic!("{name}: {job} has no permissions"));
            let writes: BTreeSet<_> = permissions
                .iter()
                .filter(|(_, access)| **access == "write")
                .map(|(what, _)| what.as_str())
                .collect();
            let expected = match (name.as_str(), job.as_str()) {
                ("release.yml", "publish") => {
                    BTreeSet::from(["attestations", "contents", "id-token", "packages"])
                }
                _ => BTreeSet::new(),
            };
            assert_eq!(writes, expected, "{name}: {job}");
        }
    }
    let publish = &workflows["release.yml"]["jobs"]["publish"];
    assert_eq!(publish["if"], "github.event_name == 'push'");
    assert_eq!(publish["needs"], serde_json::json!(["build", "ci"]));
    for (place, step) in steps(&workflows) {
        let Some(action) = step["uses"].as_str() else {
            continue;
        };
        let (_, commit) = action.split_once('@').unwrap();
        let is_commit = commit.len() == 40 && commit.bytes().all(|it| it.is_ascii_hexdigit());
        assert!(is_commit, "{place}: {action} is not pinned by its commit");
        if action.starts_with("actions/checkout@") {
            assert_eq!(step["with"]["persist-credentials"], false, "{place}");
        }
    }
}
