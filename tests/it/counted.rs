//! What the metrics of the stores count: each is moved by what it tells of.

use anyhow::{Result, ensure};
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::notification;
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};

use crate::world::{SOON, World, metric_of, next_content};

const SHORT_LEASE: [(&str, &str); 2] = [("lease.ttl", "2s"), ("lease.renew", "500ms")];

async fn grows(process: &Process, name: &str, above: f64) -> Result<f64> {
    eventually(name, SOON, async || {
        let value = metric_of(process, name).await?;
        ensure!(value > above, "it is {value}");
        Ok(value)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_goes_and_comes_is_counted() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let mut network = ChaosProxy::start(redis.addr()).await?;
    let through = format!("redis://{}", network.addr());
    let direct = redis.url();
    let settings = [
        ("redis.probe_interval", "200ms"),
        ("redis.clock_interval", "100ms"),
    ];
    let world = World::over(redis, [through, direct], &settings, "").await;
    let gateway = &world.gateway;

    grows(gateway, "carillon_redis_calls_total", 0.0).await?;
    grows(gateway, "carillon_redis_probes_total", 2.0).await?;
    let connects = grows(gateway, "carillon_redis_connects_total", 0.0).await?;
    // Both clocks are one, read at two moments: hardly ever the very same number of milliseconds.
    let offset = metric_of(gateway, "carillon_redis_clock_offset_seconds").await?;
    ensure!(offset.abs() < 1.0, "{offset}");
    let mut alice = world.open("alice", "phone").await;
    world
        .api
        .send(&notification("alice", "t", "one"), None)
        .await?;
    next_content(&mut alice.socket).await?;
    grows(gateway, "carillon_redis_bus_messages_total", 0.0).await?;

    network.break_networking().await;
    let away = r#"carillon_redis_errors_total{kind="unreachable"}"#;
    grows(gateway, away, 0.0).await?;
    grows(gateway, "carillon_redis_connect_failures_total", 0.0).await?;
    grows(gateway, "carillon_redis_bus_rebuilds_total", 0.0).await?;
    network.restore().await?;
    grows(gateway, "carillon_redis_connects_total", connects).await?;
    grows(gateway, "carillon_redis_bus_doubts_total", 0.0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_and_what_it_leaves_are_counted() -> Result<()> {
    let world = World::start(&SHORT_LEASE).await;
    let other = world.another_gateway(&SHORT_LEASE).await;
    let _alice = world.open("alice", "phone").await;
    ensure!(metric_of(&other, "carillon_redis_reaped_sessions_total").await? == 0.0);
    // Frozen until its lease has ended: the other one clears up, and it has to take a new one.
    world.gateway.pause();
    let reaped = grows(&other, "carillon_redis_reaped_sessions_total", 0.0).await;
    world.gateway.resume();
    ensure!(reaped? == 1.0, "alice alone was connected there");
    grows(&world.gateway, "carillon_gateway_lease_lost_total", 0.0).await?;
    ensure!(world.metric("carillon_gateway_lease_lost_total").await? == 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_tells_what_it_holds() -> Result<()> {
    let process = Service::standalone()
        .set("gateway.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .start()
        .await?;
    let url = format!("http://{}/metrics", process.admin());
    let text = reqwest::get(url).await?.text().await?;
    for name in ["bytes", "users", "channels"] {
        let line = format!("carillon_memory_store_{name} ");
        ensure!(
            text.lines().any(|it| it.starts_with(&line)),
            "no {line}in {text}"
        );
    }
    ensure!(!text.contains("carillon_redis_"), "there is no Redis");
    ensure!(!text.contains("carillon_store_"), "{text}");
    Ok(())
}
