//! What a client has is known soon, and told the store before it could be forgotten.

use anyhow::{Result, ensure};
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::{Accepted, Handshake, Incoming, Socket, TokenIn, broadcast};
use carillon_tests::poll::eventually;
use redis::cmd;
use serde_json::json;

use crate::world::{Opened, SOON, World, next_content, next_contents, next_of, silent, token_of};

async fn to_everyone(world: &World, content: &str) -> Accepted {
    let body = broadcast(None, "t", content);
    world.api.broadcast(&body, None).await.unwrap()
}

/// Waits until the store has the user's device at this place of the broadcasts.
async fn confirmed_at(world: &World, user: &str, at: &str) {
    let told = eventually("the store is told of the broadcasts", SOON, async || {
        let mut records: Vec<String> = Vec::new();
        for key in world.keys(&format!("*:user:{user}")).await? {
            records.extend(
                world
                    .redis
                    .query::<Vec<String>>(cmd("HVALS").arg(key))
                    .await?,
            );
        }
        let there = records.iter().any(|it| it.contains(&format!("|{at}|")));
        ensure!(there, "{records:?}");
        Ok(())
    });
    told.await.unwrap();
}

#[tokio::test]
async fn each_of_a_long_replay_may_be_acked_by_itself() {
    const SENT: usize = 500;
    let world = World::start(&[("socket.ack_interval", "1s")]).await;
    for number in 0..SENT {
        world.send("alice", &number.to_string()).await;
    }
    let mut phone = world.open("alice", "phone").await;
    assert_eq!(phone.replayed.len(), SENT);
    for frame in &phone.replayed[..SENT - 1] {
        let ack = json!({ "type": "ack", "cursor": frame["cursor"] });
        phone.socket.send(&ack).await.unwrap();
    }
    let last = phone.replayed[SENT - 1].clone();
    phone.ack(&world, &last).await;
    world.reaches("alice", &mut phone.socket).await.unwrap();
    let told = world.metric(r#"carillon_gateway_acks_total{result="accepted"}"#);
    let told = told.await.unwrap();
    assert!(told <= 20.0, "the store was told {told} times");
    drop(phone);
    world.until_connections("alice", 0).await;
    let again = world.open("alice", "phone").await;
    assert_eq!(
        again.contents(),
        ["still there?"],
        "all but the one unacked"
    );
}

#[tokio::test]
async fn broadcasts_that_were_read_do_not_come_again() {
    let world = World::start(&[]).await;
    let mut proxy = ChaosProxy::start(world.gateway.public()).await.unwrap();
    let page_at =
        Handshake::to(&format!("ws://{}", proxy.addr())).token(TokenIn::Query, &token_of("alice"));
    let mut page = Socket::connect(&page_at).await.unwrap();
    world.until_connections("alice", 1).await;
    let mut phone = world.open("bob", "phone").await.socket;
    for content in ["one", "two"] {
        to_everyone(&world, content).await;
    }
    assert_eq!(next_contents(&mut page, 2).await, ["one", "two"]);
    // Its answers to pings go out while it listens.
    silent(&mut page).await.unwrap();
    // The other one acks the first, and goes without a word about the second.
    let frame = phone.frame(SOON).await.unwrap();
    let ack = json!({ "type": "ack", "cursor": frame["cursor"] });
    phone.send(&ack).await.unwrap();
    phone.send(&json!({ "type": "ping" })).await.unwrap();
    next_of(&mut phone, "pong").await.unwrap();
    drop(phone);
    proxy.break_networking().await;
    world.until_connections("alice", 0).await;
    world.until_connections("bob", 0).await;
    to_everyone(&world, "three").await;

    proxy.restore().await.unwrap();
    let mut page = Socket::connect(&page_at).await.unwrap();
    assert_eq!(next_content(&mut page).await.unwrap(), "three");
    let mut phone = world.open("bob", "phone").await;
    let mut contents: Vec<String> = phone.contents().iter().map(|it| (*it).to_owned()).collect();
    let missing = 2 - contents.len();
    contents.extend(next_contents(&mut phone.socket, missing).await);
    assert_eq!(contents, ["two", "three"]);
}

#[tokio::test]
async fn a_killed_gateway_repeats_only_what_came_since_it_told_the_store() {
    let rarely = [
        ("socket.ping_interval", "2s"),
        ("socket.pong_timeout", "1s"),
    ];
    let world = World::start(&rarely).await;
    let another = world.another_gateway(&rarely).await;
    let mut page = world.open_simple("alice").await;
    let mut last = to_everyone(&world, "0").await;
    for number in 1..5 {
        last = to_everyone(&world, &number.to_string()).await;
    }
    assert_eq!(next_contents(&mut page, 5).await.len(), 5);
    let reading = async {
        loop {
            // Pings are answered while it reads.
            silent(&mut page).await.unwrap();
        }
    };
    tokio::select! {
        () = reading => {}
        () = confirmed_at(&world, "alice", &last.cursor) => {}
    }
    world.gateway.kill().await.unwrap();
    let elsewhere = Handshake::to(&another.ws()).token(TokenIn::Query, &token_of("alice"));
    let mut page = Socket::connect(&elsewhere).await.unwrap();
    to_everyone(&world, "after").await;
    assert_eq!(next_content(&mut page).await.unwrap(), "after");
}

#[tokio::test]
async fn a_page_for_each_ticket_always_finds_room_for_its_channel() {
    let world = World::start(&[("socket.channels", "3")]).await;
    let mut proxy = ChaosProxy::start(world.gateway.public()).await.unwrap();
    let page_at =
        Handshake::to(&format!("ws://{}", proxy.addr())).token(TokenIn::Query, &token_of("alice"));
    for number in 0..8 {
        let mut page = Socket::connect(&page_at).await.unwrap();
        world.until_connections("alice", 1).await;
        let ticket = format!("ticket-{number}");
        let subscribe = json!({ "type": "subscribe", "channel": ticket });
        page.send(&subscribe).await.unwrap();
        let answer = next_of(&mut page, "subscribed").await.unwrap();
        assert_eq!(answer["channel"], ticket);
        kept(&world, &ticket).await.unwrap();
        proxy.break_networking().await;
        world.until_connections("alice", 0).await;
        proxy.restore().await.unwrap();
    }
    // The newest are those that came back.
    let mut page = Socket::connect(&page_at).await.unwrap();
    world.until_connections("alice", 1).await;
    for number in (0..8).rev() {
        let body = broadcast(Some(&format!("ticket-{number}")), "t", &number.to_string());
        world.api.broadcast(&body, None).await.unwrap();
    }
    let mut contents = next_contents(&mut page, 3).await;
    contents.sort();
    assert_eq!(contents, ["5", "6", "7"]);
    silent(&mut page).await.unwrap();
    let gave_way = "carillon_gateway_restored_subscriptions_gave_way_total";
    assert!(world.metric(gave_way).await.unwrap() >= 5.0);
}

/// Waits until the store keeps alice's subscription to a channel, and no more than the limit.
async fn kept(world: &World, channel: &str) -> Result<()> {
    eventually("the subscription is kept", SOON, async || {
        let mut fields: Vec<String> = Vec::new();
        for key in world.keys("*:subs:alice").await? {
            fields.extend(
                world
                    .redis
                    .query::<Vec<String>>(cmd("HKEYS").arg(key))
                    .await?,
            );
        }
        let here = fields
            .iter()
            .any(|it| it.starts_with("r/") && it.ends_with(channel));
        ensure!(here && fields.len() <= 6, "{fields:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_age_that_ends_a_connection_is_told_before_it_does() {
    let settings = [("gateway.max_age", "6s"), ("gateway.max_age_jitter", "0")];
    let world = World::start(&settings).await;
    let mut old = world.open("alice", "phone").await.socket;
    let told = next_of(&mut old, "reconnect").await.unwrap();
    assert_eq!(told["reason"], "rebalance");
    // The next one comes first; that the old one is still there shows at its own end.
    let session = json!({ "type": "ping" });
    old.send(&session).await.unwrap();
    next_of(&mut old, "pong").await.unwrap();
    let next = Opened::by(&world.v1("alice", "laptop")).await.unwrap();
    drop(next);
    let end = loop {
        match old.next().await {
            Incoming::Closed(code, _) => break code,
            Incoming::Frame(_) => {}
        }
    };
    assert_eq!(end, 4202);
}
