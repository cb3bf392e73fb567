//! IPv4 and IPv6: a service that listens at `[::]`, as the chart has it, is reached by either.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_tests::client::token;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::SECRET;

const LOOPBACKS: [&str; 2] = ["127.0.0.1", "[::1]"];

/// What clients and services log in with: files for the command line, and a configuration that knows them.
struct Login {
    dir: TempDir,
    config: String,
}

impl Login {
    fn new() -> Result<Self> {
        let (key, hash) = ApiKeys::generate();
        let dir = TempDir::new()?;
        let token = token::hs256(SECRET, "alice", Duration::from_secs(3_600));
        std::fs::write(dir.path().join("token"), token)?;
        std::fs::write(dir.path().join("key"), key.expose())?;
        let issuer = format!("name = \"tests\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"");
        let caller = format!("name = \"tests\"\nhash = \"{hash}\"\nscopes = [\"send\"]");
        let config = format!("[[auth.issuers]]\n{issuer}\n[[auth.api_keys]]\n{caller}\n");
        Ok(Self { dir, config })
    }

    /// A service that knows it, at every address.
    fn known_to(&self, service: Service, backend: &str) -> Service {
        service
            .config(&self.config)
            .set("backend.url", backend)
            .set("gateway.listen", "[::]:0")
            .set("dispatcher.listen", "[::]:0")
            .set("admin.listen", "[::]:0")
    }

    /// Lets a client connect by `host`, and a service send to it by the same.
    fn goes_round(&self, host: &str, gateway: &Process, dispatcher: &Process) -> Result<Value> {
        let output = Command::new(Service::built("carillon"))
            .args(["check", "--json", "--timeout", "15s"])
            .arg("--url")
            .arg(format!("ws://{}", by(host, gateway.public())))
            .arg("--api")
            .arg(format!("http://{}", by(host, dispatcher.public())))
            .arg("--token-file")
            .arg(self.dir.path().join("token"))
            .arg("--key-file")
            .arg(self.dir.path().join("key"))
            .output()?;
        ensure!(output.status.success(), "by {host}: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn by(host: &str, address: SocketAddr) -> String {
    format!("{host}:{}", address.port())
}

/// All ports of both, by both families.
async fn answers(login: &Login, gateway: &Process, dispatcher: &Process) -> Result<()> {
    for host in LOOPBACKS {
        for process in [gateway, dispatcher] {
            let url = format!("http://{}/readyz", by(host, process.admin()));
            let status = reqwest::get(&url).await?.status();
            ensure!(status == 200, "{url}: {status}");
        }
        let round = login.goes_round(host, gateway, dispatcher)?;
        ensure!(round["user"] == "alice", "by {host}: {round}");
    }
    Ok(())
}

/// The store is reached by IPv6 alone, as in a cluster that has nothing else.
#[tokio::test]
async fn services_are_reached_by_both_families_and_reach_redis_by_ipv6() -> Result<()> {
    let both = Options::default().config("bind 127.0.0.1 ::1");
    let redis = Standalone::start(&both).await?;
    let url = format!("redis://{}", by("[::1]", redis.addr()));
    let login = Login::new()?;
    let gateway = login.known_to(Service::gateway(), &url);
    let dispatcher = login.known_to(Service::dispatcher(), &url);
    let (gateway, dispatcher) = tokio::try_join!(gateway.start(), dispatcher.start())?;
    answers(&login, &gateway, &dispatcher).await
}

#[tokio::test]
async fn one_process_is_reached_by_both_families() -> Result<()> {
    let login = Login::new()?;
    let process = login.known_to(Service::standalone(), "memory://");
    let process = process.start().await?;
    answers(&login, &process, &process).await
}
