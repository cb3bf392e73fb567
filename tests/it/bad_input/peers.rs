//! Peers that do not read, do not answer, or are gone without a word.

use std::time::Duration;

use anyhow::ensure;
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::{Handshake, Incoming, Socket, TokenIn};
use carillon_tests::poll::eventually;
use serde_json::json;

use crate::world::{Opened, SOON, World, content, token_of};

/// So much that no buffer of the kernel's takes it.
const LARGE: usize = 60_000;

#[tokio::test]
async fn a_slow_reader_is_closed_and_loses_nothing() {
    let world = World::start(&[
        ("socket.slow_consumer_timeout", "500ms"),
        ("socket.outbox_bytes", "131072"),
    ])
    .await;
    let mut bystander = world.open("bystander", "phone").await.socket;
    // It never reads.
    let mut slow = world.open("alice", "phone").await.socket;
    let closed = r#"carillon_gateway_connections_closed_total{code="4102",initiator="server"}"#;
    let mut sent = Vec::new();
    while world.metric(closed).await.unwrap() == 0.0 {
        assert!(
            sent.len() < 600,
            "not closed after {} large notifications",
            sent.len()
        );
        let number = sent.len();
        let mark = format!("{number}{}", " ".repeat(LARGE));
        sent.push(world.send("alice", &mark).await.id);
    }
    world.until_connections("alice", 0).await;
    world.reaches("bystander", &mut bystander).await.unwrap();

    // What it had in its buffers it may read, and then the end.
    let mut read = Vec::new();
    let last = loop {
        match tokio::time::timeout(SOON, slow.next()).await.unwrap() {
            Incoming::Frame(frame) => read.push(frame),
            Incoming::Closed(code, _) => break code,
        }
    };
    assert!([4102, 1006].contains(&last), "closed with {last}");
    assert!(read.len() < sent.len(), "it was not slow");

    // All of it comes again, for nothing was acked.
    let again = world.open("alice", "phone").await;
    let ids: Vec<_> = again
        .replayed
        .iter()
        .map(|frame| frame["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, sent);
    assert!(again.control_of("gap").is_empty());
}

#[tokio::test]
async fn a_half_open_socket_is_found_by_its_missing_pong() {
    let world = World::start(&[
        ("socket.ping_interval", "400ms"),
        ("socket.pong_timeout", "300ms"),
    ])
    .await;
    let proxy = ChaosProxy::start(world.gateway.public()).await.unwrap();
    let handshake = Handshake::to(&format!("ws://{}", proxy.addr()))
        .protocol("carillon.v1")
        .query("device", "phone")
        .token(TokenIn::Query, &token_of("alice"));
    let mut socket = Opened::by(&handshake).await.unwrap().socket;
    // It lives through several pings as long as it answers.
    let seen = tokio::time::timeout(Duration::from_secs(2), socket.next()).await;
    assert!(seen.is_err(), "{seen:?}");
    proxy.freeze();
    world.until_connections("alice", 0).await;
    let closed = r#"carillon_gateway_connections_closed_total{code="4008",initiator="server"}"#;
    let counted = eventually("the end is counted", SOON, async || {
        ensure!(world.metric(closed).await? == 1.0);
        Ok(())
    });
    counted.await.unwrap();
    assert_eq!(
        world.send("alice", "one").await.outcome.as_deref(),
        Some("queued")
    );
    let again = world.open("alice", "phone").await;
    assert_eq!(again.contents(), ["one"]);
}

#[tokio::test]
async fn a_client_that_vanished_unacked_gets_it_again() {
    let world = World::start(&[]).await;
    let proxy = ChaosProxy::start(world.gateway.public()).await.unwrap();
    let handshake =
        Handshake::to(&format!("ws://{}", proxy.addr())).token(TokenIn::Query, &token_of("alice"));
    let mut socket = Socket::connect(&handshake).await.unwrap();
    world.until_connections("alice", 1).await;
    proxy.freeze();
    // Written to the socket, and read by nobody.
    let sent = world.send("alice", "one").await;
    drop(proxy);
    socket.closed(SOON).await.unwrap();
    world.until_connections("alice", 0).await;
    let mut again = world.open_simple("alice").await;
    let frame = again.frame(SOON).await.unwrap();
    assert_eq!(
        (frame["id"].as_str(), content(&frame)),
        (Some(&*sent.id), "one")
    );
    assert!(frame["stored_at"].is_string(), "{frame}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_idle() {
    let world = World::start(&[
        ("socket.ping_interval", "300ms"),
        ("socket.pong_timeout", "200ms"),
        ("socket.idle_timeout", "900ms"),
    ])
    .await;
    // It reads nothing, so that it answers no ping either.
    let silent = world.open("alice", "phone").await.socket;
    world.until_connections("alice", 0).await;
    drop(silent);
    // One that answers pings lives; frames of its own are signs of life too.
    let mut lively = world.open("alice", "phone").await.socket;
    for _ in 0..8 {
        let quiet = tokio::time::timeout(Duration::from_millis(200), lively.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
    lively.send(&json!({ "type": "ping" })).await.unwrap();
    assert_eq!(lively.frame(SOON).await.unwrap()["type"], "pong");
}
