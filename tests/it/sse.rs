//! Event streams: what a socket is given, for clients whose networks let no WebSocket through.

mod broken;
mod refused;

use std::time::Duration;

use anyhow::ensure;
use carillon_tests::client::{
    Accepted, Api, Ask, Event, EventStream, Handshake, Socket, Targets, TokenIn, broadcast,
    notification,
};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use serde_json::{Value, json};

use crate::world::{Opened, SOON, config, configure, next_of, token_of};

/// Both stores.
const STORES: [Store; 2] = [Store::Memory, Store::Redis];

#[derive(Clone, Copy, Debug)]
enum Store {
    Memory,
    Redis,
}

/// Both services in one process.
struct Stage {
    process: Process,
    api: Api,
    _redis: Option<Standalone>,
}

impl Stage {
    async fn on(store: Store, settings: &[(&str, &str)]) -> Self {
        let redis = match store {
            Store::Memory => None,
            Store::Redis => Some(Standalone::start(&Options::default()).await.unwrap()),
        };
        let url = redis.as_ref().map(Standalone::url);
        let url = url.unwrap_or_else(|| "memory://".to_owned());
        let (key, config) = config("");
        let process = configure(Service::standalone(), &config, settings).set("backend.url", url);
        let process = process.start().await.unwrap();
        let api = Api::new(Targets::new([process.http()]), key).unwrap();
        Self {
            process,
            api,
            _redis: redis,
        }
    }

    /// What the user's tab asks for.
    fn ask(&self, user: &str) -> Ask {
        let ask = Ask::of(&self.process.http());
        ask.query("token", token_of(user)).query("device", "tab")
    }

    fn v1(&self, user: &str, device: &str) -> Handshake {
        Handshake::to(&self.process.ws())
            .token(TokenIn::Query, &token_of(user))
            .protocol("carillon.v1")
            .query("device", device)
    }

    async fn send(&self, user: &str, content: &str) -> Accepted {
        let body = notification(user, "t", content);
        self.api.send(&body, None).await.unwrap()
    }

    async fn broadcast(&self, channel: Option<&str>, content: &str) -> Accepted {
        let body = broadcast(channel, "t", content);
        self.api.broadcast(&body, None).await.unwrap()
    }
}

/// The notifications among events.
fn notifications(events: &[Event]) -> Vec<&Value> {
    let named = events.iter().filter(|event| event.name == "message");
    named.map(|event| &event.data).collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.name).collect()
}

fn ids(events: &[Event]) -> Vec<&str> {
    let all = notifications(events).into_iter();
    all.filter_map(|data| data["id"].as_str()).collect()
}

/// The next notification on a socket.
async fn next_on(socket: &mut Socket) -> Value {
    loop {
        let frame = socket.frame(SOON).await.unwrap();
        if frame.get("id").is_some() {
            return frame;
        }
    }
}

