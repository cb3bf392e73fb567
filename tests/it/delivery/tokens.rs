//! Tokens that end.

use std::time::Duration;

use carillon_tests::client::{Handshake, Socket, TokenIn, token};
use serde_json::json;

use crate::world::{Opened, SECRET, SOON, World, next_of, token_of};

fn short(user: &str, seconds: u64) -> String {
    token::hs256(SECRET, user, Duration::from_secs(seconds))
}

fn with(world: &World, token: &str) -> Handshake {
    Handshake::to(&world.gateway.ws())
        .protocol("carillon.v1")
        .query("device", "phone")
        .token(TokenIn::Query, token)
}

#[tokio::test]
async fn a_token_that_ends_ends_the_connection() {
    let world = World::start(&[("auth.leeway", "0s")]).await;
    let mut opened = Opened::by(&with(&world, &short("alice", 3))).await.unwrap();
    let told = next_of(&mut opened.socket, "token_expiring").await.unwrap();
    assert_eq!(told["expires_at"], opened.welcome["token_expires_at"]);
    let end = opened.socket.closed(SOON).await.unwrap();
    assert_eq!(end, (4201, "token_expired".to_owned()));
    world.until_connections("alice", 0).await;

    // A page is told nothing, and closed as well.
    let handshake = Handshake::to(&world.gateway.ws()).token(TokenIn::Query, &short("alice", 2));
    let mut page = Socket::connect(&handshake).await.unwrap();
    assert_eq!(page.closed(SOON).await.unwrap().0, 4201);
}

#[tokio::test]
async fn a_token_is_renewed_in_band() {
    let world = World::start(&[("auth.leeway", "0s")]).await;
    let mut opened = Opened::by(&with(&world, &short("alice", 3))).await.unwrap();
    next_of(&mut opened.socket, "token_expiring").await.unwrap();
    let renewal = json!({ "type": "auth", "token": token_of("alice"), "ref": 1 });
    opened.socket.send(&renewal).await.unwrap();
    let renewed = next_of(&mut opened.socket, "authenticated").await.unwrap();
    assert_eq!(renewed["ref"], 1);
    assert!(renewed["expires_at"].as_str() > opened.welcome["token_expires_at"].as_str());
    // It outlives its first token.
    let quiet = tokio::time::timeout(Duration::from_secs(4), opened.socket.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    world.reaches("alice", &mut opened.socket).await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_takes_a_channel_away_is_told() {
    let world = World::start(&[]).await;
    let exp = token::now() + 600;
    let claims = json!({ "sub": "alice", "exp": exp, "channels": ["private:*"] });
    let mut opened = Opened::by(&with(&world, &token::sign(SECRET, &claims)))
        .await
        .unwrap();
    let socket = &mut opened.socket;
    for channel in ["private:a", "open"] {
        socket
            .send(&json!({ "type": "subscribe", "channel": channel }))
            .await
            .unwrap();
        next_of(socket, "subscribed").await.unwrap();
    }
    socket
        .send(&json!({ "type": "auth", "token": token_of("alice") }))
        .await
        .unwrap();
    next_of(socket, "authenticated").await.unwrap();
    let left = socket.frame(SOON).await.unwrap();
    assert_eq!(
        left,
        json!({ "type": "unsubscribed", "channel": "private:a", "code": "channel_forbidden" })
    );
}

#[tokio::test]
async fn a_token_within_the_tolerance_is_good_for_a_while() {
    let world = World::start(&[("auth.leeway", "30s")]).await;
    let ended = token::sign(SECRET, &json!({ "sub": "alice", "exp": token::now() - 5 }));
    let mut opened = Opened::by(&with(&world, &ended)).await.unwrap();
    // It is told that the end is near, once, whenever its connection first wakes.
    if opened.control_of("token_expiring").is_empty() {
        next_of(&mut opened.socket, "token_expiring").await.unwrap();
    }
    world.reaches("alice", &mut opened.socket).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(500), opened.socket.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
