//! Bytes that are no frames, or not as RFC 6455 has them.

use anyhow::ensure;
use carillon_tests::client::Incoming;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::Verdicts;
use crate::world::{SOON, World};

/// What a frame's first byte says.
const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;

/// A frame as on the wire (RFC 6455 section 5.2), with a mask of zeros if any.
fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(mask_bit | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(mask_bit | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(mask_bit | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend([0; 4]);
    }
    bytes.extend(payload);
    bytes
}

/// Bytes that end the connection, and the close code.
fn fatal_bytes() -> Vec<(&'static str, Vec<u8>, u16)> {
    let ping = br#"{"type":"ping"}"#;
    let large = vec![b' '; 2_000];
    let half = vec![b' '; 600];
    let fragments = [
        frame(TEXT, true, &half),
        frame(0, true, &half),
        frame(FIN, true, &half),
    ];
    let mut endless = frame(FIN | TEXT, true, b"");
    endless.truncate(1);
    endless.extend([0x80 | 127]);
    endless.extend(u64::MAX.to_be_bytes());
    endless.extend([0; 4]);
    vec![
        ("binary", frame(FIN | BINARY, true, ping), 1003),
        ("bad UTF-8", frame(FIN | TEXT, true, &[0xff, 0xfe]), 1007),
        (
            "UTF-8 cut short",
            frame(FIN | TEXT, true, &[b'"', 0xc3]),
            1007,
        ),
        ("not masked", frame(FIN | TEXT, false, ping), 1002),
        ("oversize", frame(FIN | TEXT, true, &large), 1009),
        ("oversize in fragments", fragments.concat(), 1009),
        ("a length of 2^64 - 1", endless, 1009),
        ("a reserved opcode", frame(FIN | 0x3, true, ping), 1002),
        (
            "a reserved control opcode",
            frame(FIN | 0xb, true, b""),
            1002,
        ),
        ("a reserved bit", frame(FIN | 0x40 | TEXT, true, ping), 1002),
        ("a continuation of nothing", frame(FIN, true, ping), 1002),
        (
            "a text within a text",
            [frame(TEXT, true, b"{"), frame(FIN | TEXT, true, ping)].concat(),
            1002,
        ),
        ("a ping in fragments", frame(PING, true, b""), 1002),
        ("a ping too long", frame(FIN | PING, true, &half), 1002),
        ("a close of one byte", frame(FIN | CLOSE, true, &[3]), 1002),
    ]
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection_alone() {
    let world = World::start(&[("socket.frame_bytes", "1024")]).await;
    let mut bystander = world.open("bystander", "phone").await.socket;
    let before = world.contents().await.unwrap();
    let mut verdicts = Verdicts::default();
    for (name, bytes, code) in fatal_bytes() {
        for simple in [true, false] {
            let outcome = async {
                let mut socket = if simple {
                    world.open_simple("victim").await
                } else {
                    world.open("victim", "phone").await.socket
                };
                socket.tcp().write_all(&bytes).await?;
                let (closed, reason) = socket.closed(SOON).await?;
                ensure!(closed == code, "closed with {closed} {reason}");
                drop(socket);
                world.connections("victim", 0).await
            };
            verdicts.note(&format!("{name}, simple: {simple}"), outcome.await);
        }
    }
    let stored = [before, world.contents().await.unwrap()];
    let reached = world.reaches("bystander", &mut bystander).await;
    verdicts.conclude_unharmed(30, stored, reached);
}

#[tokio::test]
async fn fragments_and_pings_between_them_are_allowed() {
    let world = World::start(&[]).await;
    let mut socket = world.open("alice", "phone").await.socket;
    let bytes = [
        frame(TEXT, true, br#"{"type":"#),
        frame(FIN | PING, true, b"x"),
        frame(FIN, true, br#""ping","ref":1}"#),
    ];
    socket.tcp().write_all(&bytes.concat()).await.unwrap();
    assert_eq!(socket.frame(SOON).await.unwrap()["ref"], 1);
}

#[tokio::test]
async fn a_forged_pong_of_a_simple_client_acks_nothing() {
    let world = World::start(&[]).await;
    // It answers no pings by itself: it never reads.
    let mut socket = world.open_simple("alice").await;
    let sent = world.send("alice", "one").await;
    for forged in [
        sent.cursor.replace('-', "-1"),
        "0-0".to_owned(),
        String::new(),
    ] {
        let pong = frame(FIN | 0xa, true, forged.as_bytes());
        socket.tcp().write_all(&pong).await.unwrap();
    }
    drop(socket);
    world.until_connections("alice", 0).await;
    let mut again = world.open_simple("alice").await;
    let Incoming::Frame(frame) = again.next().await else {
        panic!("the connection ended")
    };
    assert_eq!(frame["id"], Value::from(sent.id));
}
