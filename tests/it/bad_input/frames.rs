//! Frames that a client should not send.

use anyhow::{Result, ensure};
use carillon_tests::client::Socket;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::Verdicts;
use crate::world::{SOON, World, next_of, silent};

/// Requests of `carillon.v1` and the code of the `error` that answers them.
fn refused_requests() -> Vec<(&'static str, String, &'static str)> {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let long = "x".repeat(300);
    let cases = [
        ("no JSON", "hello", "malformed_frame"),
        ("nothing", "", "malformed_frame"),
        ("half an object", r#"{"type":"ping""#, "malformed_frame"),
        (
            "two objects",
            r#"{"type":"ping"}{"type":"ping"}"#,
            "malformed_frame",
        ),
        ("an array", r#"["ping"]"#, "malformed_frame"),
        (
            "an array of fields",
            r#"["ping",1,"c",null,null,null,null]"#,
            "malformed_frame",
        ),
        ("a string", r#""ping""#, "malformed_frame"),
        ("null", "null", "malformed_frame"),
        ("a number", "1e999", "malformed_frame"),
        (
            "a lone surrogate",
            r#"{"type":"\ud800"}"#,
            "malformed_frame",
        ),
        ("no type", r#"{"channel":"c"}"#, "malformed_frame"),
        (
            "a type that is a number",
            r#"{"type":5}"#,
            "malformed_frame",
        ),
        (
            "a type twice",
            r#"{"type":"ping","type":"ping"}"#,
            "malformed_frame",
        ),
        ("an unknown type", r#"{"type":"dance"}"#, "unknown_type"),
        (
            "a type of the server's",
            r#"{"type":"welcome"}"#,
            "unknown_type",
        ),
        (
            "a notification",
            r#"{"id":"1","type":"t","content":"forged"}"#,
            "unknown_type",
        ),
        (
            "a ref that is an object",
            r#"{"type":"ping","ref":{}}"#,
            "invalid_field",
        ),
        ("no channel", r#"{"type":"subscribe"}"#, "invalid_field"),
        (
            "a channel that is a list",
            r#"{"type":"subscribe","channel":["c"]}"#,
            "invalid_field",
        ),
        (
            "an empty channel",
            r#"{"type":"subscribe","channel":""}"#,
            "invalid_channel",
        ),
        (
            "a channel with a space",
            r#"{"type":"subscribe","channel":"a b"}"#,
            "invalid_channel",
        ),
        (
            "a channel beyond ASCII",
            r#"{"type":"subscribe","channel":"ü"}"#,
            "invalid_channel",
        ),
        (
            "a channel with braces",
            r#"{"type":"subscribe","channel":"{x}"}"#,
            "invalid_channel",
        ),
        (
            "the broadcast channel",
            r#"{"type":"subscribe","channel":"*"}"#,
            "invalid_channel",
        ),
        (
            "leaving the broadcast channel",
            r#"{"type":"unsubscribe","channel":"*"}"#,
            "invalid_channel",
        ),
        (
            "a claimed channel",
            r#"{"type":"subscribe","channel":"private:x"}"#,
            "channel_forbidden",
        ),
        (
            "another user's channel",
            r#"{"type":"subscribe","channel":"user:other"}"#,
            "channel_forbidden",
        ),
        (
            "a since that is a number",
            r#"{"type":"subscribe","channel":"c","since":1}"#,
            "invalid_field",
        ),
        (
            "an unreadable since",
            r#"{"type":"subscribe","channel":"c","since":"now"}"#,
            "invalid_field",
        ),
        (
            "a since too large",
            r#"{"type":"subscribe","channel":"c","since":"99999999999999999999-1"}"#,
            "invalid_field",
        ),
        (
            "durable as a text",
            r#"{"type":"subscribe","channel":"c","durable":"yes"}"#,
            "invalid_field",
        ),
        (
            "an ack without cursor",
            r#"{"type":"ack"}"#,
            "invalid_field",
        ),
        (
            "an ack of a number",
            r#"{"type":"ack","cursor":1}"#,
            "invalid_field",
        ),
        (
            "an ack of a text",
            r#"{"type":"ack","cursor":"all"}"#,
            "invalid_field",
        ),
        (
            "an auth without token",
            r#"{"type":"auth"}"#,
            "invalid_field",
        ),
        (
            "an auth with an empty token",
            r#"{"type":"auth","token":""}"#,
            "token_refused",
        ),
        (
            "an auth with no token",
            r#"{"type":"auth","token":"a.b.c"}"#,
            "token_refused",
        ),
    ];
    let fixed = cases.map(|(name, text, code)| (name, text.to_owned(), code));
    let made = [
        (
            "deep nesting",
            format!(r#"{{"type":"ping","ref":{deep}}}"#),
            "invalid_field",
        ),
        (
            "a channel too long",
            json!({ "type": "subscribe", "channel": long }).to_string(),
            "invalid_channel",
        ),
        (
            "a ref too long",
            json!({ "type": "ping", "ref": long }).to_string(),
            "invalid_field",
        ),
        (
            "an unknown type, long",
            json!({ "type": long }).to_string(),
            "unknown_type",
        ),
    ];
    fixed.into_iter().chain(made).collect()
}

#[tokio::test]
async fn requests_are_refused_and_the_connection_goes_on() {
    let world = World::start(&[("socket.frames_burst", "1000")]).await;
    let mut victim = world.open("victim", "phone").await.socket;
    let mut bystander = world.open("bystander", "phone").await.socket;
    let before = world.stored().await.unwrap();

    let mut verdicts = Verdicts::default();
    for (name, text, code) in refused_requests() {
        verdicts.note(name, refused(&mut victim, &text, code).await);
    }
    let stored = [before, world.stored().await.unwrap()];
    verdicts.note("the connection", world.reaches("victim", &mut victim).await);
    let reached = world.reaches("bystander", &mut bystander).await;
    verdicts.conclude_unharmed(40, stored, reached);
}

/// The frame is answered with this error, and the connection still answers.
async fn refused(socket: &mut Socket, text: &str, code: &str) -> Result<()> {
    socket.send_message(Message::text(text)).await?;
    let answer = socket.frame(SOON).await?;
    ensure!(
        answer["type"] == "error" && answer["code"] == code,
        "instead of {code}: {answer}"
    );
    ensure!(answer["retryable"] == false, "retryable: {answer}");
    ensure!(
        answer["message"]
            .as_str()
            .is_some_and(|it| (1..=400).contains(&it.len()))
    );
    ensure!(answer.get("id").is_none(), "an error with an id: {answer}");
    answers(socket).await
}

async fn answers(socket: &mut Socket) -> Result<()> {
    socket.send(&json!({ "type": "ping" })).await?;
    let answer = socket.frame(SOON).await?;
    ensure!(answer["type"] == "pong", "instead of a pong: {answer}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_carries_the_mark_of_its_request() {
    let world = World::start(&[]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    for mark in [json!(7), json!("seven"), json!(-1.5)] {
        let request = json!({ "type": "subscribe", "channel": "user:other", "ref": mark });
        socket.send(&request).await.unwrap();
        let answer = socket.frame(SOON).await.unwrap();
        assert_eq!(
            (&answer["ref"], &answer["channel"]),
            (&mark, &json!("user:other")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_simple_protocol_refuses_what_it_does_not_have() {
    let world = World::start(&[("socket.frames_burst", "100")]).await;
    let mut socket = world.open_simple("victim").await;
    let before = world.stored().await.unwrap();
    let mut verdicts = Verdicts::default();
    let cases = [
        (
            "ack",
            r#"{"type":"ack","cursor":"1-1","ref":1}"#,
            "not_in_simple",
        ),
        (
            "auth",
            r#"{"type":"auth","token":"x","ref":1}"#,
            "not_in_simple",
        ),
        ("unknown", r#"{"type":"dance","ref":1}"#, "unknown_type"),
        ("no JSON", "hello", "malformed_frame"),
        ("an array", "[]", "malformed_frame"),
        (
            "a bad channel",
            r#"{"type":"subscribe","channel":"a b"}"#,
            "invalid_channel",
        ),
        (
            "the broadcast channel",
            r#"{"type":"subscribe","channel":"*"}"#,
            "invalid_channel",
        ),
        (
            "a forbidden channel",
            r#"{"type":"subscribe","channel":"private:x"}"#,
            "channel_forbidden",
        ),
    ];
    for (name, text, code) in cases {
        let outcome = async {
            socket.send_message(Message::text(text)).await?;
            let answer = socket.frame(SOON).await?;
            ensure!(answer["code"] == code, "instead of {code}: {answer}");
            ensure!(
                answer.get("ref").is_none(),
                "a mark that this protocol lacks: {answer}"
            );
            answers(&mut socket).await
        };
        verdicts.note(name, outcome.await);
    }
    let stored = [before, world.stored().await.unwrap()];
    let reached = world.reaches("victim", &mut socket).await;
    verdicts.conclude_unharmed(8, stored, reached);
}

#[tokio::test]
async fn a_connection_has_so_many_channels() {
    let world = World::start(&[("socket.channels", "2")]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    for channel in ["a", "b"] {
        socket
            .send(&json!({ "type": "subscribe", "channel": channel }))
            .await
            .unwrap();
        assert_eq!(
            next_of(&mut socket, "subscribed").await.unwrap()["channel"],
            channel
        );
    }
    refused(
        &mut socket,
        r#"{"type":"subscribe","channel":"c"}"#,
        "too_many_channels",
    )
    .await
    .unwrap();
    // One that it is on already is no further one; and one given up makes room.
    for (frame, answer) in [
        (json!({ "type": "subscribe", "channel": "a" }), "subscribed"),
        (
            json!({ "type": "unsubscribe", "channel": "a" }),
            "unsubscribed",
        ),
        (json!({ "type": "subscribe", "channel": "c" }), "subscribed"),
    ] {
        socket.send(&frame).await.unwrap();
        assert_eq!(socket.frame(SOON).await.unwrap()["type"], answer);
    }
}

#[tokio::test]
async fn acks_and_pongs_of_what_was_not_written_here_count_for_nothing() {
    let world = World::start(&[]).await;
    let unknown = r#"carillon_gateway_acks_total{result="unknown"}"#;
    world.send("alice", "one").await;
    let mut phone = world.open("alice", "phone").await;
    let mut laptop = world.open("alice", "laptop").await;
    let mut tablet = world.open("alice", "tablet").await;
    let written = phone.replayed[0]["cursor"].as_str().unwrap().to_owned();
    let (seq, nonce) = written.split_once('-').unwrap();
    let seq: u64 = seq.parse().unwrap();
    let mut never_written = world.open("bob", "phone").await.socket;

    let mut verdicts = Verdicts::default();
    let cases = [
        ("ahead", &mut phone.socket, format!("{}-{nonce}", seq + 1)),
        (
            "far ahead",
            &mut laptop.socket,
            format!("{}-1", (1_u64 << 53) - 1),
        ),
        ("another history's", &mut tablet.socket, format!("{seq}-1")),
        ("another user's", &mut never_written, written.clone()),
    ];
    let before = world.stored().await.unwrap();
    for (name, socket, cursor) in cases {
        let outcome = async {
            let counted = world.metric(unknown).await?;
            socket
                .send(&json!({ "type": "ack", "cursor": cursor }))
                .await?;
            answers(socket).await?;
            ensure!(
                world.metric(unknown).await? == counted + 1.0,
                "it was not counted"
            );
            Ok(())
        };
        verdicts.note(name, outcome.await);
    }
    // A pong that answers no ping is allowed (RFC 6455 section 5.5.3), and no ack.
    for payload in [written.clone(), String::new(), "x".repeat(125)] {
        let pong = Message::Pong(payload.into_bytes().into());
        phone.socket.send_message(pong).await.unwrap();
    }
    verdicts.note("forged pongs", answers(&mut phone.socket).await);
    verdicts.note("nothing more", silent(&mut phone.socket).await);
    assert_eq!(world.stored().await.unwrap(), before, "something was acked");
    verdicts.conclude(6);

    drop(phone);
    world.until_connections("alice", 2).await;
    let again = world.open("alice", "phone").await;
    assert_eq!(again.contents(), ["one"]);
}