/// The next notification on a stream.
async fn next_in(stream: &mut EventStream) -> Event {
    stream.until("message", SOON).await.unwrap().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_and_a_socket_are_given_the_same() {
    for store in STORES {
        let stage = Stage::on(store, &[]).await;
        stage.send("alice", "one").await;
        stage.send("alice", "two").await;
        let ask = stage.ask("alice");
        let ask = ask
            .query("channel", "private:else")
            .query("channel", "orders");
        let mut stream = EventStream::open(&ask).await.unwrap();
        assert_eq!(stream.event(SOON).await.unwrap().name, "welcome");
        let begun = stream.until("subscribed", SOON).await.unwrap();
        assert_eq!(
            names(&begun),
            ["error", "message", "message", "replayed", "subscribed"],
            "{store:?}"
        );
        assert_eq!(begun[0].data["code"], "channel_forbidden");
        assert_eq!(begun[0].data["channel"], "private:else");
        assert!(stream.retry.is_some());

        let opened = Opened::by(&stage.v1("alice", "phone")).await.unwrap();
        assert_eq!(
            notifications(&begun),
            opened.replayed.iter().collect::<Vec<_>>()
        );
        let mut socket = opened.socket;
        let subscribe = json!({"type": "subscribe", "channel": "orders"});
        socket.send(&subscribe).await.unwrap();
        next_of(&mut socket, "subscribed").await.unwrap();

        for round in 0..3 {
            for place in ["alice", "everyone", "orders"] {
                let content = format!("{place} {round}");
                let sent = match place {
                    "alice" => stage.send("alice", &content).await,
                    "orders" => stage.broadcast(Some("orders"), &content).await,
                    _ => stage.broadcast(None, &content).await,
                };
                let (event, frame) = (next_in(&mut stream).await, next_on(&mut socket).await);
                assert_eq!(event.data["id"], sent.id, "{store:?}: {content}");
                assert_eq!(event.data, frame, "{store:?}");
                assert!(event.id.is_some(), "{store:?}: {content} moves its client");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_has_acked_and_is_given_each_once() {
    for store in STORES {
        let stage = Stage::on(store, &[("sse.unacked", "3")]).await;
        let mut sent = Vec::new();
        for number in 0..10 {
            sent.push(stage.send("alice", &number.to_string()).await.id);
        }
        let (mut given, mut last) = (Vec::new(), None::<String>);
        for _ in 0..3 {
            let ask = stage.ask("alice").after(last.as_deref());
            let mut stream = EventStream::open(&ask).await.unwrap();
            let (events, whole) = stream.to_the_end(SOON).await.unwrap();
            assert!(whole, "{store:?}");
            assert_eq!(
                names(&events),
                ["welcome", "message", "message", "message", "disconnect"],
                "{store:?}"
            );
            let end = &events[4].data;
            assert_eq!(
                (&end["code"], &end["reason"]),
                (&json!(4204), &json!("unacked"))
            );
            let retry = end["retry_ms"].as_u64().map(Duration::from_millis);
            assert!(retry < Some(Duration::from_secs(1)), "{end}");
            assert_eq!(stream.retry, retry);
            given.extend(ids(&events).into_iter().map(str::to_owned));
            last = stream.last_id;
        }
        let ask = stage.ask("alice").after(last.as_deref());
        let mut stream = EventStream::open(&ask).await.unwrap();
        let rest = stream.until("replayed", SOON).await.unwrap();
        given.extend(ids(&rest).into_iter().map(str::to_owned));
        assert_eq!(given, sent, "{store:?}");

        // The last one is acked by its client's coming back, too; a socket of the device is given nothing.
        let ask = stage.ask("alice").after(stream.last_id.as_deref());
        drop(stream);
        let mut stream = EventStream::open(&ask).await.unwrap();
        let nothing = stream.until("replayed", SOON).await.unwrap();
        assert_eq!(names(&nothing), ["welcome", "replayed"], "{store:?}");
        eventually("the store knows of the acks", SOON, async || {
            let opened = Opened::by(&stage.v1("alice", "tab")).await?;
            ensure!(opened.replayed.is_empty(), "{:?}", opened.contents());
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missed_while_away_is_given_of_every_log() {
    for store in STORES {
        let stage = Stage::on(store, &[]).await;
        let ask = stage.ask("alice").query("channel", "orders");
        let mut stream = EventStream::open(&ask).await.unwrap();
        stream.until("subscribed", SOON).await.unwrap();
        stage.broadcast(Some("orders"), "known").await;
        next_in(&mut stream).await;
        let last = stream.last_id.clone();
        drop(stream);

        let mut missed = vec![
            stage.send("alice", "own").await.id,
            stage.broadcast(None, "everyone").await.id,
            stage.broadcast(Some("orders"), "orders").await.id,
        ];
        let mut stream = EventStream::open(&ask.after(last.as_deref()))
            .await
            .unwrap();
        let mut given = Vec::new();
        for _ in 0..missed.len() {
            let event = next_in(&mut stream).await;
            given.push(event.data["id"].as_str().unwrap().to_owned());
        }
        missed.sort_unstable();
        given.sort_unstable();
        assert_eq!(given, missed, "{store:?}");
        let next = stage.send("alice", "next").await;
        assert_eq!(next_in(&mut stream).await.data["id"], next.id, "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_user_is_online_while_it_is_open() {
    for store in STORES {
        let stage = Stage::on(store, &[]).await;
        let online = async |expected: u64| {
            eventually("so many are online", SOON, async || {
                let online = stage.api.online_count().await?;
                ensure!(online == expected, "{online} are");
                Ok(())
            })
            .await
            .unwrap();
        };
        let mut stream = EventStream::open(&stage.ask("alice")).await.unwrap();
        stream.until("replayed", SOON).await.unwrap();
        online(1).await;
        let sent = stage.send("alice", "one").await;
        assert_eq!(sent.outcome.as_deref(), Some("routed"), "{store:?}");
        assert_eq!(next_in(&mut stream).await.data["id"], sent.id);
        drop(stream);
        online(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_is_kept_alive() {
    let stage = Stage::on(
        Store::Memory,
        &[
            ("socket.ping_interval", "200ms"),
            ("socket.pong_timeout", "100ms"),
        ],
    )
    .await;
    let mut stream = EventStream::open(&stage.ask("alice")).await.unwrap();
    stream.until("replayed", SOON).await.unwrap();
    for _ in 0..5 {
        let next = tokio::time::timeout(SOON, stream.next()).await.unwrap();
        assert_eq!(next, carillon_tests::client::Heard::Comment);
    }
}
