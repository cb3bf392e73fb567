//! What a gateway finds by itself: hints that were lost, registrations that nobody holds.

use carillon_common::ids::Cursor;
use carillon_tests::client::broadcast;
use redis::cmd;
use serde_json::json;

use crate::world::{SOON, World, content, next_content, next_of};

const OFTEN: [(&str, &str); 1] = [("audit.interval", "500ms")];

async fn key(world: &World, glob: &str) -> String {
    let keys = world.keys(glob).await.unwrap();
    assert_eq!(keys.len(), 1, "{glob}: {keys:?}");
    keys[0].clone()
}

#[tokio::test]
async fn a_hint_lost_at_the_very_end_of_a_log_is_found() {
    let world = World::start(&OFTEN).await;
    let mut alice = world.open("alice", "phone").await.socket;
    let join = json!({ "type": "subscribe", "channel": "orders" });
    alice.send(&join).await.unwrap();
    next_of(&mut alice, "subscribed").await.unwrap();
    let heard = broadcast(Some("orders"), "t", "heard");
    world.api.broadcast(&heard, None).await.unwrap();
    assert_eq!(next_content(&mut alice).await.unwrap(), "heard");

    // Another entry in the same log, as if its hint had been lost on the way.
    let log = key(&world, "*log:orders").await;
    let mut newest = cmd("XREVRANGE");
    newest.arg(&log).arg("+").arg("-").arg("COUNT").arg(1);
    let entries: Vec<(String, Vec<String>)> = world.redis.query(&newest).await.unwrap();
    let (last, fields) = &entries[0];
    let at: Cursor = last.parse().unwrap();
    let next = Cursor {
        seq: at.seq + 1,
        nonce: 5,
    };
    let frame = fields[3]
        .replace(last.as_str(), &next.to_string())
        .replace("heard", "unheard");
    let mut append = cmd("XADD");
    append.arg(&log).arg(next.to_string());
    append.arg("p").arg(last).arg("f").arg(frame);
    world.redis.query::<String>(&append).await.unwrap();

    assert_eq!(content(&alice.frame(SOON).await.unwrap()), "unheard");
    assert!(
        world
            .metric("carillon_gateway_audit_repairs_total")
            .await
            .unwrap()
            >= 1.0
    );
    let after = broadcast(Some("orders"), "t", "after");
    world.api.broadcast(&after, None).await.unwrap();
    assert_eq!(content(&alice.frame(SOON).await.unwrap()), "after");
}

/// Registers the user's only connection once more, as a session that no connection holds.
async fn haunt(world: &World, user: &str) {
    let presence = key(world, &format!("*presence:{user}")).await;
    let mut all = cmd("HGETALL");
    let entries: Vec<(String, String)> = world.redis.query(all.arg(&presence)).await.unwrap();
    let mut place: Vec<&str> = entries[0].1.split('|').collect();
    place[2] = "7";
    let mut add = cmd("HSET");
    add.arg(&presence).arg("=ghost/ghost").arg(place.join("|"));
    world.redis.query::<i64>(&add).await.unwrap();
    world.connections(user, 2).await.unwrap();
}

#[tokio::test]
async fn a_registration_that_nobody_holds_ends_after_the_connection() {
    let world = World::start(&OFTEN).await;
    let bob = world.open("bob", "phone").await.socket;
    haunt(&world, "bob").await;
    drop(bob);
    world.until_connections("bob", 0).await;
    assert!(world.keys("*sessions:*").await.unwrap().is_empty());
    assert_eq!(world.api.online_count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_registration_beside_a_connection_ends_when_there_is_doubt() {
    let world = World::start(&[]).await;
    let mut carol = world.open("carol", "phone").await.socket;
    haunt(&world, "carol").await;
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("pubsub");
    world.redis.query::<i64>(&kill).await.unwrap();
    world.until_connections("carol", 1).await;
    world.send("carol", "still here").await;
    assert_eq!(next_content(&mut carol).await.unwrap(), "still here");
}
