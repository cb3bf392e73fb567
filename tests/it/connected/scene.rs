//! The scene of these tests: a gateway over a store that can stand still, and clients that see each byte.

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

use super::gate::{Gate, Gated};
use crate::world::{SECRET, SOON, token_of};

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// A gateway in this process, over a store with a gate before it.
pub(super) struct Scene {
    pub(super) gate: Arc<Gate>,
    pub(super) store: Arc<dyn Backend>,
    address: SocketAddr,
    stop: Shutdown,
    _redis: Option<Standalone>,
}

impl Scene {
    pub(super) async fn over(redis: Option<Standalone>) -> Result<Self> {
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

    pub(super) async fn publish(&self, channel: &str, content: &str) -> Result<()> {
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

    pub(super) async fn send(&self, user: &str, content: &str, ttl: Duration) -> Result<()> {
        let order = SendOrder {
            user: user.parse()?,
            id: Uuid::now_v7(),
            body: body(content).into(),
            ttl,
            collapse_key: None,
            due: None,
            idempotency: once(),
            trace: None,
        };
        self.store.send(&order).await?;
        Ok(())
    }

    /// Everything that a client with a connection is owed.
    pub(super) async fn all_kinds(&self, user: &str) -> Result<[&'static str; 3]> {
        self.publish("*", "everyone").await?;
        self.send(user, "ephemeral", Duration::ZERO).await?;
        self.send(user, "kept", HOUR).await?;
        Ok(["everyone", "ephemeral", "kept"])
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
pub(super) struct Raw(pub(super) TcpStream);

impl Raw {
    /// Asks to be connected.
    pub(super) async fn ask(scene: &Scene, protocol: Option<&str>, query: &str) -> Result<Self> {
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
    pub(super) fn heard_nothing(&self) -> Result<()> {
        let mut some = [0; 256];
        match self.0.try_read(&mut some) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Ok(count) => anyhow::bail!("heard {:?}", String::from_utf8_lossy(&some[..count])),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the answer's head to its last byte and not one more.
    pub(super) async fn connected(mut self) -> Result<Client> {
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

pub(super) struct Client(pub(super) WebSocketStream<TcpStream>);

impl Client {
    pub(super) async fn say(&mut self, frame: Value) -> Result<()> {
        self.0.send(Message::text(frame.to_string())).await?;
        Ok(())
    }

    /// The next text frame.
    pub(super) async fn frame(&mut self) -> Result<Value> {
        loop {
            let message = timeout(SOON, self.0.next()).await.context("silence")?;
            match message.context("the end")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    pub(super) async fn until(&mut self, kind: &str) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            if frame["type"] == kind {
                return Ok(frame);
            }
        }
    }

    /// The contents of the next notifications, until the last of those that are owed has come.
    pub(super) async fn owed(&mut self, expected: &[&str]) -> Result<()> {
        let mut missing = expected.to_vec();
        while !missing.is_empty() {
            let frame = self.frame().await.with_context(|| format!("{missing:?}"))?;
            missing.retain(|content| frame["content"] != *content);
        }
        Ok(())
    }
}

/// Runs a case on both stores with both protocols.
pub(super) async fn everywhere(
    case: impl AsyncFn(&Scene, Option<&'static str>) -> Result<()>,
) -> Result<()> {
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

pub(super) fn token(user: &str) -> String {
    format!("token={}", token_of(user))
}
