//! Clients that should not come in by their token.

use std::time::{Duration, Instant};

use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_tests::client::{Handshake, Socket, TokenIn, token};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::Verdicts;
use super::handshakes::turned_away;
use crate::world::{Opened, SECRET, SOON, World, token_of};

/// The public key of an issuer that signs with RS256.
const PUBLIC_KEY: &str = include_str!("../../../common/src/auth/fixtures/rsa.pub.pem");

async fn world(settings: &[(&str, &str)]) -> World {
    let issuer = format!(
        "[[auth.issuers]]\nname = \"rsa\"\nalgorithms = [\"RS256\"]\npublic_key = \"\"\"\n{PUBLIC_KEY}\"\"\"\n"
    );
    World::configured(settings, &issuer).await
}

fn claims(change: Value) -> Value {
    let mut claims = json!({ "sub": "victim", "iat": token::now(), "exp": token::now() + 600 });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn signed(change: Value) -> String {
    token::sign(SECRET, &claims(change))
}

fn unsigned(header: Value, signature: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{signature}", part(header), part(claims(json!({}))))
}

/// A good token with one part exchanged.
fn spliced(part: usize, by: &str) -> String {
    let good = signed(json!({}));
    let mut parts: Vec<_> = good.split('.').collect();
    parts[part] = by;
    parts.join(".")
}

/// Tokens and the reason they are refused with.
fn tokens() -> Vec<(&'static str, String, &'static str)> {
    let now = token::now();
    let root = URL_SAFE_NO_PAD.encode(claims(json!({ "sub": "root" })).to_string());
    let alg = |alg: &str| json!({ "alg": alg, "typ": "JWT" });
    // Its exp missing, rather than null.
    let endless = token::sign(SECRET, &json!({ "sub": "victim" }));
    let nobody = token::sign(SECRET, &json!({ "exp": now + 600 }));
    vec![
        (
            "expired",
            signed(json!({ "exp": now - 60 })),
            "token_expired",
        ),
        (
            "expired long ago",
            signed(json!({ "exp": 0 })),
            "token_expired",
        ),
        (
            "not valid yet",
            signed(json!({ "nbf": now + 600 })),
            "token_not_yet_valid",
        ),
        (
            "of another secret",
            token::sign("another secret", &claims(json!({}))),
            "token_signature",
        ),
        ("another's claims", spliced(1, &root), "token_signature"),
        ("no signature", spliced(2, ""), "token_signature"),
        ("alg none", unsigned(alg("none"), ""), "token_algorithm"),
        ("alg None", unsigned(alg("None"), ""), "token_algorithm"),
        (
            "alg none with a signature",
            spliced(0, &URL_SAFE_NO_PAD.encode(alg("none").to_string())),
            "token_algorithm",
        ),
        (
            "an unknown alg",
            unsigned(alg("HS1"), "AA"),
            "token_algorithm",
        ),
        (
            "an alg without a key",
            unsigned(alg("ES256"), "AA"),
            "token_algorithm",
        ),
        (
            "no alg",
            unsigned(json!({ "typ": "JWT" }), "AA"),
            "token_malformed",
        ),
        (
            "a public key as a secret",
            token::sign(PUBLIC_KEY, &claims(json!({}))),
            "token_signature",
        ),
        (
            "a public key as a secret, trimmed",
            token::sign(PUBLIC_KEY.trim(), &claims(json!({}))),
            "token_signature",
        ),
        (
            "RS256 with a secret's signature",
            spliced(0, &URL_SAFE_NO_PAD.encode(alg("RS256").to_string())),
            "token_signature",
        ),
        (
            "a critical extension",
            unsigned(json!({ "alg": "HS256", "crit": ["exp"] }), "AA"),
            "token_malformed",
        ),
        ("no sub", nobody, "token_claim"),
        ("an empty sub", signed(json!({ "sub": "" })), "token_claim"),
        (
            "a sub too long",
            signed(json!({ "sub": "x".repeat(256) })),
            "token_claim",
        ),
        (
            "a sub that is a number",
            signed(json!({ "sub": 7 })),
            "token_claim",
        ),
        ("no exp", endless, "token_claim"),
        (
            "an exp that is a text",
            signed(json!({ "exp": "tomorrow" })),
            "token_claim",
        ),
        (
            "an audience",
            signed(json!({ "aud": "another-service" })),
            "token_claim",
        ),
        ("no token at all", "hello".into(), "token_malformed"),
        ("an API key", "ck_AAAA".into(), "token_is_api_key"),
        ("empty parts", "..".into(), "token_malformed"),
        ("five parts", "a.b.c.d.e".into(), "token_malformed"),
        ("oversize", "x".repeat(9_000), "token_too_large"),
    ]
}

#[tokio::test]
async fn tokens_are_refused() {
    // The same token again is not held here.
    let unheld = ("gateway.refusal_hold_max", "0s");
    let world = world(&[("gateway.refusal_hold_min", "0s"), unheld]).await;
    let mut bystander = world.open("bystander", "phone").await.socket;
    let before = world.stored().await.unwrap();
    let mut verdicts = Verdicts::default();
    for (name, token, reason) in tokens() {
        // Each place of a token is another way in.
        for place in [TokenIn::Query, TokenIn::Header, TokenIn::Subprotocol] {
            let handshake = Handshake::to(&world.gateway.ws()).protocol("carillon.v1");
            let handshake = handshake.query("device", "phone").token(place, &token);
            let case = format!("{name}, in {place:?}");
            verdicts.note(&case, turned_away(&handshake, 4001, reason).await);
        }
    }
    let missing = Handshake::to(&world.gateway.ws());
    verdicts.note("none", turned_away(&missing, 4001, "token_missing").await);
    let stored = [before, world.stored().await.unwrap()];
    let reached = world.reaches("bystander", &mut bystander).await;
    verdicts.conclude_unharmed(80, stored, reached);
}

#[tokio::test]
async fn the_same_refused_token_is_held_the_second_time() {
    let held = [
        ("gateway.refusal_hold_min", "600ms"),
        ("gateway.refusal_hold_max", "700ms"),
    ];
    let world = World::start(&held).await;
    let expired = signed(json!({ "exp": 0 }));
    let handshake = Handshake::to(&world.gateway.ws()).token(TokenIn::Query, &expired);
    turned_away(&handshake, 4001, "token_expired")
        .await
        .unwrap();
    let start = Instant::now();
    turned_away(&handshake, 4001, "token_expired")
        .await
        .unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(600),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_first_frame_must_bring_a_token_in_time() {
    let world = World::start(&[("gateway.auth_timeout", "300ms")]).await;
    let before = world.stored().await.unwrap();
    let handshake = Handshake::to(&world.gateway.ws())
        .protocol("carillon.v1")
        .query("device", "phone");
    let mut verdicts = Verdicts::default();
    let frames = [
        ("nothing", None, "token_missing"),
        (
            "a ping",
            Some(Message::text(r#"{"type":"ping"}"#)),
            "token_missing",
        ),
        ("no JSON", Some(Message::text("hello")), "token_missing"),
        (
            "binary",
            Some(Message::binary(b"hello".to_vec())),
            "token_missing",
        ),
        (
            "an auth without token",
            Some(Message::text(r#"{"type":"auth"}"#)),
            "token_missing",
        ),
        (
            "an auth with a bad token",
            Some(auth(&signed(json!({ "exp": 0 })))),
            "token_expired",
        ),
        (
            "an auth with a forged token",
            Some(auth(&token::sign("x", &claims(json!({}))))),
            "token_signature",
        ),
    ];
    for (name, frame, reason) in frames {
        let outcome = async {
            let start = Instant::now();
            let mut socket = Socket::connect(&handshake).await?;
            let waits = frame.is_none();
            if let Some(frame) = frame {
                socket.send_message(frame).await?;
            }
            let end = socket.closed(SOON).await?;
            ensure!(end == (4001, reason.to_owned()), "closed with {end:?}");
            ensure!(
                !waits || start.elapsed() >= Duration::from_millis(300),
                "too early"
            );
            Ok(())
        };
        verdicts.note(name, outcome.await);
    }
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );

    // And one that does.
    let mut socket = Socket::connect(&handshake).await.unwrap();
    socket.send_message(auth(&token_of("alice"))).await.unwrap();
    assert_eq!(socket.frame(SOON).await.unwrap()["type"], "authenticated");
    assert_eq!(socket.frame(SOON).await.unwrap()["type"], "welcome");
    verdicts.conclude(7);
}

#[tokio::test]
async fn bad_tokens_in_first_frames_are_bounded_by_address() {
    let settings = [
        ("gateway.refusal_rate", "1"),
        ("gateway.refusal_hold_min", "600ms"),
        ("gateway.refusal_hold_max", "700ms"),
    ];
    let world = World::start(&settings).await;
    let handshake = Handshake::to(&world.gateway.ws()).protocol("carillon.v1");
    let expired = signed(json!({ "exp": 0 }));
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(Socket::connect(&handshake).await.unwrap());
    }
    for socket in &mut sockets {
        socket.send_message(auth(&expired)).await.unwrap();
    }
    // All are told; beyond the rate of their address none of them is held.
    for socket in &mut sockets {
        let end = socket.closed(SOON).await.unwrap();
        assert_eq!(end, (4001, "token_expired".to_owned()));
    }
    let counted = r#"carillon_gateway_handshakes_rejected_total{reason="address"}"#;
    let refused = world.metric(counted).await.unwrap();
    assert!((1.0..=6.0).contains(&refused), "{refused} of 8");
}

fn auth(token: &str) -> Message {
    Message::text(json!({ "type": "auth", "token": token }).to_string())
}

#[tokio::test]
async fn a_token_of_another_user_or_an_expired_one_does_not_renew() {
    let world = World::start(&[]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    let before = world.stored().await.unwrap();
    let cases = [
        (token_of("bob"), "user_mismatch"),
        (
            token::sign(SECRET, &json!({ "sub": "alice", "exp": 1 })),
            "token_refused",
        ),
        (
            token::sign(
                "forged",
                &json!({ "sub": "alice", "exp": token::now() + 60 }),
            ),
            "token_refused",
        ),
    ];
    for (token, code) in cases {
        socket.send_message(auth(&token)).await.unwrap();
        let answer = socket.frame(SOON).await.unwrap();
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!(code))
        );
        assert!(!answer.to_string().contains(&token), "a token in {answer}");
    }
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
    world.reaches("alice", &mut socket).await.unwrap();
}

#[tokio::test]
async fn a_query_token_can_be_switched_off() {
    let world = World::start(&[("gateway.query_token", "false")]).await;
    turned_away(&world.simple("alice"), 4001, "token_missing")
        .await
        .unwrap();
    let handshake = Handshake::to(&world.gateway.ws()).protocol("carillon.v1");
    let handshake = handshake.token(TokenIn::Subprotocol, &token_of("alice"));
    Opened::by(&handshake).await.unwrap();
}

#[tokio::test]
async fn tokens_and_keys_are_in_no_log() {
    let world = World::start(&[("log.level", "trace")]).await;
    let refused = signed(json!({ "exp": 0 }));
    let handshake = Handshake::to(&world.gateway.ws()).token(TokenIn::Query, &refused);
    turned_away(&handshake, 4001, "token_expired")
        .await
        .unwrap();
    let mut socket = world.open("alice", "phone").await.socket;
    socket.send_message(auth(&refused)).await.unwrap();
    socket.frame(SOON).await.unwrap();
    world.send("alice", "one").await;
    let logs = [
        world.gateway.log().unwrap(),
        world.dispatcher.log().unwrap(),
    ];
    // The signature, which is what makes a token one.
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for secret in [
        signature(&refused),
        signature(&token_of("alice")),
        SECRET.to_owned(),
    ] {
        for log in &logs {
            assert!(log.len() > 100, "no log: {log}");
            assert!(!log.contains(&secret), "{secret} is in the log");
        }
    }
}
