//! Faults of running services, from the fault to who is told: a real Prometheus evaluates the chart's rules, with
//! windows that are scaled down (minutes to seconds, hours to minutes), and a real Alertmanager, configured as
//! examples/observability has it, tells a receiver of this test, of the end too.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::alertmanager::Alertmanager;
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::poll::eventually;
use carillon_tests::prometheus::Prometheus;
use carillon_tests::redis::{Options, Standalone};
use futures_util::future::join_all;
use redis::cmd;
use serde_json::{Value, json};

use super::{FILES, running::targets};
use crate::tidy::{files, read};
use crate::world::World;

/// For what Prometheus sees, evaluates and tells on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Each waits for `dispatcher.store_timeout`.
const CALLERS: usize = 40;

/// Windows and patience in seconds instead of minutes, minutes instead of hours; and what is counted in them.
fn scaled(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        let line = match line.trim_start().strip_prefix("for: ") {
            Some(_) => line.replace('m', "s").replace('h', "m"),
            None => line.to_owned(),
        };
        line.replace("m]", "s]")
            .replace("h]", "m]")
            .replace(" * 3600 >= ", " * 60 >= ")
            .replace(" * 21600 >= ", " * 360 >= ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Prometheus and Alertmanager for a world.
struct Watch {
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Watch {
    async fn over(world: &World) -> Result<Self> {
        let configuration: Value =
            serde_saphyr::from_str(&read("examples/observability/alertmanager.yml"))?;
        let alertmanager = Alertmanager::start(&configuration).await?;
        let rules = files(&format!("{FILES}/rules"), &["yaml"]);
        let rules: Vec<_> = rules.values().map(|text| scaled(text)).collect();
        let told = [alertmanager.address()];
        let prometheus = Prometheus::telling(&targets(world), &rules, &told).await?;
        Ok(Self {
            prometheus,
            alertmanager,
        })
    }

    /// Waits until it fires and somebody is told; answers with the alert's labels.
    async fn wakes(&self, alert: &str) -> Result<Value> {
        self.prometheus.until(alert, true, PATIENCE).await?;
        let labels = [("alertname", alert)];
        self.alertmanager.tells(&labels, "firing", PATIENCE).await
    }

    /// Waits until it fires no more and somebody is told that.
    async fn ends(&self, alert: &str) -> Result<()> {
        self.prometheus.until(alert, false, PATIENCE).await?;
        let labels = [("alertname", alert)];
        self.alertmanager
            .tells(&labels, "resolved", PATIENCE)
            .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_wakes_somebody_until_it_is_back() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let mut network = ChaosProxy::start(redis.addr()).await?;
    let url = format!("redis://{}", network.addr());
    let world = World::over(redis, [url.clone(), url], &[], "").await;
    let watch = Watch::over(&world).await?;
    let mut alice = world.open("alice", "phone").await;
    watch
        .prometheus
        .until("CarillonRedisDown", false, PATIENCE)
        .await?;

    network.break_networking().await;
    // Callers go on, so many at once that it is no small matter, and their calls fail after a while: that is
    // no news while Redis is down.
    let caller = async |_| -> () {
        loop {
            drop(world.try_send("alice", "lost?", json!({})).await);
        }
    };
    let sends = join_all((0..CALLERS).map(caller));
    let told = async {
        let labels = watch.wakes("CarillonRedisDown").await?;
        ensure!(
            labels["severity"] == "page" && labels["namespace"] == "rt",
            "{labels}"
        );
        let follows = "CarillonPublishErrorBudgetBurn";
        watch.prometheus.until(follows, true, PATIENCE).await?;
        eventually("it is kept back", PATIENCE, async || {
            let by = watch.alertmanager.inhibited(follows).await?;
            ensure!(by > 0, "by nothing");
            Ok(())
        })
        .await
    };
    tokio::select! {
        result = told => result?,
        _ = sends => {}
    }
    network.restore().await?;
    watch.ends("CarillonRedisDown").await?;
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
    let watch = Watch::over(&world).await?;
    watch
        .prometheus
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
        result = watch.wakes("CarillonSlowConsumers") => drop(result?),
        () = flood => {}
    }
    drop(slow);
    watch.ends("CarillonSlowConsumers").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_a_client_holds_up_is_told_of_until_it_is_over() -> Result<()> {
    // Whoever does not read is waited for beyond the drain's time.
    let settings = [
        ("socket.slow_consumer_timeout", "80s"),
        ("drain.close_grace", "1s"),
    ];
    let world = World::start(&settings).await;
    let watch = Watch::over(&world).await?;
    let stubborn = world.open("alice", "phone").await;
    let large = " ".repeat(60_000);
    while world.try_send("alice", &large, json!({})).await.is_ok() {}
    watch
        .prometheus
        .until("CarillonDrainStuck", false, PATIENCE)
        .await?;
    world.gateway.terminate();
    let labels = watch.wakes("CarillonDrainStuck").await?;
    ensure!(labels["pod"] == "pod-0", "which one: {labels}");
    drop(stubborn);
    watch.ends("CarillonDrainStuck").await?;
    let status = world.gateway.wait(PATIENCE).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_that_fail_burn_the_budget_until_they_are_taken_again() -> Result<()> {
    let world = World::start(&[]).await;
    let watch = Watch::over(&world).await?;
    let limit = async |bytes: u32| -> Result<()> {
        let mut set = cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes);
        world.redis.query(&set).await
    };
    let sends = async {
        loop {
            // The budget is of all, refused ones included.
            drop(world.try_send("alice", "", json!({"ttl": "1s"})).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let burns = async {
        let alert = "CarillonPublishErrorBudgetBurn";
        watch.prometheus.until(alert, false, PATIENCE).await?;
        // Redis is full: it answers, and takes nothing.
        limit(1).await?;
        watch.prometheus.until(alert, true, PATIENCE).await?;
        let page = [("alertname", alert), ("severity", "page"), ("long", "1h")];
        watch.alertmanager.tells(&page, "firing", PATIENCE).await?;
        let kind = watch.wakes("CarillonRedisRefuses").await?;
        ensure!(kind["kind"] == "out_of_memory", "{kind}");
        limit(0).await?;
        // Both windows of what pages are short; the long ones of tickets remember it.
        let query =
            format!(r#"ALERTS{{alertname="{alert}", alertstate="firing", severity="page"}}"#);
        eventually("the page ends", PATIENCE * 2, async || {
            let firing = watch.prometheus.query(&query).await?;
            ensure!(firing.is_empty(), "{firing:?}");
            Ok(())
        })
        .await?;
        watch
            .alertmanager
            .tells(&page, "resolved", PATIENCE)
            .await?;
        watch.ends("CarillonRedisRefuses").await
    };
    tokio::select! {
        result = burns => result,
        () = sends => Ok(()),
    }
}
