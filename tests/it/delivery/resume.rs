//! Coming back with a position.

use carillon_tests::client::Accepted;
use redis::cmd;
use serde_json::json;

use crate::world::{Opened, SOON, World, next_content, next_of};

async fn send(world: &World, count: usize) -> Vec<Accepted> {
    let mut sent = Vec::new();
    for number in 0..count {
        sent.push(world.send("alice", &number.to_string()).await);
    }
    sent
}

async fn open_at(world: &World, device: &str, since: &str) -> Opened {
    Opened::by(&world.v1("alice", device).query("since", since))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_position_in_the_chain_is_where_it_goes_on() {
    let world = World::start(&[]).await;
    let sent = send(&world, 4).await;
    for (number, expected) in [(0, 3), (2, 1), (3, 0)] {
        let opened = open_at(&world, &format!("device{number}"), &sent[number].cursor).await;
        assert_eq!(opened.replayed.len(), expected);
        assert_eq!(opened.welcome["recovered"], true);
        assert_eq!(opened.welcome["cursor"], sent[number].cursor);
    }
    // From the start, whatever the device has.
    assert_eq!(open_at(&world, "device0", "0-0").await.replayed.len(), 4);
}

#[tokio::test]
async fn a_device_may_go_back_to_what_is_kept() {
    let world = World::start(&[]).await;
    let sent = send(&world, 3).await;
    let mut phone = world.open("alice", "phone").await;
    let last = phone.replayed[2].clone();
    phone.ack(&world, &last).await;
    drop(phone);
    assert_eq!(
        open_at(&world, "phone", &sent[0].cursor).await.contents(),
        ["1", "2"]
    );
}

#[tokio::test]
async fn a_position_that_is_gone_is_a_gap() {
    let world = World::start(&[("inbox.keep", "1")]).await;
    let sent = send(&world, 4).await;
    let mut phone = world.open("alice", "phone").await;
    let third = phone.replayed[2].clone();
    phone.ack(&world, &third).await;
    assert_eq!(world.inbox_length("alice").await, 2);
    let tablet = open_at(&world, "tablet", &sent[0].cursor).await;
    assert_eq!(tablet.welcome["recovered"], false);
    let gap = tablet.control_of("gap")[0].clone();
    assert_eq!(
        (&gap["reason"], &gap["channel"]),
        (&json!("expired"), &json!(null))
    );
    assert_eq!(gap["resume"], tablet.welcome["cursor"]);
    assert_eq!(tablet.contents(), ["3"]);
    // The phone has acked all that is missing: it misses nothing.
    drop(phone);
    let phone = open_at(&world, "phone", &sent[0].cursor).await;
    assert!(phone.control_of("gap").is_empty(), "{:?}", phone.control);
    assert_eq!(phone.contents(), ["3"]);
}

#[tokio::test]
async fn a_history_that_went_back_is_a_gap() {
    let world = World::start(&[]).await;
    let sent = send(&world, 3).await;
    let mut phone = world.open("alice", "phone").await;
    let last = phone.replayed[2].clone();
    phone.ack(&world, &last).await;
    drop(phone);
    world.redis.query::<()>(&cmd("FLUSHALL")).await.unwrap();
    // Positions only grow, so that none of a lost history is taken for one of the new.
    let again = world.send("alice", "again").await;
    let seq = |cursor: &str| cursor.split('-').next().unwrap().parse::<u64>().unwrap();
    assert!(seq(&again.cursor) > seq(&sent[2].cursor));
    let phone_again = open_at(&world, "phone", &sent[2].cursor).await;
    let gap = phone_again.control_of("gap")[0].clone();
    assert!(
        ["expired", "rewound"].contains(&gap["reason"].as_str().unwrap()),
        "{gap}"
    );
    assert_eq!(phone_again.welcome["recovered"], false);
    assert_eq!(phone_again.contents(), ["again"]);
}

#[tokio::test]
async fn a_position_of_another_history_is_a_gap() {
    let world = World::start(&[]).await;
    let sent = send(&world, 3).await;
    let (seq, nonce) = sent[1].cursor.split_once('-').unwrap();
    let (seq, nonce): (u64, u32) = (seq.parse().unwrap(), nonce.parse().unwrap());
    for foreign in [format!("{seq}-{}", nonce ^ 1), format!("{}-7", seq + 1_000)] {
        let opened = open_at(&world, "phone", &foreign).await;
        assert_eq!(
            opened.control_of("gap")[0]["reason"],
            "rewound",
            "{foreign}"
        );
        assert_eq!(opened.contents(), ["0", "1", "2"]);
    }
}

#[tokio::test]
async fn a_connection_that_lives_through_a_data_loss_goes_on() {
    let settings = [
        ("audit.interval", "500ms"),
        ("lease.ttl", "3s"),
        ("lease.renew", "500ms"),
    ];
    let world = World::start(&settings).await;
    send(&world, 2).await;
    let mut phone = world.open("alice", "phone").await;
    world.redis.query::<()>(&cmd("FLUSHALL")).await.unwrap();
    // It is registered again, by itself, and told that something may be missing.
    world.until_connections("alice", 1).await;
    world.send("alice", "again").await;
    // Of the broadcasts too, whichever of the two the gateway found first.
    while next_of(&mut phone.socket, "gap").await.unwrap()["channel"] != json!(null) {}
    assert_eq!(next_content(&mut phone.socket).await.unwrap(), "again");
    world.send("alice", "more").await;
    assert_eq!(phone.socket.frame(SOON).await.unwrap()["content"], "more");
}
