//! More than is allowed: connections, handshakes, frames.

use carillon_tests::client::Socket;
use tokio_tungstenite::tungstenite::Message;

use super::http::ask;
use crate::world::{SOON, World, token_of};

fn upgrade(user: &str) -> Vec<u8> {
    let token = token_of(user);
    format!(
        "GET /ws/notifications?token={token} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

fn is_overloaded(answer: &str) -> bool {
    answer.starts_with("http/1.1 503") && answer.contains("\r\nretry-after: ")
}

#[tokio::test]
async fn connections_beyond_the_limit_are_put_off() {
    let world = World::start(&[("gateway.max_connections", "2")]).await;
    let mut first = world.open("alice", "phone").await.socket;
    let second = world.open("bob", "phone").await.socket;
    let before = world.stored().await.unwrap();
    let answer = ask(world.gateway.public(), &upgrade("carol"))
        .await
        .unwrap();
    assert!(is_overloaded(&answer), "{answer}");
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
    world.reaches("alice", &mut first).await.unwrap();

    // A place that was given up is free.
    drop(second);
    world.until_connections("bob", 0).await;
    world.open("carol", "phone").await;
}

#[tokio::test]
async fn handshakes_beyond_the_rate_are_put_off() {
    let world = World::start(&[
        ("gateway.handshake_rate", "1"),
        ("gateway.handshake_burst", "2"),
    ])
    .await;
    let mut first = world.open("alice", "phone").await.socket;
    let mut answers = Vec::new();
    for number in 0..8 {
        let request = upgrade(&format!("user{number}"));
        answers.push(ask(world.gateway.public(), &request).await.unwrap());
    }
    let admitted = answers
        .iter()
        .filter(|it| it.starts_with("http/1.1 101"))
        .count();
    let refused = answers.iter().filter(|it| is_overloaded(it)).count();
    assert_eq!(admitted + refused, 8, "{answers:?}");
    assert!(
        admitted >= 1 && refused >= 1,
        "{admitted} admitted, {refused} refused"
    );
    world.reaches("alice", &mut first).await.unwrap();
    let counted = r#"carillon_gateway_handshakes_rejected_total{reason="rate"}"#;
    assert_eq!(world.metric(counted).await.unwrap(), refused as f64);
}

#[tokio::test]
async fn a_user_has_so_many_connections() {
    let world = World::start(&[("gateway.per_user_connections", "2")]).await;
    let mut first = world.open("alice", "phone").await.socket;
    let second = world.open("alice", "laptop").await.socket;
    let before = world.stored().await.unwrap();
    for handshake in [world.v1("alice", "third"), world.simple("alice")] {
        let mut third = Socket::connect(&handshake).await.unwrap();
        let end = third.closed(SOON).await.unwrap();
        assert_eq!(end, (4103, "too_many_connections".to_owned()));
    }
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
    world.open("bob", "phone").await;
    world.reaches("alice", &mut first).await.unwrap();

    drop(second);
    world.until_connections("alice", 1).await;
    world.open("alice", "third").await;
}

#[tokio::test]
async fn a_flood_of_frames_ends_the_connection() {
    let world = World::start(&[
        ("socket.frames_per_second", "5"),
        ("socket.frames_burst", "10"),
    ])
    .await;
    let mut bystander = world.open("bystander", "phone").await.socket;
    let before = world.contents().await.unwrap();
    for message in [
        Message::text(r#"{"type":"ping"}"#),
        Message::text("hello"),
        Message::Ping("x".into()),
        Message::Pong("x".into()),
    ] {
        let mut socket = world.open("alice", "phone").await.socket;
        for _ in 0..60 {
            // The server may have closed already.
            if socket.send_message(message.clone()).await.is_err() {
                break;
            }
        }
        let end = socket.closed(SOON).await.unwrap();
        assert_eq!(end, (4101, "rate_limited".to_owned()));
    }
    assert_eq!(
        world.contents().await.unwrap(),
        before,
        "something was written"
    );
    world.reaches("bystander", &mut bystander).await.unwrap();
}
