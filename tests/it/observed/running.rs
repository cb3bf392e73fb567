//! A real Prometheus that reads a running gateway and dispatcher: every query of every dashboard is executed.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::poll::eventually;
use carillon_tests::prometheus::{Prometheus, filled};
use serde_json::json;

use super::{FILES, panels};
use crate::tidy::files;
use crate::world::{World, in_ms, next_content};

/// For what Prometheus sees, evaluates and tells on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Panels that show nothing here, and why.
const EMPTY: [(&str, &str); 22] = [
    ("Overview / Alerts", "nothing fires"),
    (
        "Connections / Refused requests of clients",
        "no client asks for anything wrong",
    ),
    (
        "Connections / Event streams ended",
        "where clients read event streams",
    ),
    (
        "Runtime / Age of issuers' keys",
        "where issuers publish their keys",
    ),
    (
        "Runtime / Fetches of issuers' keys",
        "where issuers publish their keys",
    ),
    (
        "Runtime / Issuers' keys",
        "where issuers publish their keys",
    ),
    ("Delivery / Canary", "where a canary runs"),
    ("Delivery / Canary's round", "where a canary runs"),
    ("Delivery / Gaps told", "nobody missed anything"),
    ("Delivery / Full outboxes", "everybody reads"),
    ("Delivery / Inboxes read again", "no hint was lost"),
    ("Dispatchers / Gateways reaped", "no pod died"),
    ("Redis / In memory", "the store is Redis"),
    ("Runtime / Readings of auth.dir", "where auth.dir changes"),
    (
        "Runtime / Since auth.dir was last in order",
        "where auth.dir is used",
    ),
    ("Runtime / Spans", "where notifications are traced"),
    (
        "Capacity / Users and channels in memory",
        "the store is Redis",
    ),
    ("Capacity / Memory", "where the machine sets no limit"),
    (
        "Redis / Calls per group commit",
        "there are no replicas to wait for",
    ),
    (
        "Rollout and drain / Replicas",
        "kube-state-metrics tells it",
    ),
    (
        "Rollout and drain / Disruptions allowed",
        "kube-state-metrics tells it",
    ),
    (
        "Capacity / Connections that nodes track",
        "the node exporter tells it",
    ),
];

fn shipped() -> Vec<String> {
    files(&format!("{FILES}/rules"), &["yaml"])
        .into_values()
        .collect()
}

pub(super) fn targets(world: &World) -> [SocketAddr; 2] {
    [world.gateway.admin(), world.dispatcher.admin()]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_dashboard_gives_data() -> Result<()> {
    let world = World::start(&[("redis.probe_interval", "500ms")]).await;
    // Recordings of five minutes need two values.
    let prometheus = Prometheus::start(&targets(&world), &shipped()).await?;
    let mut alice = world.open("alice", "phone").await;
    let subscribe = json!({"type": "subscribe", "channel": "orders"});
    alice.socket.send(&subscribe).await?;
    let busy = async {
        for round in 0.. {
            world.send("alice", &format!("{round}")).await;
            next_content(&mut alice.socket).await?;
            alice.socket.send(&json!({"type": "ping"})).await?;
            let broadcast = carillon_tests::client::broadcast(None, "t", "all");
            world.post("/api/notifications/broadcast", &broadcast).await;
            // One that waits for its time, and comes.
            let mut later = carillon_tests::client::notification("dave", "t", "later");
            later["deliver_at"] = in_ms(50).into();
            world.post("/api/notifications/send", &later).await;
            // A problem, a connection that ends, one that is refused.
            world.post("/api/notifications/send", &json!({})).await;
            drop(world.open("bob", "phone").await);
            let refused = world.simple("carol").query("token", "none");
            drop(carillon_tests::client::Socket::connect(&refused).await);
            let online = format!("{}/api/notifications/online-count", world.dispatcher.http());
            drop(reqwest::get(online).await?);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok::<(), anyhow::Error>(())
    };
    let asked = async {
        let mut shown = 0;
        for (panel, queries) in panels() {
            let why_not = EMPTY.iter().find(|(title, _)| *title == panel);
            for query in queries {
                let query = filled(&query);
                if why_not.is_some() {
                    // It is a query all the same, and the list is not longer than it must be.
                    let series = prometheus.query(&query).await?;
                    let depends = why_not.is_some_and(|(_, why)| why.starts_with("where "));
                    ensure!(
                        depends || series.is_empty(),
                        "{panel} is on the list and has data: {series:?}"
                    );
                    continue;
                }
                shown += 1;
                eventually(&format!("{panel}: {query}"), PATIENCE, async || {
                    let series = prometheus.query(&query).await?;
                    let values: Vec<_> = series
                        .iter()
                        .filter_map(|one| one["value"][1].as_str())
                        .filter(|value| *value != "NaN")
                        .collect();
                    ensure!(!values.is_empty(), "no data");
                    Ok(())
                })
                .await?;
            }
        }
        ensure!(shown > 80, "{shown}");
        Ok::<(), anyhow::Error>(())
    };
    tokio::select! {
        result = asked => result,
        result = busy => result,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say_about_the_metrics() -> Result<()> {
    let world = World::start(&[]).await;
    let mut alice = world.open("alice", "phone").await;
    world.send("alice", "one").await;
    next_content(&mut alice.socket).await?;
    for target in targets(&world) {
        let text = reqwest::get(format!("http://{target}/metrics"))
            .await?
            .text()
            .await?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), &text)?;
        let output = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::from(file.reopen()?))
            .output()
            .context("promtool; `make setup` installs it")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(output.status.success() && said.trim().is_empty(), "{said}");
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        // With every label value that one connection and one send make.
        ensure!(series < 1_000, "{series} series");
    }
    Ok(())
}
