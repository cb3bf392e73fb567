//! Both clients against a gateway whose every word is the test's.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::{SimpleClient, SimpleOptions, Targets, V1Client, V1Options};
use crate::redis::free_port;

const SOON: Duration = Duration::from_secs(10);

/// A gateway whose every word is the test's.
struct Gateway(TcpListener);

impl Gateway {
    async fn bind(addr: SocketAddr) -> (Self, Targets) {
        let listener = TcpListener::bind(addr).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        (Self(listener), Targets::new([url]))
    }

    async fn start() -> (Self, Targets) {
        // One of these goes away and comes back at its address.
        Self::bind(([127, 0, 0, 1], free_port().unwrap()).into()).await
    }

    /// Accepts a connection and tells what was asked for.
    async fn accept(&self) -> (WebSocketStream<TcpStream>, String) {
        let (tcp, _) = tokio::time::timeout(SOON, self.0.accept())
            .await
            .unwrap()
            .unwrap();
        let mut asked = String::new();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let look = |request: &Request, mut response: Response| {
            asked = request.uri().to_string();
            if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", offered.clone());
            }
            Ok(response)
        };
        let socket = accept_hdr_async(tcp, look).await.unwrap();
        (socket, asked)
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

async fn heard(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = tokio::time::timeout(SOON, socket.next()).await.unwrap();
    serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap()
}

async fn close(socket: &mut WebSocketStream<TcpStream>, code: u16) {
    let frame = CloseFrame {
        code: code.into(),
        reason: "".into(),
    };
    socket.close(Some(frame)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

const THEN: &str = "2026-01-01T00:00:00.000Z";

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A notification as the simple protocol has it.
fn plain(n: u32) -> Value {
    json!({
        "id": id(n), "type": "t", "content": "", "data": {}, "timestamp": THEN, "target_user": "u", "channel": null,
    })
}

/// The same in `carillon.v1`.
fn personal(n: u32) -> Value {
    let mut frame = plain(n);
    frame["cursor"] = format!("{n}-1").into();
    frame["expires_at"] = THEN.into();
    frame
}

fn welcome() -> Value {
    json!({
        "type": "welcome", "protocol": "carillon.v1", "session": "s", "user": "u", "device": "phone", "cursor": "0-1",
        "recovered": true, "ping_interval_ms": 25_000, "token_expires_at": THEN,
        "limits": { "frame_bytes": 65_536, "channels": 100, "frames_per_second": 20, "inbox": 1_000 },
    })
}

#[tokio::test]
async fn a_page_comes_back_and_asks_for_nothing() {
    let (gateway, targets) = Gateway::start().await;
    let mut options = SimpleOptions::new("secret");
    options.backoff_factor = 0.001;
    let client = SimpleClient::start(&targets, options);
    client.subscribe("news").await.unwrap();

    let (mut socket, asked) = gateway.accept().await;
    assert_eq!(asked, "/ws/notifications?token=secret");
    assert_eq!(
        heard(&mut socket).await,
        json!({ "type": "subscribe", "channel": "news" })
    );
    say(&mut socket, plain(1)).await;
    close(&mut socket, 1012).await;

    let (mut socket, asked) = gateway.accept().await;
    assert_eq!(asked, "/ws/notifications?token=secret");
    say(&mut socket, plain(1)).await;
    say(&mut socket, plain(2)).await;
    let three = client
        .seen()
        .until("three", SOON, |seen| seen.notifications.len() == 3);
    three.await.unwrap();
    client.seen().read(|seen| {
        assert_eq!(seen.ids().collect::<Vec<_>>(), [id(1), id(1), id(2)]);
        assert_eq!(
            (seen.opens, seen.closed_with(1012), seen.duplicates),
            (2, 1, 1)
        );
    });
    let silent = tokio::time::timeout(Duration::from_millis(50), socket.next()).await;
    assert!(silent.is_err(), "a page said {silent:?}");

    let (closing, leave) = tokio::join!(client.close(), socket.next());
    assert!(
        matches!(leave, Some(Ok(Message::Close(Some(_))))),
        "{closing:?} {leave:?}"
    );
}

#[tokio::test]
async fn a_device_resumes_by_cursor_and_acks() {
    let (gateway, targets) = Gateway::start().await;
    let mut options = V1Options::new("secret", "phone");
    options.time_factor = 0.001;
    let client = V1Client::start(&targets, options);

    let (mut socket, asked) = gateway.accept().await;
    assert_eq!(asked, "/ws/notifications?token=secret&device=phone");
    say(&mut socket, welcome()).await;
    say(&mut socket, personal(1)).await;
    assert_eq!(
        heard(&mut socket).await,
        json!({ "type": "ack", "cursor": "1-1" })
    );
    say(&mut socket, personal(2)).await;
    let two = client
        .seen()
        .until("two", SOON, |seen| seen.notifications.len() == 2);
    two.await.unwrap();
    drop(socket);

    let (mut socket, asked) = gateway.accept().await;
    assert!(asked.ends_with("&session=s&since=2-1"), "{asked}");
    close(&mut socket, 4003).await;
    client
        .seen()
        .until("it gave up", SOON, |seen| seen.stopped)
        .await
        .unwrap();
    client.seen().read(|seen| {
        assert_eq!((seen.closed_with(1006), seen.closed_with(4003)), (1, 1));
    });
}

#[tokio::test]
async fn refused_attempts_are_counted_until_a_gateway_is_there() {
    let (gateway, targets) = Gateway::start().await;
    let addr = gateway.0.local_addr().unwrap();
    drop(gateway);
    let mut options = SimpleOptions::new("secret");
    options.backoff_factor = 0.001;
    let client = SimpleClient::start(&targets, options);
    client
        .seen()
        .until("two refusals", SOON, |seen| seen.refused >= 2)
        .await
        .unwrap();

    let (gateway, _) = Gateway::bind(addr).await;
    let _socket = gateway.accept().await;
    client
        .seen()
        .until("open", SOON, |seen| seen.opens == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn hops_by_itself() {
    let (gateway, targets) = Gateway::start().await;
    let mut options = SimpleOptions::new("secret");
    options.hops = Some(Duration::from_millis(1)..Duration::from_millis(5));
    let _client = SimpleClient::start(&targets, options);
    for _ in 0..3 {
        let (mut socket, _) = gateway.accept().await;
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[tokio::test]
async fn hops_on_order() {
    let (gateway, targets) = Gateway::start().await;
    let client = SimpleClient::start(&targets, SimpleOptions::new("secret"));
    let (mut socket, _) = gateway.accept().await;
    client.hop().await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    let _socket = gateway.accept().await;
}

#[tokio::test]
#[should_panic(expected = "docs/asyncapi.json does not allow")]
async fn a_frame_that_is_not_described_fails_the_test() {
    let (gateway, targets) = Gateway::start().await;
    let client = SimpleClient::start(&targets, SimpleOptions::new("secret"));
    let (mut socket, _) = gateway.accept().await;
    say(&mut socket, json!({ "type": "news" })).await;
    while let Some(Ok(_)) = socket.next().await {}
    client.close().await;
}
