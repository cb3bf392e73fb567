//! The blocks of commands that are run, as a reader types them: each document in one shell, in a folder of
//! its own, at addresses of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carillon_common::auth::ApiKeys;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::free_port;
use carillon_tests::turn::turn;
use serde_json::Value;
use tempfile::TempDir;

use super::{Block, parts};
use crate::tidy::read;

/// A reader gives up after that.
const PATIENCE_SECONDS: &str = "150";

/// Those of README, "Over Redis".
const PORTS: [&str; 7] = ["6399", "8081", "8082", "8083", "9091", "9092", "9093"];
/// Waits for the processes that were started there.
const READY: &str = "for port in 9091 9092 9093; do \
                     until curl -sf http://127.0.0.1:$port/readyz; do sleep 0.1; done; done\n";

/// Runs a script in bash as one block after the other; gives what it printed.
fn run(folder: &Path, script: &str, environment: &[(&str, &str)]) -> String {
    let log = folder.join("session.log");
    let said = std::fs::File::create(&log).unwrap();
    let mut command = Command::new("timeout");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARILLON_")) {
        command.env_remove(name);
    }
    command
        .args([
            "--kill-after=10",
            PATIENCE_SECONDS,
            "bash",
            "-euo",
            "pipefail",
            "-c",
            script,
        ])
        .current_dir(folder)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said);
    let status = command.status().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{status}\n{script}\n--- it said\n{said}");
    said
}

/// The blocks of a document that are run, in order, and a block of another language after one.
fn blocks(path: &str) -> Vec<Block> {
    let (blocks, _) = parts(path, &read(path));
    blocks
}

fn is_run(block: &Block) -> bool {
    block.language == "sh" && block.not_run.is_none()
}

/// Both services in one process, and the key that it takes.
async fn standalone() -> (Process, String) {
    let (key, hash) = ApiKeys::generate();
    let scopes = "['send','broadcast','read','admin','tickets']";
    let config = format!(
        "[[auth.api_keys]]\nname='a'\nhash='{hash}'\nscopes={scopes}\n\
         [[auth.issuers]]\nname='a'\nalgorithms=['HS256']\nsecret='{}'\n",
        crate::world::SECRET
    );
    let service = Service::standalone()
        .config(&config)
        .set("gateway.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0");
    (service.start().await.unwrap(), key.expose().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_the_api_are_answered_as_documented() {
    let (process, key) = standalone().await;
    let address = process.public().to_string();
    let blocks = blocks("docs/api.md");
    let mut run_so_far = 0;
    for (block, next) in blocks.iter().zip(blocks.iter().skip(1)) {
        if !is_run(block) {
            continue;
        }
        let folder = TempDir::new().unwrap();
        let script = block.text.replace("localhost:8081", &address);
        let environment = [("KEY", key.as_str())];
        let answer = tokio::task::block_in_place(|| run(folder.path(), &script, &environment));
        assert_eq!(next.language, "json", "{}: no answer is shown", block.place);
        let keys = |text: &str| -> BTreeSet<String> {
            let answer: Value = serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("{}: {error}: {text}", block.place));
            answer.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&answer), keys(&next.text), "{}: {answer}", block.place);
        run_so_far += 1;
    }
    assert!(run_so_far > 1);
}

/// README's first steps: the two calls, against what `make run` starts.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_calls_of_the_readme_are_accepted() {
    let (process, key) = standalone().await;
    let address = process.public().to_string();
    let folder = TempDir::new().unwrap();
    let mut calls = 0;
    for block in blocks("README.md").iter().filter(|block| is_run(block)) {
        if !block.text.contains("127.0.0.1:8080") {
            continue;
        }
        let script = block
            .text
            .replace("127.0.0.1:8080", &address)
            .replace("ck_…", &key);
        let said = tokio::task::block_in_place(|| run(folder.path(), &script, &[]));
        assert!(said.contains(r#""status":"ok""#), "{}: {said}", block.place);
        calls += 1;
    }
    assert_eq!(calls, 2);
}

/// README, "Over Redis, with two gateways", from its first line to its last.
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_over_redis_as_the_readme_has_them() {
    let _turn = turn().await;
    let readme = read("README.md");
    let (_, section) = readme.split_once("## Over Redis").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (blocks, prose) = parts("README.md", section);
    let end = prose.split("To end it all: `").nth(1).unwrap();
    let end = end.split('`').next().unwrap();
    assert!(
        blocks.iter().all(is_run),
        "a block of this section is not run"
    );
    let mut script: String = blocks.iter().map(|block| block.text.as_str()).collect();
    script += end;
    script.push('\n');
    // What a reader does without being told: the build is this test's own, and what was started takes
    // a moment.
    for (typed, here) in [
        ("make build\n", ""),
        ("$PWD/target/bin", "$PROGRAMS"),
        (
            "2>dispatcher.log &\n",
            &format!("2>dispatcher.log &\n{READY}"),
        ),
        (
            "carillon presence alice --key-file demo.key\n",
            "until carillon presence alice --key-file demo.key; do sleep 0.1; done\n",
        ),
        ("--device laptop &\n", "--device laptop >../heard &\n"),
    ] {
        assert!(script.contains(typed), "README has no `{typed}`");
        script = script.replace(typed, here);
    }
    for port in PORTS {
        assert!(script.contains(port), "README has no port {port}");
        // Not yet the new number: it might have one of the next in it.
        script = script.replace(port, &format!("<{port}>"));
    }
    for port in PORTS {
        let own = free_port().unwrap().to_string();
        script = script.replace(&format!("<{port}>"), &own);
    }
    // However it ends, nothing is left behind.
    let guard = "trap 'set +e; kill $(jobs -p) 2>/dev/null; [ ! -e \"$home/demo\" ] || redis-cli -p \
                 \"$redis\" shutdown nosave 2>/dev/null' EXIT\nhome=$PWD\n";
    let redis = script.split("redis-cli -p ").nth(1).unwrap();
    let redis = redis.split(' ').next().unwrap().to_owned();
    let script = format!("redis={redis}\n{guard}{script}");

    let folder = TempDir::new().unwrap();
    let programs = programs();
    let environment = [("PROGRAMS", programs.to_str().unwrap())];
    let said = tokio::task::block_in_place(|| run(folder.path(), &script, &environment));
    let heard = std::fs::read_to_string(folder.path().join("heard")).unwrap();
    assert!(
        heard.contains("from anywhere"),
        "alice heard {heard:?}\n{said}"
    );
    assert!(said.contains("laptop"), "presence names her device: {said}");
}

/// The programs beside this test.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}
