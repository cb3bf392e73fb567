//! What a start says about its configuration and its Redis: the same as `carillon doctor`.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Persistence, Standalone};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::world::SOON;

/// What a service may complain of.
const REASONS: usize = 11;
/// More than `a_limit_that_is_too_small` allows.
const TOO_MANY: usize = 200;

fn on_this_machine(service: Service) -> Service {
    service
        .set("gateway.listen", "127.0.0.1:0")
        .set("dispatcher.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .set("drain.delay", "0s")
}

/// `carillon_config_warnings` of a process, by reason.
async fn warnings(process: &Process) -> Result<BTreeMap<String, u64>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}/metrics", process.admin());
    let text = http.get(url).send().await?.text().await?;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("carillon_config_warnings{reason=\"") else {
            continue;
        };
        let (reason, value) = rest.split_once("\"} ").context("no value")?;
        found.insert(reason.to_owned(), value.parse()?);
    }
    Ok(found)
}

/// Waits until exactly these reasons are 1 and all others 0.
async fn complains_of(process: &Process, reasons: &[&str]) -> Result<()> {
    eventually("the complaints", SOON, async || {
        let all = warnings(process).await?;
        ensure!(all.len() == REASONS, "{all:?}");
        let wrong: Vec<_> = all.iter().filter(|(_, value)| **value == 1).collect();
        let wrong: Vec<_> = wrong.iter().map(|(reason, _)| reason.as_str()).collect();
        ensure!(wrong == reasons, "{wrong:?}");
        Ok(())
    })
    .await
}

/// The warnings in its log that name a remedy, without time and colour.
fn told(process: &Process) -> Result<Vec<String>> {
    let log = process.log()?;
    let lines = log.lines().filter(|line| line.contains(" WARN "));
    let lines = lines.filter(|line| line.contains("remedy="));
    Ok(lines.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_looks_as_doctor_does() -> Result<()> {
    let options = Options::default()
        .config("maxmemory 100mb")
        .config("maxmemory-policy allkeys-lru");
    let mut redis = Standalone::start(&options).await?;
    // Redis comes last: what needs none of it is said before.
    redis.stop_gracefully().await?;
    let [gateway, dispatcher] = [Service::gateway(), Service::dispatcher()].map(|service| {
        on_this_machine(service)
            .set("backend.url", redis.url())
            .set("durability.replicas", 1)
    });
    let (gateway, dispatcher, ()) =
        tokio::try_join!(gateway.start(), dispatcher.start(), redis.restart())?;
    let of_redis = ["eviction", "persistence", "replicas"];
    let own = [("issuers", "auth.issuers"), ("api_keys", "apikey new")];
    for (process, (reason, remedy)) in [gateway, dispatcher].into_iter().zip(own) {
        let mut reasons = vec![reason];
        reasons.extend(of_redis);
        reasons.sort_unstable();
        complains_of(&process, &reasons).await?;
        let told = told(&process)?;
        ensure!(told.len() == reasons.len(), "{told:#?}");
        for words in [
            "noeviction",
            "appendonly yes",
            "wipes its replicas",
            "add 1",
            remedy,
        ] {
            ensure!(told.iter().any(|line| line.contains(words)), "{told:#?}");
        }
    }

    let doctor = Command::new(Service::built("carillon"))
        .args(["doctor", "--json", "--backend", &redis.url()])
        .env("CARILLON__DURABILITY__REPLICAS", "1")
        .output()?;
    ensure!(doctor.status.code() == Some(2), "{doctor:?}");
    let report: Value = serde_json::from_slice(&doctor.stdout)?;
    let findings = report["findings"].as_array().context("no findings")?;
    let level = |what: &str| {
        let found = findings.iter().find(|finding| finding["what"] == what);
        found.and_then(|it| it["level"].as_str())
    };
    for what in of_redis {
        ensure!(level(what) == Some("failure"), "{what}: {report:#}");
    }
    for what in ["issuers", "API keys"] {
        ensure!(level(what) == Some("warning"), "{what}: {report:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_well_says_nothing() -> Result<()> {
    let options = Options::default().persistence(Persistence::EverySecond);
    let redis = Standalone::start(&options).await?;
    let service = on_this_machine(Service::standalone())
        .config(
            "[[auth.issuers]]\nname = \"t\"\nalgorithms = [\"HS256\"]\n\
             secret = \"a secret that is known to tests alone\"\n",
        )
        .set("backend.url", redis.url());
    let process = service.start().await?;
    complains_of(&process, &["api_keys"]).await?;
    // The look at Redis is over when it would have been told.
    eventually("Redis was looked at", SOON, async || {
        let calls = redis.info("cmdstat_info").await?;
        ensure!(!calls.is_empty(), "not yet");
        Ok(())
    })
    .await?;
    complains_of(&process, &["api_keys"]).await?;
    ensure!(told(&process)?.len() == 1, "{}", process.log()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_look_says_so() -> Result<()> {
    let options = Options::default().user("some on nopass ~* &* +@all -info");
    let redis = Standalone::start(&options).await?;
    let process = on_this_machine(Service::dispatcher())
        .set("backend.url", redis.url_as("some", "any"))
        .start()
        .await?;
    complains_of(&process, &["api_keys", "unchecked"]).await?;
    let told = told(&process)?;
    ensure!(told.iter().any(|it| it.contains("+info")), "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_too_small_is_said_once() -> Result<()> {
    for (service, reasons) in [
        (Service::gateway(), &["issuers", "open_files", "store"][..]),
        (Service::dispatcher(), &["api_keys", "store"]),
    ] {
        let process = on_this_machine(service)
            .set("backend.url", "memory://")
            .open_files(128)
            .start()
            .await?;
        complains_of(&process, reasons).await?;
        if reasons.contains(&"open_files") {
            let told = told(&process)?;
            let line = told.iter().find(|it| it.contains("open files"));
            let line = line.context("nothing of open files")?;
            ensure!(line.contains("LimitNOFILE"), "{line}");
        }
        // All of them are open at once: who is silent gives way, and the admin port has descriptors of its own.
        let mut sockets = Vec::new();
        for _ in 0..TOO_MANY {
            sockets.push(TcpStream::connect(process.public()).await?);
        }
        complains_of(&process, reasons).await?;
        let log = process.log()?;
        ensure!(!log.contains("a connection could not be accepted"), "{log}");
    }
    Ok(())
}
