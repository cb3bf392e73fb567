//! Whoever can see that it is connected, or subscribed, is owed everything accepted from then on: shown
//! by a store that stands still at each point where that is decided, on both stores and both protocols.

mod gate;

use std::{fs, iter, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::Router;
use carillon_common::{
    backend::{self, Backend, Idempotency, PublishOrder, SendOrder},
    http::listen,
    process::{Process, Shutdown},
    settings::Settings,
};
use carillon_gateway::Gateway;
use carillon_tests::redis::{Options, Standalone};
use futures_util::{SinkExt, StreamExt};
use gate::{Call, Gate, Gated, When};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use uuid::Uuid;

use crate::world::{SECRET, SOON, token_of};

const HOUR: Duration = Duration::from_secs(3_600);

/// A gateway in this process, over a store with a gate before it.
struct Scene {
    gate: Arc<Gate>,
    store: Arc<dyn Backend>,
    address: SocketAddr,
    stop: Shutdown,
    _redis: Option<Standalone>,
}

impl Scene {
    async fn over(redis: Option<Standalone>) -> Result<Self> {
        let url = redis
            .as_ref()
            .map_or("memory://".to_owned(), Standalone::url);
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("carillon.toml");
        let issuer = format!(
            "[[auth.issuers]]\nname = \"tests\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\""
        );
        let drain = "[drain]\ndelay = \"0s\"\nwindow = \"1s\"";
        fs::write(
            &file,
            format!("[backend]\nurl = \"{url}\"\n{drain}\n{issuer}\n"),
        )?;
        let settings = Settings::load(Some(&file), iter::empty())?;
        let store = backend::connect(&settings).await?;
        let gate = Arc::new(Gate::default());
        let gated = Arc::new(Gated {
            store: store.clone(),
            gate: gate.clone(),
        });
        let gateway = Gateway::start(&Process::detached(settings)?, gated).await?;
        let listener = listen(([127, 0, 0, 1], 0).into())?;
        let (address, stop) = (listener.local_addr()?, Shutdown::new());
        let until = stop.clone();
        tokio::spawn(async move { gateway.run(listener, Router::new(), until).await });
        Ok(Self {
            gate,
            store,
            address,
            stop,
            _redis: redis,
        })
    }

    async fn publish(&self, channel: &str, content: &str) -> Result<()> {
        let order = PublishOrder {
            channel: channel.parse()?,
            id: Uuid::now_v7(),
            body: body(content).into(),
            ttl: HOUR,
            history: 100,
            retention: HOUR,
            idempotency: once(),
            trace: None,
        };
        self.store.publish(&order).await?;
        Ok(())
    }

    async fn send(&self, user: &str, content: &str, ttl: Duration) -> Result<()> {
        let order = SendOrder {
            user: user.parse()?,
            id: Uuid::now_v7(),
            body: body(content).into(),
            ttl,
            idempotency: once(),
            trace: None,
        };
        self.store.send(&order).await?;
        Ok(())
    }

    /// Everything that a client with a connection is owed.
    async fn all_kinds(&self, user: &str) -> Result<[&'static str; 3]> {
        self.publish("*", "everyone").await?;
        self.send(user, "fleeting", Duration::ZERO).await?;
        self.send(user, "kept", HOUR).await?;
        Ok(["everyone", "fleeting", "kept"])
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

fn body(content: &str) -> String {
    format!(
        r#"{{"id":"{}","type":"t","content":"{content}"}}"#,
        Uuid::now_v7()
    )
}

fn once() -> Idempotency {
    Idempotency {
        former: None,
        key: Uuid::now_v7().to_string(),
        body_hash: String::new(),
        ttl: HOUR,
    }
}

/// A client that sees each byte as it comes.
struct Raw(TcpStream);

impl Raw {
    /// Asks to be connected.
    async fn ask(scene: &Scene, protocol: Option<&str>, query: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(scene.address).await?;
        let protocol = protocol.map_or(String::new(), |name| {
            format!("Sec-WebSocket-Protocol: {name}\r\n")
        });
        let request = format!(
            "GET /ws/notifications?{query} HTTP/1.1\r\nHost: carillon\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{protocol}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(Self(stream))
    }

    /// What has come until now is nothing. On the loopback device, what was written has come.
    fn heard_nothing(&self) -> Result<()> {
        let mut some = [0; 256];
        match self.0.try_read(&mut some) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Ok(count) => anyhow::bail!("heard {:?}", String::from_utf8_lossy(&some[..count])),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the answer's head to its last byte and not one more.
    async fn connected(mut self) -> Result<Client> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(SOON, self.0.read_u8()).await??);
        }
        ensure!(
            head.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&head)
        );
        let socket = WebSocketStream::from_raw_socket(self.0, Role::Client, None).await;
        Ok(Client(socket))
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn say(&mut self, frame: Value) -> Result<()> {
        self.0.send(Message::text(frame.to_string())).await?;
        Ok(())
    }

    /// The next text frame.
    async fn frame(&mut self) -> Result<Value> {
        loop {
            let message = timeout(SOON, self.0.next()).await.context("silence")?;
            match message.context("the end")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    async fn until(&mut self, kind: &str) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            if frame["type"] == kind {
                return Ok(frame);
            }
        }
    }

    /// The contents of the next notifications, until the last of those that are owed has come.
    async fn owed(&mut self, expected: &[&str]) -> Result<()> {
        let mut missing = expected.to_vec();
        while !missing.is_empty() {
            let frame = self.frame().await.with_context(|| format!("{missing:?}"))?;
            missing.retain(|content| frame["content"] != *content);
        }
        Ok(())
    }
}

/// Runs a case on both stores with both protocols.
async fn everywhere(case: impl AsyncFn(&Scene, Option<&'static str>) -> Result<()>) -> Result<()> {
    for redis in [false, true] {
        for protocol in [None, Some("carillon.v1")] {
            let redis = match redis {
                true => Some(Standalone::start(&Options::default()).await?),
                false => None,
            };
            let over = if redis.is_some() { "Redis" } else { "memory" };
            let scene = Scene::over(redis).await?;
            case(&scene, protocol)
                .await
                .with_context(|| format!("over {over}, {protocol:?}"))?;
        }
    }
    Ok(())
}

fn token(user: &str) -> String {
    format!("token={}", token_of(user))
}

#[tokio::test]
async fn the_101_comes_after_the_registration() -> Result<()> {
    everywhere(async |scene, protocol| {
        for when in [When::Asked, When::Answered] {
            let user = format!("alice-{when:?}");
            let held = scene.gate.hold(Call::Register, when);
            let client = Raw::ask(scene, protocol, &token(&user)).await?;
            let release = held.arrived().await;
            client.heard_nothing()?;
            release.send(()).unwrap();
            let mut client = client.connected().await?;
            let owed = scene.all_kinds(&user).await?;
            client.owed(&owed).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_token_in_a_frame_is_answered_after_the_registration() -> Result<()> {
    for redis in [None, Some(Standalone::start(&Options::default()).await?)] {
        let scene = Scene::over(redis).await?;
        let held = scene.gate.hold(Call::Register, When::Answered);
        let raw = Raw::ask(&scene, Some("carillon.v1"), "").await?;
        let mut client = raw.connected().await?;
        let auth = serde_json::json!({ "type": "auth", "token": token_of("alice"), "ref": 7 });
        client.say(auth).await?;
        let release = held.arrived().await;
        let mut some = [0; 256];
        let heard = client.0.get_ref().try_read(&mut some);
        ensure!(heard.is_err(), "heard {heard:?} bytes");
        release.send(()).unwrap();
        let answer = client.frame().await?;
        assert_eq!(
            (&answer["type"], &answer["ref"]),
            (&"authenticated".into(), &7.into())
        );
        let owed = scene.all_kinds("alice").await?;
        client.owed(&owed).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_handshake_that_fails_leaves_nothing_behind() -> Result<()> {
    everywhere(async |scene, protocol| {
        let held = scene.gate.hold(Call::Register, When::Answered);
        let client = Raw::ask(scene, protocol, &token("alice")).await?;
        let release = held.arrived().await;
        let alice = "alice".parse()?;
        assert_eq!(scene.store.presence(&alice).await?.len(), 1);
        // Reset: the 101 meets a socket that is gone.
        client.0.set_zero_linger()?;
        drop(client);
        release.send(()).unwrap();
        let gone = timeout(SOON, async {
            while !scene.store.presence(&alice).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        });
        gone.await.context("it is registered still")?
    })
    .await
}

#[tokio::test]
async fn subscribed_comes_after_the_channel_is_followed() -> Result<()> {
    everywhere(async |scene, protocol| {
        for when in [When::Asked, When::Answered] {
            let raw = Raw::ask(scene, protocol, &token("alice")).await?;
            let mut client = raw.connected().await?;
            let channel = format!("news-{when:?}");
            let held = scene.gate.hold(Call::Follow, when);
            let subscribe = serde_json::json!({ "type": "subscribe", "channel": channel });
            client.say(subscribe).await?;
            let release = held.arrived().await;
            scene.publish(&channel, "between").await?;
            release.send(()).unwrap();
            // Whether what was accepted in between comes is nobody's promise; nothing before says
            // that the client is subscribed.
            client.until("subscribed").await?;
            scene.publish(&channel, "owed").await?;
            client.owed(&["owed"]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_comes_during_a_resume_follows_it() -> Result<()> {
    everywhere(async |scene, protocol| {
        let query = format!("{}&device=phone", token("alice"));
        let raw = Raw::ask(scene, protocol, &query).await?;
        let mut client = raw.connected().await?;
        scene.publish("*", "seen").await?;
        client.owed(&["seen"]).await?;
        for when in [When::Asked, When::Answered] {
            drop(client);
            let missed = format!("missed-{when:?}");
            scene.publish("*", &missed).await?;
            let held = scene.gate.hold(Call::History, when);
            let raw = Raw::ask(scene, protocol, &query).await?;
            client = raw.connected().await?;
            let release = held.arrived().await;
            scene.publish("*", "meanwhile").await?;
            scene.send("alice", "hers", HOUR).await?;
            release.send(()).unwrap();
            client.owed(&[&missed, "meanwhile", "hers"]).await?;
            scene.publish("*", "afterwards").await?;
            client.owed(&["afterwards"]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whoever_takes_a_session_over_goes_on_where_it_stood() -> Result<()> {
    everywhere(async |scene, protocol| {
        for when in [When::Asked, When::Answered] {
            let user = format!("alice-{when:?}");
            let query = format!("{}&session=tab&device=phone", token(&user));
            let mut first = Raw::ask(scene, protocol, &query).await?.connected().await?;
            scene.send(&user, "before", HOUR).await?;
            first.owed(&["before"]).await?;
            let held = scene.gate.hold(Call::Register, when);
            let second = Raw::ask(scene, protocol, &query).await?;
            let release = held.arrived().await;
            scene.send(&user, "between", HOUR).await?;
            second.heard_nothing()?;
            release.send(()).unwrap();
            let mut second = second.connected().await?;
            let mut owed = vec!["between"];
            owed.extend(scene.all_kinds(&user).await?);
            second.owed(&owed).await?;
            let end = loop {
                match first.frame().await {
                    Ok(_) => {}
                    Err(error) => break error.to_string(),
                }
            };
            ensure!(end.contains("4009"), "the first one ended with {end}");
        }
        Ok(())
    })
    .await
}
