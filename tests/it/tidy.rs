//! What must hold of the sources, beyond what compilers and linters see.

mod layers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use carillon_common::errors::ProblemKind;
use carillon_common::protocol::{CloseCode, ErrorCode, RESERVED_TYPES};

/// Lines of code that a file may have, its tests apart.
const LINES: usize = 400;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a folder with one of these endings, by their path from the root.
pub(crate) fn files(folder: &str, endings: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let ending = path
                .extension()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if endings.contains(&&*ending) {
                let name = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {folder}");
    found
}

/// A file's code: without comments, and without its tests, which stand last.
pub(crate) fn code(text: &str) -> Vec<&str> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect()
}

/// Product code: every crate's but the tests'.
pub(crate) fn product() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for folder in [
        "common/src",
        "gateway/src",
        "dispatcher/src",
        "client/rust/src",
        "cli/src",
    ] {
        all.extend(files(folder, &["rs", "lua"]));
    }
    all.retain(|path, _| !path.ends_with("/tests.rs") && !path.contains("/tests/"));
    all
}

/// Fails for every line of code in these files that has one of the words.
#[track_caller]
fn forbid(files: &BTreeMap<String, String>, words: &[&str], why: &str) {
    let mut found = String::new();
    for (path, text) in files {
        for line in code(text) {
            if words.iter().any(|word| line.contains(word)) {
                found.push_str(&format!("\n{path}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{why}:{found}");
}

#[test]
fn gateway_and_dispatcher_do_not_know_each_other() {
    forbid(
        &files("gateway/src", &["rs"]),
        &["carillon_dispatcher"],
        "the gateway",
    );
    forbid(
        &files("dispatcher/src", &["rs"]),
        &["carillon_gateway"],
        "the dispatcher",
    );
    let common = files("common/src", &["rs"]);
    forbid(
        &common,
        &["carillon_gateway::", "carillon_dispatcher::"],
        "common",
    );
    // Of our crates the client's users get this one and the one below it.
    let client = files("client/rust/src", &["rs"]);
    let others = [
        "carillon_gateway",
        "carillon_dispatcher",
        "carillon::",
        "clap",
        "anyhow",
    ];
    forbid(&client, &others, "the client");
    let depends = |manifest: &str, on: &str| read(manifest).lines().any(|it| it.starts_with(on));
    assert!(!depends("gateway/Cargo.toml", "carillon-dispatcher"));
    assert!(!depends("dispatcher/Cargo.toml", "carillon-gateway"));
    let ours = read("client/rust/Cargo.toml");
    let ours: Vec<_> = ours
        .lines()
        .filter(|it| it.starts_with("carillon"))
        .collect();
    assert_eq!(ours, ["carillon-common.workspace = true"]);
    assert!(
        depends("gateway/Cargo.toml", "carillon-common"),
        "this test reads nothing"
    );
}

#[test]
fn sessions_do_no_io() {
    let io = [
        "tokio::net",
        "tokio::spawn",
        "tokio::fs",
        "std::fs",
        "std::net",
        "redis",
        "axum",
        "hyper",
        ".await",
        "async fn",
        "sleep",
        "Instant::now",
        "SystemTime",
    ];
    let mut session = product();
    session.retain(|path, _| path.starts_with("gateway/src/session/"));
    assert!(session.len() > 3, "this test reads nothing");
    forbid(&session, &io, "a session is a pure state machine");
}

#[test]
fn one_file_spells_the_keys_of_redis() {
    let kinds = [
        "inbox",
        "user",
        "left",
        "buried",
        "presence",
        "online",
        "subs",
        "dedup",
        "sessions",
        "lease",
        "draining",
        "gateways",
        "log",
        "ctl",
        "gw",
        "ch",
        "partitions",
        "generations",
        "reap",
        "marks",
        "collapse",
        "revoked",
        "ticket",
        "tickets",
        "rate",
        "borrowers",
    ];
    let spelled: Vec<String> = kinds
        .iter()
        .flat_map(|kind| [format!("}}:{kind}"), format!("\"{kind}:{{")])
        .collect();
    let spelled: Vec<&str> = spelled.iter().map(String::as_str).collect();
    let mut all = product();
    let keys = all.remove("common/src/backend/redis/keys.rs").unwrap();
    forbid(&all, &spelled, "only keys.rs spells keys");
    assert!(
        spelled.iter().any(|word| keys.contains(word)),
        "this test finds nothing"
    );
}

#[test]
fn every_queue_is_bounded() {
    let unbounded = [
        "unbounded_channel",
        "unbounded()",
        "UnboundedSender",
        "mpsc::channel()",
    ];
    forbid(&product(), &unbounded, "every queue has a bound");
    forbid(
        &files("tests/src", &["rs"]),
        &unbounded[..3],
        "of the harness too",
    );
}

#[test]
fn no_state_is_global() {
    let global = [
        "static mut",
        "lazy_static",
        "LazyLock",
        "thread_local!",
        "env::set_var",
    ];
    let mut files = product();
    // The allocator's state is each thread's, and so is when it was looked at.
    files.remove("common/src/process/runtime.rs").unwrap();
    forbid(&files, &global, "state belongs to what is started");
    let unbuilt = ["todo!(", "unimplemented!(", "dbg!("];
    forbid(&product(), &unbuilt, "unfinished");
}

#[test]
fn no_output_panics_when_nobody_reads_it() {
    let panics = ["print!(", "println!("];
    forbid(&product(), &panics, "a closed pipe is no defect");
}

#[test]
fn files_are_short() {
    let long: Vec<_> = product()
        .iter()
        .map(|(path, text)| (path.clone(), code(text).len()))
        .filter(|(_, lines)| *lines > LINES)
        .collect();
    assert!(long.is_empty(), "one subject a file: {long:?}");
}

#[test]
fn every_setting_is_documented() {
    let text = read("carillon.toml");
    let mut bare = Vec::new();
    let mut commented = false;
    for line in text.lines() {
        let line = line.trim();
        let is_setting = line.contains(" = ") && !line.starts_with('#');
        // A comment stands over one setting, a group of them, or their table.
        commented = line.starts_with('#') || (commented && !line.is_empty());
        if is_setting && !commented {
            bare.push(line);
        }
    }
    // The first of a table stands below its header, whose comment is theirs.
    bare.retain(|line| {
        !["prefix = ", "kind = "]
            .iter()
            .any(|it| line.starts_with(it))
    });
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

/// The texts that the variants of an enum have: `Self::X => "x"`, `Self::X => 4001`.
fn values(path: &str) -> Vec<String> {
    let text = read(path);
    let arms = code(&text)
        .into_iter()
        .filter(|line| line.trim().starts_with("Self::"));
    arms.filter_map(|line| line.trim().trim_end_matches(',').split_once(" => "))
        .map(|(_, value)| value.trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
        .collect()
}

#[test]
fn the_protocol_is_documented() {
    let document = read("docs/protocol.md");
    let codes = ErrorCode::ALL
        .iter()
        .map(|code| format!("`{}`", code.as_str()));
    let closes = CloseCode::ALL
        .iter()
        .map(|close| format!("| {} |", close.code()));
    let reasons = CloseCode::ALL
        .iter()
        .filter(|close| **close != CloseCode::Normal);
    let reasons = reasons.map(|close| format!("`{}`", close.reason()));
    let all = codes.chain(closes).chain(reasons);
    let missing: Vec<_> = all.filter(|value| !document.contains(value)).collect();
    assert!(missing.is_empty(), "not in docs/protocol.md: {missing:?}");
    let reserved: Vec<_> = RESERVED_TYPES
        .iter()
        .filter(|kind| !document.contains(&format!("`{kind}`")))
        .collect();
    assert!(reserved.is_empty(), "not in docs/protocol.md: {reserved:?}");
}

#[test]
fn every_reason_to_refuse_a_token_is_documented() {
    let document = read("docs/protocol.md");
    let reasons = values("common/src/auth/token.rs");
    let reasons: Vec<_> = reasons
        .iter()
        .filter(|it| it.starts_with("token_"))
        .collect();
    assert!(reasons.len() <= 13, "{reasons:?}");
    let missing: Vec<_> = reasons
        .iter()
        .filter(|it| !document.contains(&format!("`{it}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/protocol.md: {missing:?}");
}

/// A problem is of the table, whoever answers with it: there it is explained, and so in docs/errors.md.
#[test]
fn every_problem_is_of_the_table() {
    let known: Vec<_> = ProblemKind::ALL
        .iter()
        .map(|kind| (kind.status(), kind.code()))
        .collect();
    let mut named = 0;
    for (path, text) in product() {
        if path == "common/src/http/problem.rs" {
            continue;
        }
        let text = code(&text).join(" ");
        for call in text.split("Problem::new(").skip(1) {
            let mut arguments = call.split(',').map(str::trim);
            let (status, code) = (arguments.next().unwrap(), arguments.next().unwrap());
            let (Ok(status), Some(code)) = (
                status.parse::<u16>(),
                code.strip_prefix('"')
                    .and_then(|code| code.strip_suffix('"')),
            ) else {
                continue;
            };
            named += 1;
            assert!(known.contains(&(status, code)), "{path}: {status} {code}");
        }
    }
    assert!(named > 8, "{named}");
    let refusals = read("gateway/src/handshake/refuse.rs");
    for code in ["draining", "unavailable", "overloaded"] {
        assert!(refusals.contains(&format!("\"{code}\"")) && known.contains(&(503, code)));
    }
}

/// Nothing is mounted without its description but what shows the descriptions.
#[test]
fn routes_are_mounted_with_their_description() {
    let mut dispatcher = files("dispatcher/src", &["rs"]);
    dispatcher
        .remove("dispatcher/src/contract/served.rs")
        .unwrap();
    let undescribed = [".route(", ".route_service(", ".nest(", ".nest_service("];
    forbid(&dispatcher, &undescribed, "use `routes!` in router.rs");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .into_iter()
        .filter(|path| root().join(path).exists())
        .map(str::to_owned)
        .chain(files("docs", &["md"]).into_keys())
    {
        let text = read(&path);
        let folder = root().join(&path).parent().unwrap().to_owned();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}
