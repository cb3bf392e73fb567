//! Channels and broadcasts.

mod broadcasts;

use std::time::Duration;

use anyhow::ensure;
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::{Accepted, Handshake, Socket, TokenIn, broadcast, token};
use carillon_tests::poll::eventually;
use redis::cmd;
use serde_json::{Value, json};

use crate::world::{
    Opened, SECRET, SOON, World, content, next_content, next_contents, next_of, silent, token_of,
};

async fn publish(world: &World, channel: &str, content: &str) -> Accepted {
    publish_to(world, Some(channel), content).await
}

async fn publish_to(world: &World, channel: Option<&str>, content: &str) -> Accepted {
    world
        .api
        .broadcast(&broadcast(channel, "t", content), None)
        .await
        .unwrap()
}

/// Subscribes and answers with `subscribed`.
async fn join(socket: &mut Socket, channel: &str, more: Value) -> Value {
    let mut request = json!({ "type": "subscribe", "channel": channel });
    for (field, value) in more.as_object().unwrap() {
        request[field] = value.clone();
    }
    socket.send(&request).await.unwrap();
    next_of(socket, "subscribed").await.unwrap()
}

/// Where a test breaks the network of one client.
async fn through_a_proxy(world: &World) -> (ChaosProxy, String) {
    let proxy = ChaosProxy::start(world.gateway.public()).await.unwrap();
    let gateway = format!("ws://{}", proxy.addr());
    (proxy, gateway)
}

#[tokio::test]
async fn members_get_what_is_published_and_others_do_not() {
    let world = World::start(&[]).await;
    let mut alice = world.open("alice", "phone").await.socket;
    let mut bob = world.open_simple("bob").await;
    let mut carol = world.open("carol", "phone").await.socket;
    let subscribed = join(&mut alice, "orders", json!({ "ref": "r" })).await;
    assert_eq!(
        (&subscribed["ref"], &subscribed["recovered"]),
        (&json!("r"), &json!(true))
    );
    assert_eq!(
        join(&mut bob, "orders", json!({ "ref": "r" })).await,
        json!({ "type": "subscribed", "channel": "orders" }),
        "exactly the simple protocol's"
    );
    join(&mut carol, "other", json!({})).await;

    let sent = publish(&world, "orders", "one").await;
    let frame = alice.frame(SOON).await.unwrap();
    assert_eq!(
        (
            &frame["id"],
            &frame["channel"],
            &frame["cursor"],
            &frame["target_user"]
        ),
        (
            &json!(sent.id),
            &json!("orders"),
            &json!(sent.cursor),
            &json!(null)
        )
    );
    let frame = bob.frame(SOON).await.unwrap();
    assert_eq!(frame["id"], sent.id);
    assert!(
        frame.get("cursor").is_none() && frame.get("stored_at").is_none(),
        "{frame}"
    );

    for (socket, answered) in [(&mut alice, true), (&mut bob, false)] {
        let leave = json!({ "type": "unsubscribe", "channel": "orders", "ref": 2 });
        socket.send(&leave).await.unwrap();
        if answered {
            let answer = json!({ "type": "unsubscribed", "channel": "orders", "ref": 2 });
            assert_eq!(socket.frame(SOON).await.unwrap(), answer);
        }
        socket.send(&json!({ "type": "ping" })).await.unwrap();
        next_of(socket, "pong").await.unwrap();
    }
    publish(&world, "orders", "two").await;
    for socket in [&mut alice, &mut bob, &mut carol] {
        silent(socket).await.unwrap();
    }
}

#[tokio::test]
async fn who_may_join_is_in_the_token_and_the_rules() {
    let world = World::start(&[("socket.frames_burst", "100")]).await;
    let claims = json!({
        "sub": "alice", "exp": token::now() + 600, "channels": ["private:a", "private:team-*"]
    });
    let handshake = Handshake::to(&world.gateway.ws())
        .protocol("carillon.v1")
        .token(TokenIn::Query, &token::sign(SECRET, &claims));
    let mut socket = Opened::by(&handshake).await.unwrap().socket;
    for (channel, allowed) in [
        ("open", true),
        ("private:a", true),
        ("private:team-1", true),
        ("user:alice", true),
        ("private:b", false),
        ("private:", false),
        ("user:bob", false),
        ("user:alice:x", false),
    ] {
        socket
            .send(&json!({ "type": "subscribe", "channel": channel }))
            .await
            .unwrap();
        let answer = socket.frame(SOON).await.unwrap();
        let expected = if allowed { "subscribed" } else { "error" };
        assert_eq!(
            (&answer["type"], &answer["channel"]),
            (&json!(expected), &json!(channel))
        );
        if !allowed {
            assert_eq!(answer["code"], "channel_forbidden");
        }
    }
}

