//! A real Prometheus that reads a running gateway and dispatcher: every query of every dashboard is
//! executed, and alerts are provoked with windows that are scaled down (minutes to seconds).

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::poll::eventually;
use carillon_tests::prometheus::Prometheus;
use carillon_tests::redis::{Options, Standalone};
use serde_json::json;

use super::{FILES, panels};
use crate::tidy::{files, read};
use crate::world::{World, next_content};

/// For what Prometheus sees, evaluates and tells on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Panels that show nothing here, and why.
const EMPTY: [(&str, &str); 18] = [
    ("Overview / Alerts", "nothing fires"),
    (
        "Connections / Refused requests of clients",
        "no client asks for anything wrong",
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

/// Windows and patience in seconds instead of minutes, minutes instead of hours.
fn scaled(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        let line = match line.trim_start().strip_prefix("for: ") {
            Some(_) => line.replace('m', "s").replace('h', "m"),
            None => line.to_owned(),
        };
        line.replace("m]", "s]").replace("h]", "m]")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn shipped() -> Vec<String> {
    files(&format!("{FILES}/rules"), &["yaml"])
        .into_values()
        .collect()
}

fn targets(world: &World) -> [SocketAddr; 2] {
    [world.gateway.admin(), world.dispatcher.admin()]
}

/// What a panel asks, with the variables as Grafana would fill them in.
fn filled(query: &str) -> String {
    let labels = ["cluster", "namespace", "job", "instance", "pod"];
    let filled = labels.iter().fold(query.to_owned(), |query, label| {
        query.replace(&format!("${label}\""), ".*\"")
    });
    filled
        .replace("$__rate_interval", "20s")
        .replace("$quantile", "0.99")
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

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_wakes_somebody_until_it_is_back() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let mut network = ChaosProxy::start(redis.addr()).await?;
    let url = format!("redis://{}", network.addr());
    let world = World::over(redis, [url.clone(), url], &[], "").await;
    let rules = [scaled(&read(&format!("{FILES}/rules/alerts.yaml")))];
    let prometheus = Prometheus::start(&targets(&world), &rules).await?;
    let mut alice = world.open("alice", "phone").await;
    prometheus
        .until("CarillonRedisDown", false, PATIENCE)
        .await?;

    network.break_networking().await;
    prometheus
        .until("CarillonRedisDown", true, PATIENCE)
        .await?;
    network.restore().await?;
    prometheus
        .until("CarillonRedisDown", false, PATIENCE)
        .await?;
    world.reaches("alice", &mut alice.socket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_are_told_of_and_forgotten() -> Result<()> {
    let settings = [
        ("socket.slow_consumer_timeout", "500ms"),
        ("socket.outbox_bytes", "131072"),
        ("gateway.per_user_connections", "100"),
    ];
    let world = World::start(&settings).await;
    let rules = [scaled(&read(&format!("{FILES}/rules/alerts.yaml")))];
    let prometheus = Prometheus::start(&targets(&world), &rules).await?;
    prometheus
        .until("CarillonSlowConsumers", false, PATIENCE)
        .await?;
    // None of them reads.
    let mut slow = Vec::new();
    for number in 0..10 {
        slow.push(world.open("alice", &format!("phone-{number}")).await);
    }
    let large = " ".repeat(60_000);
    let flood = async {
        loop {
            // Its inbox is full soon; the devices behind are moved on.
            drop(world.try_send("alice", &large, json!({})).await);
        }
    };
    tokio::select! {
        result = prometheus.until("CarillonSlowConsumers", true, PATIENCE) => result?,
        () = flood => {}
    }
    drop(slow);
    prometheus
        .until("CarillonSlowConsumers", false, PATIENCE)
        .await
}
