//! Against a gateway that is played here, frame by frame.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::CloseFrame,
    },
};

use super::*;
use crate::{TokenSource, gateway_url, tls};

/// The gateway's side of one connection.
struct Played {
    socket: WebSocketStream<TcpStream>,
    /// The query that it was asked for with.
    query: String,
}

impl Played {
    #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut query = String::new();
        let on_request = |request: &Request, mut response: Response| {
            query = request.uri().query().unwrap_or_default().to_owned();
            assert_eq!(request.headers()["authorization"], "Bearer t0ken");
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            assert_eq!(protocol, "carillon.v1");
            response
                .headers_mut()
                .insert("sec-websocket-protocol", protocol);
            Ok::<_, ErrorResponse>(response)
        };
        let socket = accept_hdr_async(stream, on_request).await.unwrap();
        let mut played = Self { socket, query };
        played
            .say(
                json!({"type": "welcome", "user": "alice", "session": "s1", "cursor": "5-5",
                "ping_interval_ms": 25_000}),
            )
            .await;
        played
    }

    async fn say(&mut self, frame: Value) {
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .unwrap();
    }

    async fn notify(&mut self, id: &str, cursor: &str) {
        self.say(
            json!({"id": id, "type": "t", "content": "", "data": {}, "channel": null,
            "target_user": "alice", "cursor": cursor}),
        )
        .await;
    }

    async fn ask_to_move(&mut self) {
        self.say(json!({"type": "reconnect", "reason": "draining", "after_ms": 0, "spread_ms": 0}))
            .await;
    }

    /// The next frame of the client's.
    async fn hear(&mut self) -> Value {
        let message = self.socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn follower(address: SocketAddr, channels: &[&str]) -> Follower {
    let target = Target {
        urls: vec![gateway_url(&format!("ws://{address}")).unwrap()],
        token: TokenSource::fixed("t0ken"),
        device: None,
        tls: tls::client(),
    };
    let channels: Vec<_> = channels.iter().map(|&name| name.to_owned()).collect();
    Follower::new(target, None, &channels)
}

/// What the follower tells until it gives up, in a few words each.
async fn told(mut follower: Follower) -> (Vec<String>, Error) {
    let mut told = Vec::new();
    loop {
        let event = match follower.next().await {
            Ok(event) => event,
            Err(error) => return (told, error),
        };
        told.push(match event {
            Event::Connected { user } => format!("connected {user}"),
            Event::Notification(notification) => {
                follower.handled(&notification).await;
                format!("notification {}", notification.id)
            }
            Event::Gap { channel, reason } => {
                format!("gap {} {reason}", channel.as_deref().unwrap_or("inbox"))
            }
            Event::Refused { code, .. } => format!("refused {code}"),
            Event::TokenExpiring { at } => format!("expiring {at}"),
            Event::Disconnected { .. } => "disconnected".to_owned(),
        });
    }
}

#[tokio::test]
async fn comes_back_where_it_was_and_tells_each_once() {
    let (listener, address) = listener().await;
    let gateway = async {
        let mut first = Played::accept(&listener).await;
        assert_eq!(first.query, "");
        first.notify("a", "6-1").await;
        assert_eq!(first.hear().await, json!({"type": "ack", "cursor": "6-1"}));
        drop(first);

        let mut second = Played::accept(&listener).await;
        assert_eq!(second.query, "session=s1&since=6-1");
        second.notify("a", "6-1").await;
        second.notify("b", "7-1").await;
        second
            .say(json!({"type": "gap", "channel": null, "reason": "expired", "resume": "9-1"}))
            .await;
        second.close(4102, "slow_consumer").await;

        let third = Played::accept(&listener).await;
        assert_eq!(third.query, "session=s1&since=9-1");
        third.close(4009, "session_replaced").await;
    };
    let ((events, error), ()) = tokio::join!(told(follower(address, &[])), gateway);
    assert_eq!(
        events,
        [
            "connected alice",
            "notification a",
            "disconnected",
            "connected alice",
            "notification b",
            "gap inbox expired",
            "disconnected",
            "connected alice",
        ]
    );
    assert!(
        error.to_string().contains("4009 session_replaced"),
        "{error}"
    );
}

#[tokio::test]
async fn joins_its_channels_again_where_each_was() {
    let (listener, address) = listener().await;
    let gateway = async {
        let mut first = Played::accept(&listener).await;
        assert_eq!(
            first.hear().await,
            json!({"type": "subscribe", "channel": "news"})
        );
        first
            .say(json!({"type": "subscribed", "channel": "news", "cursor": "1-1"}))
            .await;
        first
            .say(
                json!({"id": "n", "type": "t", "target_user": null, "channel": "news",
                "cursor": "2-1"}),
            )
            .await;
        first.close(4200, "draining").await;

        let mut second = Played::accept(&listener).await;
        let again = json!({"type": "subscribe", "channel": "news", "since": "2-1"});
        assert_eq!(second.hear().await, again);
        assert_eq!(
            second.query, "session=s1&since=5-5",
            "the channel's cursor is not the inbox's"
        );
        second
            .say(json!({"type": "error", "code": "channel_forbidden", "message": "no"}))
            .await;
        second.close(4001, "token_expired").await;
    };
    let ((events, error), ()) = tokio::join!(told(follower(address, &["news"])), gateway);
    assert_eq!(events[1..3], ["notification n", "disconnected"]);
    assert_eq!(
        events[3..],
        ["connected alice", "refused channel_forbidden"]
    );
    assert!(matches!(error, Error::Closed { code: 4001, .. }), "{error}");
}

#[tokio::test]
async fn acks_what_it_handled_log_by_log() {
    let (listener, address) = listener().await;
    let gateway = async {
        let mut only = Played::accept(&listener).await;
        only.notify("a", "6-1").await;
        for (id, channel, cursor) in [
            ("b", json!(null), "3-1"),
            ("c", json!("news"), "8-1"),
            ("d", json!("news"), "9-1"),
        ] {
            only.say(
                json!({"id": id, "type": "t", "target_user": null, "channel": channel,
                "cursor": cursor}),
            )
            .await;
        }
        let mut acked = Vec::new();
        for _ in 0..3 {
            acked.push(only.hear().await["cursor"].clone());
        }
        only.close(4003, "forbidden").await;
        acked
    };
    let (_, acked) = tokio::join!(told(follower(address, &[])), gateway);
    assert_eq!(acked, ["6-1", "3-1", "9-1"]);
}

/// A connection that opens, answers pings and never comes to its end of catching up.
#[tokio::test]
async fn does_not_wait_without_end_for_a_gateway_that_only_lives() {
    let (listener, address) = listener().await;
    let gateway = async {
        let mut first = Played::accept(&listener).await;
        let mut pings = 0;
        // The client answers; in the end it goes.
        while first.socket.send(Message::Ping("".into())).await.is_ok() {
            pings += 1;
            match tokio::time::timeout(Duration::from_millis(20), first.socket.next()).await {
                Ok(Some(Ok(Message::Pong(_)))) | Err(_) => {}
                Ok(_) => break,
            }
        }
        let mut second = Played::accept(&listener).await;
        second
            .say(json!({"type": "replayed", "cursor": "5-5", "count": 0}))
            .await;
        // From here on silence is what counts.
        tokio::time::sleep(Duration::from_millis(500)).await;
        second.notify("a", "6-1").await;
        second.close(4003, "forbidden").await;
        pings
    };
    let mut follower = follower(address, &[]);
    follower.catch_up_within = Duration::from_millis(250);
    let ((events, _), pings) = tokio::join!(told(follower), gateway);
    assert!(pings > 1, "it went after {pings}");
    assert_eq!(
        events,
        [
            "connected alice",
            "disconnected",
            "connected alice",
            "notification a"
        ]
    );
}

#[tokio::test]
async fn moves_when_it_is_asked_to_and_leaves_nothing_open() {
    let (listener, address) = listener().await;
    let gateway = async {
        let mut first = Played::accept(&listener).await;
        first.ask_to_move().await;
        let second = Played::accept(&listener).await;
        // The old one stays until the new one is there, and is then closed properly.
        assert!(matches!(
            first.socket.next().await,
            Some(Ok(Message::Close(_)))
        ));
        second.close(4003, "forbidden").await;
    };
    let ((events, _), ()) = tokio::join!(told(follower(address, &[])), gateway);
    assert_eq!(events, ["connected alice", "connected alice"]);
}

#[tokio::test]
async fn a_move_that_fails_on_its_way_may_cost_the_connection_but_not_the_session() {
    let (listener, address) = listener().await;
    let gateway = async {
        let mut first = Played::accept(&listener).await;
        first.ask_to_move().await;
        // The next one was heard, and registered for all the client knows; its answer is lost.
        drop(listener.accept().await.unwrap());
        first.close(4009, "session_replaced").await;
        let third = Played::accept(&listener).await;
        assert_eq!(third.query, "session=s1&since=5-5");
        third.close(4009, "session_replaced").await;
    };
    let ((events, error), ()) = tokio::join!(told(follower(address, &[])), gateway);
    assert_eq!(
        events,
        ["connected alice", "disconnected", "connected alice"]
    );
    assert!(error.to_string().contains("4009"), "{error}");
}

#[tokio::test]
async fn waits_for_a_gateway_that_is_full() {
    let (listener, address) = listener().await;
    let gateway = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let full =
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(full.as_bytes()).await.unwrap();
        Played::accept(&listener)
            .await
            .close(4003, "forbidden")
            .await;
    };
    let ((events, _), ()) = tokio::join!(told(follower(address, &[])), gateway);
    assert_eq!(events, ["disconnected", "connected alice"]);
}

#[tokio::test]
async fn a_gateway_that_was_never_there_is_told_at_once() {
    let (listener, address) = listener().await;
    drop(listener);
    let (events, error) = told(follower(address, &[])).await;
    assert_eq!(events, Vec::<String>::new());
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