#[tokio::test]
async fn since_replays_what_followed() {
    let world = World::start(&[("inbox.page", "2")]).await;
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(publish(&world, "orders", &number.to_string()).await);
    }
    let mut socket = world.open("alice", "phone").await.socket;
    let since = json!({ "since": sent[1].cursor });
    let subscribed = join(&mut socket, "orders", since).await;
    assert_eq!(subscribed["recovered"], true);
    let mut replayed = Vec::new();
    for _ in 0..3 {
        replayed.push(socket.frame(SOON).await.unwrap());
    }
    assert_eq!(
        replayed.iter().map(content).collect::<Vec<_>>(),
        ["2", "3", "4"]
    );
    assert!(replayed.iter().all(|frame| frame["replayed"] == true));
    publish(&world, "orders", "5").await;
    assert_eq!(next_content(&mut socket).await.unwrap(), "5");
    // Without a since: from now on.
    let mut other = world.open("bob", "phone").await.socket;
    let subscribed = join(&mut other, "orders", json!({})).await;
    assert!(subscribed["cursor"].is_string());
    silent(&mut other).await.unwrap();
}

#[tokio::test]
async fn a_position_beyond_the_log_is_a_gap() {
    let world = World::start(&[("channels.history", "3")]).await;
    let mut sent = Vec::new();
    for number in 0..6 {
        sent.push(publish(&world, "orders", &number.to_string()).await);
    }
    let (seq, nonce) = sent[5].cursor.split_once('-').unwrap();
    let (seq, nonce): (u64, u32) = (seq.parse().unwrap(), nonce.parse().unwrap());
    for (number, (since, reason)) in [
        (sent[0].cursor.clone(), "expired"),
        (format!("{}-1", seq + 1_000), "rewound"),
        (format!("{seq}-{}", nonce ^ 1), "rewound"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut socket = world.open("alice", &format!("d{number}")).await.socket;
        let subscribed = join(&mut socket, "orders", json!({ "since": since })).await;
        assert_eq!(subscribed["recovered"], false, "{since}");
        let gap = socket.frame(SOON).await.unwrap();
        assert_eq!(
            (&gap["type"], &gap["channel"], &gap["reason"]),
            (&json!("gap"), &json!("orders"), &json!(reason))
        );
        assert_eq!(next_contents(&mut socket, 3).await, ["3", "4", "5"]);
    }
    // The log has no more than its bound.
    let log = world.keys("*:log:orders").await.unwrap();
    let length: u64 = world.redis.query(cmd("XLEN").arg(&log[0])).await.unwrap();
    assert_eq!(length, 3);
    let ttl: i64 = world.redis.query(cmd("TTL").arg(&log[0])).await.unwrap();
    assert!((86_000..=86_400).contains(&ttl), "{ttl}");
    // One before the oldest that is kept misses nothing.
    let mut socket = world.open("alice", "last").await.socket;
    let since = json!({ "since": sent[2].cursor });
    assert_eq!(join(&mut socket, "orders", since).await["recovered"], true);
    assert_eq!(next_contents(&mut socket, 3).await, ["3", "4", "5"]);
}

#[tokio::test]
async fn a_durable_subscription_catches_up_without_asking() {
    let world = World::start(&[]).await;
    let mut opened = world.open("alice", "phone").await;
    join(&mut opened.socket, "orders", json!({ "durable": true })).await;
    publish(&world, "orders", "live").await;
    assert_eq!(next_content(&mut opened.socket).await.unwrap(), "live");
    opened.socket.close().await;
    world.until_connections("alice", 0).await;
    publish(&world, "orders", "missed").await;

    let mut again = world.open("alice", "phone").await.socket;
    // What was not confirmed before may come again.
    while next_content(&mut again).await.unwrap() != "missed" {}
    publish(&world, "orders", "again live").await;
    assert_eq!(next_content(&mut again).await.unwrap(), "again live");
    // It is this device's.
    let mut laptop = world.open("alice", "laptop").await.socket;
    silent(&mut laptop).await.unwrap();
    // Until it is given up.
    again
        .send(&json!({ "type": "unsubscribe", "channel": "orders" }))
        .await
        .unwrap();
    next_of(&mut again, "unsubscribed").await.unwrap();
    let forgotten = eventually("the subscription is forgotten", SOON, async || {
        ensure!(world.keys("*:subs:alice").await?.is_empty());
        Ok(())
    });
    forgotten.await.unwrap();
    again.close().await;
    world.until_connections("alice", 1).await;
    publish(&world, "orders", "not for alice").await;
    silent(&mut world.open("alice", "phone").await.socket)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_broken_simple_connection_is_given_its_channels_back() {
    let world = World::start(&[]).await;
    let (mut proxy, gateway) = through_a_proxy(&world).await;
    let handshake = Handshake::to(&gateway).token(TokenIn::Query, &token_of("alice"));
    let mut page = Socket::connect(&handshake).await.unwrap();
    world.until_connections("alice", 1).await;
    join(&mut page, "orders", json!({})).await;
    join(&mut page, "news", json!({})).await;
    publish(&world, "orders", "live").await;
    assert_eq!(next_content(&mut page).await.unwrap(), "live");
    proxy.break_networking().await;
    world.until_connections("alice", 0).await;
    publish(&world, "orders", "missed").await;

    proxy.restore().await.unwrap();
    let mut again = Socket::connect(&handshake).await.unwrap();
    loop {
        // No `subscribed`: this client did not ask.
        let frame = again.frame(SOON).await.unwrap();
        assert!(frame.get("id").is_some(), "{frame}");
        if content(&frame) == "missed" {
            break;
        }
        assert_eq!(content(&frame), "live");
    }
    publish(&world, "news", "other").await;
    assert_eq!(next_content(&mut again).await.unwrap(), "other");

    // A clean end is meant.
    again.close().await;
    world.until_connections("alice", 0).await;
    let mut third = world.open_simple("alice").await;
    publish(&world, "orders", "not for alice").await;
    silent(&mut third).await.unwrap();
}

#[tokio::test]
async fn a_restored_subscription_still_needs_its_claim() {
    let world = World::start(&[]).await;
    let (mut proxy, gateway) = through_a_proxy(&world).await;
    let claims = json!({ "sub": "alice", "exp": token::now() + 600, "channels": ["private:*"] });
    let handshake = Handshake::to(&gateway).token(TokenIn::Query, &token::sign(SECRET, &claims));
    let mut page = Socket::connect(&handshake).await.unwrap();
    world.until_connections("alice", 1).await;
    join(&mut page, "private:a", json!({})).await;
    join(&mut page, "open", json!({})).await;
    proxy.break_networking().await;
    world.until_connections("alice", 0).await;
    proxy.restore().await.unwrap();
    // This token has no such claim.
    let mut again = world.open_simple("alice").await;
    publish(&world, "private:a", "secret").await;
    publish(&world, "open", "public").await;
    assert_eq!(next_content(&mut again).await.unwrap(), "public");
    silent(&mut again).await.unwrap();
}

#[tokio::test]
async fn a_gateway_lingers_on_a_channel_after_its_last_member() {
    let world = World::start(&[("channels.linger", "1s")]).await;
    let followed = async || -> anyhow::Result<bool> {
        let channels: Vec<String> = world
            .redis
            .query(cmd("PUBSUB").arg("SHARDCHANNELS").arg("*ch:orders"))
            .await?;
        Ok(!channels.is_empty())
    };
    let mut socket = world.open("alice", "phone").await.socket;
    assert!(!followed().await.unwrap());
    join(&mut socket, "orders", json!({})).await;
    assert!(followed().await.unwrap());
    socket
        .send(&json!({ "type": "unsubscribe", "channel": "orders" }))
        .await
        .unwrap();
    next_of(&mut socket, "unsubscribed").await.unwrap();
    assert!(followed().await.unwrap(), "it did not linger");
    let left = eventually("the gateway leaves the channel", SOON, async || {
        ensure!(!followed().await?);
        Ok(())
    });
    left.await.unwrap();
    // And comes back to it.
    let subscribed = join(&mut socket, "orders", json!({})).await;
    assert_eq!(subscribed["recovered"], true);
    publish(&world, "orders", "one").await;
    assert_eq!(next_content(&mut socket).await.unwrap(), "one");
}

#[tokio::test]
async fn a_repeated_publication_reaches_members_once() {
    let world = World::start(&[]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    join(&mut socket, "orders", json!({})).await;
    let body = broadcast(Some("orders"), "t", "one");
    let first = world.api.broadcast(&body, Some("key")).await.unwrap();
    let again = world.api.broadcast(&body, Some("key")).await.unwrap();
    assert_eq!((first.id, first.cursor), (again.id, again.cursor));
    assert_eq!(next_content(&mut socket).await.unwrap(), "one");
    silent(&mut socket).await.unwrap();
}

#[tokio::test]
async fn an_expired_publication_is_not_replayed() {
    let world = World::start(&[]).await;
    let start = publish(&world, "orders", "start").await;
    let mut body = broadcast(Some("orders"), "t", "short");
    body["ttl"] = json!("300ms");
    world.api.broadcast(&body, None).await.unwrap();
    publish(&world, "orders", "long").await;
    // Nothing tells the end of a time but the time.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut socket = world.open("alice", "phone").await.socket;
    join(&mut socket, "orders", json!({ "since": start.cursor })).await;
    assert_eq!(next_content(&mut socket).await.unwrap(), "long");
    silent(&mut socket).await.unwrap();
}
