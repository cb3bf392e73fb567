//! A Redis that is there and does not serve: what a start does about it, and what is told while it lasts.

mod running;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use carillon_tests::process::Service;
use carillon_tests::redis::{Options, Sentinel, Standalone};
use redis::cmd;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::edge::carillon;
use crate::world::{World, next_content};

/// Before a start has done anything but try once: far below any waiting.
const AT_ONCE: Duration = Duration::from_secs(8);

/// `carillon` with these arguments and settings of its environment.
pub(crate) fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(carillon());
    command.args(arguments);
    for (name, value) in settings {
        let name = format!("CARILLON__{}", name.replace('.', "__").to_uppercase());
        command.env(name, value);
    }
    command.output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn services(settings: &[(&str, &str)]) -> [Service; 2] {
    [Service::gateway(), Service::dispatcher()].map(|service| {
        let own = [
            ("gateway.listen", "127.0.0.1:0"),
            ("dispatcher.listen", "127.0.0.1:0"),
            ("admin.listen", "127.0.0.1:0"),
        ];
        let all = own.iter().chain(settings);
        all.fold(service, |service, (name, value)| service.set(name, value))
    })
}

/// How gateway and dispatcher end instead of starting.
async fn ends(settings: &[(&str, &str)]) -> Vec<String> {
    let mut ends = Vec::new();
    for service in services(settings) {
        ends.push(service.start().await.unwrap_err().to_string());
    }
    ends
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[tokio::test]
async fn what_the_check_refuses_the_services_refuse_alike() {
    let mut password = NamedTempFile::new().unwrap();
    password.write_all(b"hunter2").unwrap();
    let file = password.path().to_str().unwrap();
    for (settings, setting) in [
        (
            vec![("backend.url", "redis+sentinel://127.0.0.1:1")],
            "backend.url: ",
        ),
        (
            vec![("backend.url", "redis://:hun/ter2@127.0.0.1:1")],
            "backend.url: ",
        ),
        (
            vec![("backend.url", "redis+cluster://127.0.0.1:1/1")],
            "backend.url: ",
        ),
        (
            vec![("backend.url", "mysql://127.0.0.1:1")],
            "backend.url: ",
        ),
        (
            vec![
                ("backend.url", "redis://:hunter2@127.0.0.1:1"),
                ("backend.password_file", file),
            ],
            "backend.password_file: backend.url holds",
        ),
        (vec![("backend.cert_file", file)], "backend.cert_file: "),
    ] {
        let check = run(&["config", "check"], &settings);
        assert_eq!(check.status.code(), Some(64), "{}", said(&check));
        let text = said(&check);
        assert_has(&text, &[setting]);
        // The first line counts the mistakes.
        let mistake = text.lines().nth(1).unwrap().trim().to_owned();
        for end in ends(&settings).await {
            assert_has(&end, &[&mistake, "64"]);
            assert!(!end.contains("ter2"), "{end}");
        }
        let doctor = run(&["doctor"], &settings);
        assert_eq!(doctor.status.code(), Some(64), "{}", said(&doctor));
        assert_has(&said(&doctor), &[&mistake]);
    }
    for url in ["redis+sentinel://127.0.0.1:1", "redis://:hun/ter2@h"] {
        for arguments in [["doctor", "--backend", url], ["standalone", "--redis", url]] {
            let refused = run(&arguments, &[("admin.listen", "127.0.0.1:0")]);
            assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
        }
    }
}

#[tokio::test]
async fn a_start_ends_with_the_remedy_when_waiting_would_not_help() {
    let redis = Standalone::start(&Options::default()).await.unwrap();
    let order = |words: &[&str]| cmd(words[0]).arg(&words[1..]).to_owned();
    for words in [
        &[
            "ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@read", "+ping",
        ][..],
        &[
            "ACL", "SETUSER", "setter", "on", ">pw", "~*", "&*", "+set", "+get", "+time",
        ],
    ] {
        redis.query::<()>(&order(words)).await.unwrap();
    }
    let port = redis.addr().port();
    let at = |what: &str| what.replace("HOST", &format!("127.0.0.1:{port}"));
    for (url, kind, remedy) in [
        (
            "redis://reader:wrong-one@HOST",
            "refuses the log-in",
            "backend.password_file",
        ),
        (
            "redis://nobody@HOST",
            "refuses the log-in",
            "backend.username",
        ),
        ("redis://reader:pw@HOST", "may not do", "redis-acl.md"),
        ("redis://setter:pw@HOST", "may not do", "redis-acl.md"),
        (
            "redis://HOST/99",
            "refuses what is configured",
            "`databases`",
        ),
        (
            "redis+cluster://HOST",
            "not what backend.url says",
            "write redis://",
        ),
        (
            "redis+sentinel://HOST/main",
            "not what backend.url says",
            "no sentinel",
        ),
        ("rediss://HOST", "no TLS connection", "speaks no TLS"),
    ] {
        let url = at(url);
        let start = Instant::now();
        for end in ends(&[("backend.url", &url)]).await {
            assert_has(&end, &["exit status: 1", kind, remedy]);
            assert!(
                !end.contains("wrong-one") && !end.contains("waiting for"),
                "{end}"
            );
        }
        assert!(
            start.elapsed() < 2 * AT_ONCE,
            "{url}: {:?}",
            start.elapsed()
        );
        let doctor = run(&["doctor", "--backend", &url], &[]);
        assert_eq!(doctor.status.code(), Some(2), "{}", said(&doctor));
        assert_has(&said(&doctor), &[remedy]);
    }

    let full = order(&["CONFIG", "SET", "maxmemory", "1"]);
    redis.query::<()>(&full).await.unwrap();
    for end in ends(&[("backend.url", &redis.url())]).await {
        assert_has(
            &end,
            &[
                "exit status: 1",
                "memory of Redis is full",
                "raise maxmemory",
            ],
        );
    }
    let open = order(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.query::<()>(&open).await.unwrap();
    let password = order(&["CONFIG", "SET", "requirepass", "pw"]);
    redis.query::<()>(&password).await.unwrap();
    for end in ends(&[("backend.url", &redis.url())]).await {
        assert_has(&end, &["exit status: 1", "NOAUTH", "backend.password_file"]);
    }
}

#[tokio::test]
async fn a_password_of_any_characters_is_taken_from_its_file() {
    const PASSWORD: &str = "p@ss/w?rd#1%2F &:x";
    let redis = Standalone::start(&Options::default()).await.unwrap();
    let mut user = cmd("ACL");
    user.arg("SETUSER").arg("app").arg("on");
    user.arg(format!(">{PASSWORD}"))
        .arg(["~*", "&*", "+@all"].as_slice());
    redis.query::<()>(&user).await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let settings = [
        ("backend.username", "app"),
        ("backend.password_file", file.to_str().unwrap()),
    ];
    let urls = [redis.url(), redis.url()];
    let world = World::over(redis, urls, &settings, "").await;
    let mut page = world.open_simple("alice").await;
    world.send("alice", "hello").await;
    assert_eq!(next_content(&mut page).await.unwrap(), "hello");
    let clients: String = world.redis.query(cmd("CLIENT").arg("LIST")).await.unwrap();
    let ours = clients.lines().filter(|line| line.contains("user=app "));
    assert!(ours.count() >= 3, "calls of both and the bus: {clients}");
    for log in [world.gateway.log(), world.dispatcher.log()] {
        assert!(!log.unwrap().contains("p@ss"));
    }
}

#[tokio::test]
async fn the_address_of_a_replica_ends_a_start_and_doctor_says_so() {
    let mut sentinel = Sentinel::start(1, 1, &Options::default()).await.unwrap();
    let primary = sentinel.primary().await.unwrap().addr();
    let data = sentinel.data().iter().map(|node| node.addr());
    let replica = data.into_iter().find(|addr| *addr != primary).unwrap();
    let url = format!("redis://{replica}");
    let start = Instant::now();
    let [_, dispatcher] = services(&[("backend.url", &url)]);
    let end = dispatcher.start().await.unwrap_err().to_string();
    // A planned failover is over by then.
    assert!(
        start.elapsed() > Duration::from_secs(5),
        "{:?}: {end}",
        start.elapsed()
    );
    assert_has(
        &end,
        &[
            "exit status: 1",
            "is a replica",
            "name the primary",
            "waiting for",
        ],
    );

    let doctor = run(&["doctor", "--backend", &url, "--json"], &[]);
    assert_eq!(doctor.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let role = findings.iter().find(|it| it["what"] == "role").unwrap();
    assert_has(
        &role["remedy"].to_string(),
        &["name the primary", "redis+sentinel://"],
    );
}

#[tokio::test]
async fn a_gateway_waits_for_a_place_among_the_clients_of_redis() {
    // One connection for calls, and none for the bus.
    let options = Options::default().config("maxclients 3");
    let redis = Standalone::start(&options).await.unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let held = [
        client.get_multiplexed_async_connection().await.unwrap(),
        client.get_multiplexed_async_connection().await.unwrap(),
    ];
    let [gateway, _] = services(&[("backend.url", &redis.url())]);
    let starting = gateway.start();
    tokio::pin!(starting);
    let early = tokio::time::timeout(Duration::from_secs(6), &mut starting).await;
    assert!(early.is_err(), "{early:?}");
    drop(held);
    let gateway = starting.await.unwrap();
    let log = gateway.log().unwrap();
    assert_has(
        &log,
        &[
            "Redis takes no more clients",
            "raise maxclients",
            "waiting for the store",
        ],
    );
}

/// A certificate with its key, and another key.
fn certificate(folder: &Path) -> [String; 3] {
    let path = |name: &str| folder.join(name).display().to_string();
    for name in ["one", "other"] {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args([
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=x",
            ])
            .args(["-keyout", &path(&format!("{name}.key"))])
            .args(["-out", &path(&format!("{name}.pem"))])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", said(&made));
    }
    [path("one.pem"), path("one.key"), path("other.key")]
}

#[test]
fn a_key_of_another_certificate_is_found_by_the_check() {
    let folder = TempDir::new().unwrap();
    let [cert, key, other] = certificate(folder.path());
    let check = |key: &str| {
        let settings = [
            ("backend.url", "rediss://127.0.0.1:1"),
            ("backend.ca_file", &*cert),
            ("backend.cert_file", &cert),
            ("backend.key_file", key),
        ];
        run(&["config", "check"], &settings)
    };
    let good = check(&key);
    assert!(good.status.success(), "{}", said(&good));
    let bad = check(&other);
    assert_eq!(bad.status.code(), Some(64));
    assert_has(
        &said(&bad),
        &["backend.key_file: does not belong to backend.cert_file"],
    );
}
