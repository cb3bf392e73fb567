//! What became of notifications, told to their senders; taking them back, replacing them, forgetting users.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::{poll::eventually, process::Process};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Opened, SOON, World, content};

async fn call(world: &World, method: Method, path: &str) -> (u16, Value) {
    let response = world.api.request(method, path).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn receipt(world: &World, cursor: &str) -> Value {
    let path = format!("/api/users/alice/notifications/{cursor}");
    let (status, receipt) = call(world, Method::GET, &path).await;
    assert_eq!(status, 200, "{receipt}");
    receipt
}

/// Waits until the receipt says this of each device, by name.
async fn told(world: &World, cursor: &str, expected: &[(&str, &str)]) {
    let wait = eventually("the receipt says so", SOON, async || {
        let receipt = receipt(world, cursor).await;
        let devices = receipt["devices"].as_array().unwrap().iter();
        let found = devices.map(|it| {
            let name = it["device"].as_str().unwrap_or("~");
            (name, it["status"].as_str().unwrap())
        });
        let found: Vec<_> = found.collect();
        ensure!(found == expected, "{receipt}");
        Ok(())
    });
    wait.await.unwrap();
}

async fn ack(opened: &mut Opened, cursor: &str) {
    let ack = json!({"type": "ack", "cursor": cursor});
    opened.socket.send(&ack).await.unwrap();
}

async fn notified(opened: &mut Opened) -> Value {
    let frame = opened.socket.frame(SOON).await.unwrap();
    assert!(frame["id"].is_string(), "{frame}");
    frame
}

#[tokio::test]
async fn a_receipt_follows_each_device_through_reconnections() {
    let world = World::start(&[]).await;
    let mut phone = world.open("alice", "phone").await;
    let tablet = world.open("alice", "tablet").await;
    tablet.socket.close().await;
    let sent = world.send("alice", "one").await;
    let cursor = sent.cursor.clone();
    told(
        &world,
        &cursor,
        &[("phone", "queued"), ("tablet", "queued")],
    )
    .await;
    let frame = notified(&mut phone).await;
    ack(&mut phone, frame["cursor"].as_str().unwrap()).await;
    told(
        &world,
        &cursor,
        &[("phone", "delivered"), ("tablet", "queued")],
    )
    .await;
    assert_eq!(receipt(&world, &cursor).await["status"], "partly_delivered");

    let mut tablet = world.open("alice", "tablet").await;
    assert_eq!(tablet.contents(), ["one"]);
    ack(&mut tablet, &cursor).await;
    told(
        &world,
        &cursor,
        &[("phone", "delivered"), ("tablet", "delivered")],
    )
    .await;
    let receipt = receipt(&world, &cursor).await;
    assert_eq!(
        (&receipt["status"], &receipt["id"]),
        (&json!("delivered"), &json!(sent.id))
    );
    for device in receipt["devices"].as_array().unwrap() {
        assert!(device["at"].is_string(), "{receipt}");
    }
    // A browser of the simple protocol acks by its pong.
    let page = world.open_simple("alice").await;
    let sent = world.send("alice", "two").await;
    let mut page = page;
    page.frame(SOON).await.unwrap();
    let wait = eventually("the page's pong is an ack", SOON, async || {
        // Reading is what answers pings.
        drop(page.frame(Duration::from_millis(50)).await);
        let receipt = self::receipt(&world, &sent.cursor).await;
        ensure!(receipt["devices"][0]["device"].is_null(), "{receipt}");
        ensure!(receipt["devices"][0]["status"] == "delivered", "{receipt}");
        Ok(())
    });
    wait.await.unwrap();
}

#[tokio::test]
async fn what_is_taken_back_goes_from_every_device() {
    let world = World::start(&[]).await;
    let other = world.another_gateway(&[]).await;
    let mut phone = world.open("alice", "phone").await;
    let mut desk = on(&other, &world, "desk").await;
    world.open("alice", "tablet").await.socket.close().await;
    let sent = world.send("alice", "a mistake").await;
    for device in [&mut phone, &mut desk] {
        notified(device).await;
    }
    let path = format!("/api/users/alice/notifications/{}", sent.id);
    let (status, retracted) = call(&world, Method::DELETE, &path).await;
    assert_eq!((status, &retracted["outcome"]), (200, &json!("retracted")));
    assert_eq!(retracted["devices"], 2);
    for device in [&mut phone, &mut desk] {
        let frame = device.socket.frame(SOON).await.unwrap();
        assert_eq!(frame, json!({"type": "retracted", "ids": [sent.id]}));
    }
    world.send("alice", "right").await;
    let tablet = world.open("alice", "tablet").await;
    assert_eq!(tablet.contents(), ["right"], "and no gap");
    assert!(tablet.control_of("gap").is_empty());
    assert_eq!(content(&notified(&mut phone).await), "right");
}

async fn on(gateway: &Process, world: &World, device: &str) -> Opened {
    let handshake = carillon_tests::client::Handshake::to(&gateway.ws());
    let token = crate::world::token_of("alice");
    let handshake = handshake
        .token(carillon_tests::client::TokenIn::Query, &token)
        .protocol("carillon.v1")
        .query("device", device);
    let opened = Opened::by(&handshake).await.unwrap();
    world.until_connections("alice", 2).await;
    opened
}

#[tokio::test]
async fn the_newest_of_a_collapse_key_is_the_one_that_comes() {
    let world = World::start(&[]).await;
    world.open("alice", "tablet").await.socket.close().await;
    let mut phone = world.open("alice", "phone").await;
    let key = || json!({"collapse_key": "score"});
    let first = world.try_send("alice", "1:0", key()).await.unwrap();
    notified(&mut phone).await;
    world.try_send("alice", "2:0", key()).await.unwrap();
    let frame = phone.socket.frame(SOON).await.unwrap();
    assert_eq!(frame, json!({"type": "retracted", "ids": [first.id]}));
    assert_eq!(content(&notified(&mut phone).await), "2:0");
    assert_eq!(world.open("alice", "tablet").await.contents(), ["2:0"]);
    let expected = [("phone", "replaced"), ("tablet", "replaced")];
    told(&world, &first.cursor, &expected).await;
}

#[tokio::test]
async fn who_is_forgotten_is_disconnected_and_leaves_nothing() {
    let world = World::start(&[]).await;
    let mut phone = world.open("alice", "phone").await;
    let bob = world.send("bob", "stays").await;
    let sent = world.send("alice", "goes").await;
    let frame = notified(&mut phone).await;
    ack(&mut phone, frame["cursor"].as_str().unwrap()).await;
    told(&world, &sent.cursor, &[("phone", "delivered")]).await;
    let (status, erased) = call(&world, Method::DELETE, "/api/users/alice").await;
    assert_eq!((status, &erased["erased"]), (200, &json!(true)));
    assert_eq!(phone.socket.closed(SOON).await.unwrap().0, 4203);
    let wait = eventually("nothing of alice is left", SOON, async || -> Result<()> {
        let mut left = world.keys("*:alice*").await?;
        // What a key stands for lapses by itself.
        left.retain(|key| !key.contains("dedup:"));
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    });
    wait.await.unwrap();
    let path = "/api/users/bob/notifications";
    let (_, inbox) = call(&world, Method::GET, path).await;
    assert_eq!(inbox["notifications"][0]["id"], json!(bob.id));
}
