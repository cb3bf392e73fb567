//! What is not a WebSocket on the gateway's port.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Verdicts;
use crate::world::{SOON, World, token_of};

/// Sends bytes and reads the answer's head until the other side is done or the head is whole.
pub(super) async fn ask(address: SocketAddr, request: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // The other side may refuse before it has read everything.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0; 4_096];
        while let Ok(length) = stream.read(&mut piece).await {
            answer.extend(&piece[..length]);
            if length == 0 || answer.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
    };
    timeout(SOON, reading).await.context("no answer")?;
    Ok(String::from_utf8_lossy(&answer).to_lowercase())
}

fn upgrade(path: &str, change: impl Fn(String) -> String) -> Vec<u8> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    change(head).into_bytes()
}

fn requests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let same = |head| head;
    let path = format!("/ws/notifications?token={}", token_of("victim"));
    let plain = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let post = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    let long = "x".repeat(200_000);
    let large = |head: String| head.replace("Host: x", &format!("Host: x\r\nX-Large: {long}"));
    let many: String = (0..120).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = |head: String| head.replace("Host: x\r\n", &format!("Host: x\r\n{many}"));
    let old = |head: String| head.replace("Version: 13", "Version: 8");
    let unkeyed = |head: String| head.replace("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key-Not: x");
    vec![
        ("no upgrade", plain.into_bytes(), "426"),
        ("a post", post.into_bytes(), "405"),
        ("another path", upgrade("/ws/other", same), "404"),
        (
            "the root",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            "404",
        ),
        (
            "no HTTP",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            "400",
        ),
        ("a huge head", upgrade(&path, large), "431"),
        ("too many headers", upgrade(&path, many), "431"),
        ("an old version", upgrade(&path, old), "426"),
        ("no key", upgrade(&path, unkeyed), "400"),
    ]
}

#[tokio::test]
async fn requests_that_are_no_handshake_are_answered_as_http() {
    let world = World::start(&[]).await;
    let mut bystander = world.open("bystander", "phone").await.socket;
    let before = world.stored().await.unwrap();
    let mut verdicts = Verdicts::default();
    for (name, request, status) in requests() {
        let outcome = async {
            let answer = ask(world.gateway.public(), &request).await?;
            let line = answer.lines().next().unwrap_or_default();
            ensure!(line.contains(status), "instead of {status}: {line:?}");
            Ok(())
        };
        verdicts.note(name, outcome.await);
    }
    let stored = [before, world.stored().await.unwrap()];
    let reached = world.reaches("bystander", &mut bystander).await;
    verdicts.conclude_unharmed(10, stored, reached);
}

#[tokio::test]
async fn the_answer_to_a_plain_request_says_what_to_do() {
    let world = World::start(&[]).await;
    let url = format!("{}/ws/notifications", world.gateway.http());
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "upgrade_required");
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let world = World::start(&[("gateway.handshake_timeout", "300ms")]).await;
    let mut stream = TcpStream::connect(world.gateway.public()).await.unwrap();
    stream
        .write_all(b"GET /ws/notifications HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    timeout(SOON, reading).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("gateway.handshake_timeout"), "{answer}");
    let rejected = r#"carillon_gateway_handshakes_rejected_total{reason="head"}"#;
    assert_eq!(world.metric(rejected).await.unwrap(), 1.0);
}
