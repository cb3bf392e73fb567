//! Clients that should not come in by what else they ask for: names, origins, versions, positions.

use anyhow::{Result, ensure};
use carillon_tests::client::{Handshake, Socket};
use serde_json::json;
use tokio_tungstenite::tungstenite::http::header;

use super::Verdicts;
use crate::world::{SOON, World};

/// The connection opens and is closed with this, and leaves nothing behind.
pub(super) async fn turned_away(handshake: &Handshake, code: u16, reason: &str) -> Result<()> {
    let mut socket = Socket::connect(handshake).await?;
    let (closed, told) = socket.closed(SOON).await?;
    ensure!(
        (closed, told.as_str()) == (code, reason),
        "closed with {closed} {told}"
    );
    Ok(())
}

#[tokio::test]
async fn names_origins_and_versions_are_refused() {
    let world = World::start(&[("gateway.origins", "https://app.example.com")]).await;
    let before = world.stored().await.unwrap();
    let simple = || world.simple("victim");
    let device = |name: &str| simple().query("device", name);
    let session = |name: &str| simple().query("session", name);
    let origin = |origin: &str| simple().header(header::ORIGIN, origin);
    let long = "x".repeat(65);
    let mut verdicts = Verdicts::default();
    for (name, handshake, code, reason) in [
        (
            "a device with a space",
            device("my phone"),
            4003,
            "invalid_device",
        ),
        (
            "a device with a slash",
            device("a/b"),
            4003,
            "invalid_device",
        ),
        ("a device too long", device(&long), 4003, "invalid_device"),
        (
            "a session with a slash",
            session("a/b"),
            4003,
            "invalid_session",
        ),
        (
            "a session too long",
            session(&long),
            4003,
            "invalid_session",
        ),
        (
            "a foreign origin",
            origin("https://evil.example"),
            4003,
            "origin_not_allowed",
        ),
        (
            "a like origin",
            origin("https://app.example.com.evil.example"),
            4003,
            "origin_not_allowed",
        ),
        (
            "another scheme",
            origin("http://app.example.com"),
            4003,
            "origin_not_allowed",
        ),
        ("a null origin", origin("null"), 4003, "origin_not_allowed"),
        (
            "a later version",
            simple().protocol("carillon.v9"),
            4010,
            "unsupported_version",
        ),
    ] {
        verdicts.note(name, turned_away(&handshake, code, reason).await);
    }
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
    let mut allowed = Socket::connect(&origin("https://app.example.com"))
        .await
        .unwrap();
    world.until_connections("victim", 1).await;
    verdicts.note(
        "the right origin",
        world.reaches("victim", &mut allowed).await,
    );
    verdicts.conclude(11);
}

#[tokio::test]
async fn an_unreadable_since_is_told_and_ignored() {
    let world = World::start(&[]).await;
    world.send("alice", "one").await;
    for (number, since) in ["yesterday", "1", "-", "1-1-1", "1-99999999999"]
        .iter()
        .enumerate()
    {
        let device = format!("phone{number}");
        let handshake = world.v1("alice", &device).query("since", *since);
        let mut socket = Socket::connect(&handshake).await.unwrap();
        let told = socket.frame(SOON).await.unwrap();
        assert_eq!(
            (&told["type"], &told["code"]),
            (&json!("error"), &json!("invalid_field")),
            "{since}: {told}"
        );
        assert_eq!(socket.frame(SOON).await.unwrap()["type"], "welcome");
        assert_eq!(socket.frame(SOON).await.unwrap()["content"], "one");
    }
    // A client of the simple protocol has no such thing, and is told nothing.
    let handshake = world.simple("alice").query("since", "yesterday");
    let mut socket = Socket::connect(&handshake).await.unwrap();
    assert_eq!(socket.frame(SOON).await.unwrap()["content"], "one");
}
