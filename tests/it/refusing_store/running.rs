//! What is told by services that run, for as long as their Redis refuses.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::poll::eventually;
use redis::cmd;
use serde_json::json;

use super::assert_has;
use crate::world::{SOON, World, next_content};

/// Sends until it is accepted.
async fn goes_on(world: &World) {
    let sent = eventually("it goes on", SOON, async || {
        let sent = world.try_send("alice", "again", json!({})).await;
        sent.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
    });
    sent.await.unwrap();
}

/// What `/readyz?verbose` says.
async fn ready(admin: std::net::SocketAddr) -> Result<(u16, String)> {
    let answer = reqwest::get(format!("http://{admin}/readyz?verbose")).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn metrics(admin: std::net::SocketAddr) -> Result<String> {
    Ok(reqwest::get(format!("http://{admin}/metrics"))
        .await?
        .text()
        .await?)
}

fn count(metrics: &str, kind: &str) -> u64 {
    let name = format!("carillon_redis_errors_total{{kind=\"{kind}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&*name));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn full_memory_is_told_apart_from_an_outage_while_it_lasts() {
    let world = World::start(&[("lease.renew", "500ms"), ("lease.ttl", "3s")]).await;
    let mut page = world.open_simple("alice").await;
    let set = |value: &'static str| {
        let mut set = cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(value);
        set
    };
    world.redis.query::<()>(&set("1")).await.unwrap();
    for _ in 0..3 {
        let body = json!({"target_user": "alice", "notification_type": "t", "content": "no"});
        let asked = Instant::now();
        let (status, problem) = world.post("/api/notifications/send", &body).await;
        assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
        assert_eq!(problem["title"], "The store refuses");
        assert_has(
            &problem["detail"].to_string(),
            &["memory is full", "nothing was accepted"],
        );
        assert!(asked.elapsed() < Duration::from_secs(2), "told at once");
    }
    for process in [&world.gateway, &world.dispatcher] {
        let told = eventually("it is told", SOON, async || {
            let (status, text) = ready(process.admin()).await?;
            ensure!(
                status == 200 && text.contains("memory of Redis is full"),
                "{text}"
            );
            ensure!(text.contains("raise maxmemory"), "{text}");
            Ok(())
        });
        told.await.unwrap();
        let metrics = metrics(process.admin()).await.unwrap();
        assert!(count(&metrics, "out_of_memory") > 0, "{metrics}");
        assert_eq!(count(&metrics, "unreachable"), 0, "{metrics}");
        assert!(process.is_running());
        let log = process.log().unwrap();
        assert_eq!(
            log.matches("the memory of Redis is full (").count(),
            1,
            "{log}"
        );
    }
    world.redis.query::<()>(&set("0")).await.unwrap();
    goes_on(&world).await;
    assert_eq!(next_content(&mut page).await.unwrap(), "again");
}

#[tokio::test]
async fn a_password_that_is_changed_is_told_apart_from_an_outage() {
    let world = World::start(&[("lease.renew", "500ms"), ("lease.ttl", "3s")]).await;
    let order = |words: &[&str]| cmd(words[0]).arg(&words[1..]).to_owned();
    let redis = &world.redis;
    // Both come on the same connection: the second closes it.
    let mut change = redis::pipe();
    change.add_command(order(&["ACL", "SETUSER", "default", "resetpass", ">other"]));
    change.add_command(order(&["CLIENT", "KILL", "TYPE", "NORMAL"]));
    change.add_command(order(&["CLIENT", "KILL", "TYPE", "PUBSUB"]));
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    change.query_async::<()>(&mut connection).await.unwrap();
    for process in [&world.gateway, &world.dispatcher] {
        let told = eventually("it is told", SOON, async || {
            let (status, text) = ready(process.admin()).await?;
            ensure!(
                status == 200 && text.contains("Redis refuses the log-in"),
                "{text}"
            );
            Ok(())
        });
        told.await.unwrap();
        assert!(count(&metrics(process.admin()).await.unwrap(), "auth") > 0);
        assert!(process.is_running());
    }
    let body = json!({"target_user": "alice", "notification_type": "t", "content": "no"});
    let (status, problem) = world.post("/api/notifications/send", &body).await;
    assert_eq!(status, 503);
    assert_has(
        &problem["detail"].to_string(),
        &["refuses this service's log-in"],
    );
    let url = format!("redis://:other@{}", redis.addr());
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let back = order(&["ACL", "SETUSER", "default", "nopass"]);
    back.query_async::<()>(&mut connection).await.unwrap();
    goes_on(&world).await;
}
