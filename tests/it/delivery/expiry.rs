//! How long a notification may be delivered.

use anyhow::ensure;
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::{Handshake, TokenIn};
use carillon_tests::client::{Socket, notification};
use carillon_tests::poll::eventually;
use redis::cmd;
use serde_json::json;

use crate::world::{SOON, World, content, next_content, silent, token_of};

/// Waits until Redis' clock has passed so many milliseconds after now.
async fn until_passed(world: &World, milliseconds: u64) {
    let now = async || -> anyhow::Result<u64> {
        let (seconds, micros): (u64, u64) = world.redis.query(&cmd("TIME")).await?;
        Ok(seconds * 1_000 + micros / 1_000)
    };
    let start = now().await.unwrap();
    let passing = eventually("time passes", SOON, async || {
        ensure!(now().await? > start + milliseconds);
        Ok(())
    });
    passing.await.unwrap();
}

#[tokio::test]
async fn an_expired_one_is_not_delivered_afterwards() {
    let world = World::start(&[]).await;
    world
        .try_send("alice", "short", json!({ "ttl": 1 }))
        .await
        .unwrap();
    world
        .try_send("alice", "shorter", json!({ "ttl": "400ms" }))
        .await
        .unwrap();
    world.send("alice", "long").await;
    let early = world.open("alice", "early").await;
    assert_eq!(early.contents().first(), Some(&"short"));
    drop(early);
    until_passed(&world, 1_100).await;
    for device in ["early", "late"] {
        let opened = world.open("alice", device).await;
        assert_eq!(opened.contents(), ["long"], "{device}");
        assert!(opened.control_of("gap").is_empty(), "an expiry is no gap");
    }
    let mut page = Socket::connect(&world.simple("alice")).await.unwrap();
    assert_eq!(next_content(&mut page).await.unwrap(), "long");
    silent(&mut page).await.unwrap();
}

#[tokio::test]
async fn one_that_expires_on_its_way_is_passed_over() {
    let world = World::start(&[]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    // The hint waits with the gateway, which is halted, until it is too late.
    world.gateway.pause();
    world
        .try_send("alice", "short", json!({ "ttl": "300ms" }))
        .await
        .unwrap();
    world.send("alice", "long").await;
    until_passed(&world, 600).await;
    world.gateway.resume();
    assert_eq!(next_content(&mut socket).await.unwrap(), "long");
    silent(&mut socket).await.unwrap();
}

#[tokio::test]
async fn ttl_0_is_for_who_is_there() {
    let world = World::start(&[]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    let path = "/api/notifications/send";
    let mut body = notification("alice", "t", "now");
    body["ttl"] = json!(0);
    let before = world.contents().await.unwrap();
    let (status, answer) = world.post(path, &body).await;
    assert_eq!(
        (status, &answer["outcome"]),
        (200, &json!("routed")),
        "{answer}"
    );
    assert_eq!(
        (&answer["cursor"], &answer["devices"]),
        (&json!(null), &json!(1))
    );
    let frame = socket.frame(SOON).await.unwrap();
    assert_eq!(content(&frame), "now");
    assert!(frame.get("cursor").is_none(), "{frame}");
    socket.close().await;
    world.until_connections("alice", 0).await;
    let (_, answer) = world.post(path, &body).await;
    assert_eq!(
        (&answer["outcome"], &answer["devices"]),
        (&json!("dropped"), &json!(0))
    );
    let mut after = world.contents().await.unwrap();
    // The dispatcher's own retries are remembered for a moment.
    after.retain(|key, _| !key.contains(":dedup:"));
    assert_eq!(after, before, "something was stored");
    assert!(world.open("alice", "phone").await.contents().is_empty());
}

#[tokio::test]
async fn a_notification_outlives_a_broken_network() {
    let world = World::start(&[]).await;
    let mut proxy = ChaosProxy::start(world.gateway.public()).await.unwrap();
    let handshake = Handshake::to(&format!("ws://{}", proxy.addr()))
        .protocol("carillon.v1")
        .query("device", "phone")
        .token(TokenIn::Query, &token_of("alice"));
    let mut opened = crate::world::Opened::by(&handshake).await.unwrap();
    proxy.break_networking().await;
    world.send("alice", "one").await;
    assert_eq!(opened.socket.closed(SOON).await.unwrap().0, 1006);
    proxy.restore().await.unwrap();
    let again = crate::world::Opened::by(&handshake).await.unwrap();
    assert_eq!(again.contents(), ["one"]);
}
