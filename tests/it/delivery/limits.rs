//! The full inbox.

use std::time::Duration;

use anyhow::ensure;
use carillon_tests::poll::eventually;
use serde_json::json;
use tokio::time::sleep;

use crate::world::{Opened, SOON, World, content};

const SMALL: [(&str, &str); 2] = [("inbox.max", "5"), ("inbox.keep", "1")];

async fn fill(world: &World, from: u32) {
    for number in from..from + 5 {
        world.send("alice", &number.to_string()).await;
    }
}

#[tokio::test]
async fn a_user_whose_devices_never_acked_refuses_more() {
    let world = World::start(&SMALL).await;
    fill(&world, 0).await;
    let before = world.contents().await.unwrap();
    for _ in 0..2 {
        let refusal = world.try_send("alice", "5", json!({})).await.unwrap_err();
        assert_eq!(refusal.code(), "inbox_full");
    }
    assert_eq!(
        world.contents().await.unwrap(),
        before,
        "something was written"
    );
    // A device that came and acked nothing changes nothing.
    drop(world.open("alice", "phone").await);
    world.until_connections("alice", 0).await;
    let refusal = world.try_send("alice", "5", json!({})).await.unwrap_err();
    assert_eq!(refusal.code(), "inbox_full");
    // Others have inboxes of their own.
    world.send("bob", "one").await;

    let mut phone = world.open("alice", "phone").await;
    assert_eq!(phone.contents(), ["0", "1", "2", "3", "4"]);
    let last = phone.replayed[4].clone();
    phone.ack(&world, &last).await;
    world.send("alice", "5").await;
}

#[tokio::test]
async fn expired_ones_make_room_first() {
    let world = World::start(&SMALL).await;
    let ttl = Duration::from_millis(500);
    for number in 0..5 {
        let ttl = json!({ "ttl": format!("{}ms", ttl.as_millis()) });
        world
            .try_send("alice", &number.to_string(), ttl)
            .await
            .unwrap();
    }
    sleep(ttl).await;
    let accepted = eventually("they expire", SOON, async || {
        world.try_send("alice", "5", json!({})).await?;
        Ok(())
    });
    accepted.await.unwrap();
    let opened = world.open("alice", "phone").await;
    assert_eq!(opened.contents(), ["5"]);
    assert!(opened.control_of("gap").is_empty());
}

#[tokio::test]
async fn the_device_furthest_behind_is_passed_over_and_told() {
    let world = World::start(&SMALL).await;
    world.send("alice", "first").await;
    let mut phone = world.open("alice", "phone").await;
    let mut laptop = world.open("alice", "laptop").await;
    let first = phone.replayed[0].clone();
    phone.ack(&world, &first).await;
    laptop.ack(&world, &first).await;
    drop(laptop);
    world.until_connections("alice", 1).await;

    // The phone reads on, the laptop is away.
    let mut accepted = Vec::new();
    for number in 0..8 {
        let number = number.to_string();
        world.send("alice", &number).await;
        let frame = phone.socket.frame(SOON).await.unwrap();
        assert_eq!(content(&frame), number);
        phone.ack(&world, &frame).await;
        accepted.push(number);
    }
    let laptop = world.open("alice", "laptop").await;
    assert_eq!(
        laptop.contents(),
        accepted[3..],
        "the newest five are there"
    );
    assert_eq!(laptop.welcome["recovered"], false);
    let gaps = laptop.control_of("gap");
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (&gaps[0]["reason"], &gaps[0]["channel"]),
        (&json!("too_many"), &json!(null))
    );
    assert_eq!(gaps[0]["resume"], laptop.welcome["cursor"]);
    drop(laptop);
    world.until_connections("alice", 1).await;
}

#[tokio::test]
async fn a_connected_device_is_never_passed_over() {
    let world = World::start(&SMALL).await;
    world.send("alice", "first").await;
    let mut phone = world.open("alice", "phone").await;
    let first = phone.replayed[0].clone();
    phone.ack(&world, &first).await;
    // It is there, and acks nothing more.
    fill(&world, 0).await;
    let refusal = world.try_send("alice", "5", json!({})).await.unwrap_err();
    assert_eq!(refusal.code(), "inbox_full");
    drop(phone);
    world.until_connections("alice", 0).await;
    world.send("alice", "5").await;
    let again = world.open("alice", "phone").await;
    assert_eq!(again.contents(), ["1", "2", "3", "4", "5"]);
    assert_eq!(again.control_of("gap")[0]["reason"], "too_many");
}

#[tokio::test]
async fn a_device_that_was_passed_over_is_told_however_it_comes() {
    let world = World::start(&SMALL).await;
    world.send("alice", "first").await;
    let mut phone = world.open("alice", "phone").await;
    let first = phone.replayed[0].clone();
    phone.ack(&world, &first).await;
    drop(phone);
    world.until_connections("alice", 0).await;
    fill(&world, 0).await;
    fill(&world, 5).await;
    // By its own cursor, which is too old now.
    let since = first["cursor"].as_str().unwrap();
    let handshake = world.v1("alice", "phone").query("since", since);
    let again = Opened::by(&handshake).await.unwrap();
    assert_eq!(again.control_of("gap").len(), 1);
    assert_eq!(again.control_of("gap")[0]["reason"], "too_many");
    assert_eq!(again.contents(), ["5", "6", "7", "8", "9"]);
    // And once.
    drop(again);
    let told_once = eventually("told once", SOON, async || {
        world.connections("alice", 0).await?;
        let mut third = world.open("alice", "phone").await;
        ensure!(third.contents().len() == 5);
        let last = third.replayed[4].clone();
        third.ack(&world, &last).await;
        Ok(())
    });
    told_once.await.unwrap();
    world.until_connections("alice", 0).await;
    assert!(
        world
            .open("alice", "phone")
            .await
            .control_of("gap")
            .is_empty()
    );
}
