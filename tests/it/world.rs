//! One gateway and one dispatcher over a Redis of their own: what most whole-system tests need.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::{auth::ApiKeys, backend::clock, ids::Millis, notification::rfc3339};
use carillon_tests::client::{
    Accepted, Api, Handshake, Incoming, Refusal, Socket, Targets, TokenIn, notification, token,
};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use redis::cmd;
use reqwest::Method;
use serde_json::{Value, json};

/// What tokens are signed with.
pub(crate) const SECRET: &str = "a secret that is known to tests alone, 32+";
/// For what should happen at once, on a machine that does other things too.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// For what must not happen: long enough for a frame that is on its way.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Times of these tests: short, but not so short that a busy machine breaks them.
const SETTINGS: [(&str, &str); 9] = [
    ("gateway.listen", "127.0.0.1:0"),
    ("dispatcher.listen", "127.0.0.1:0"),
    ("admin.listen", "127.0.0.1:0"),
    ("gateway.per_user_handshake_rate", "1000000"),
    ("gateway.refusal_rate", "1000000"),
    ("socket.ack_interval", "50ms"),
    ("drain.delay", "0s"),
    ("drain.window", "1s"),
    ("lease.isolation_deadline", "0s"),
];

/// The processes, and a caller with every scope.
pub(crate) struct World {
    pub(crate) redis: Standalone,
    pub(crate) gateway: Process,
    pub(crate) dispatcher: Process,
    pub(crate) api: Api,
    config: String,
}

/// A part of what Redis holds, value by value (as `DUMP` gives it).
pub(crate) type Stored = BTreeMap<String, Vec<u8>>;

impl World {
    /// Starts all of it with these settings of both services.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::configured(settings, "").await
    }

    /// The same with more text in the configuration file.
    pub(crate) async fn configured(settings: &[(&str, &str)], more: &str) -> Self {
        let redis = Standalone::start(&Options::default()).await.unwrap();
        let urls = [redis.url(), redis.url()];
        Self::over(redis, urls, settings, more).await
    }

    /// The same over a Redis whose URL is another for each of gateway and dispatcher.
    pub(crate) async fn over(
        redis: Standalone,
        [for_gateway, for_dispatcher]: [String; 2],
        settings: &[(&str, &str)],
        more: &str,
    ) -> Self {
        let (key, config) = config(more);
        let gateway =
            configure(Service::gateway(), &config, settings).set("backend.url", for_gateway);
        let dispatcher =
            configure(Service::dispatcher(), &config, settings).set("backend.url", for_dispatcher);
        let (gateway, dispatcher) = tokio::join!(gateway.start(), dispatcher.start());
        let (gateway, dispatcher) = (gateway.unwrap(), dispatcher.unwrap());
        let api = Api::new(Targets::new([dispatcher.http()]), key).unwrap();
        Self {
            redis,
            gateway,
            dispatcher,
            api,
            config,
        }
    }

    /// Another gateway of the same deployment.
    pub(crate) async fn another_gateway(&self, settings: &[(&str, &str)]) -> Process {
        self.another_gateway_at(&self.redis.url(), settings).await
    }

    /// Another dispatcher of the same deployment.
    pub(crate) async fn another_dispatcher(&self, settings: &[(&str, &str)]) -> Process {
        configure(Service::dispatcher(), &self.config, settings)
            .set("backend.url", self.redis.url())
            .start()
            .await
            .unwrap()
    }

    /// The same by another URL of the store.
    pub(crate) async fn another_gateway_at(&self, url: &str, settings: &[(&str, &str)]) -> Process {
        configure(Service::gateway(), &self.config, settings)
            .set("backend.url", url)
            .start()
            .await
            .unwrap()
    }

    /// A connection as pages make it.
    pub(crate) fn simple(&self, user: &str) -> Handshake {
        Handshake::to(&self.gateway.ws()).token(TokenIn::Query, &token_of(user))
    }

    /// A connection of `carillon.v1`.
    pub(crate) fn v1(&self, user: &str, device: &str) -> Handshake {
        self.simple(user)
            .protocol("carillon.v1")
            .query("device", device)
    }

    /// Connects with `carillon.v1` and reads until the catch-up is over.
    pub(crate) async fn open(&self, user: &str, device: &str) -> Opened {
        Opened::by(&self.v1(user, device)).await.unwrap()
    }

    /// Connects with the simple protocol and waits until it is registered: hints reach it.
    pub(crate) async fn open_simple(&self, user: &str) -> Socket {
        let before = self.connections_of(user).await.unwrap();
        let socket = Socket::connect(&self.simple(user)).await.unwrap();
        self.until_connections(user, before + 1).await;
        socket
    }

    /// Waits until the user has so many connections.
    pub(crate) async fn until_connections(&self, user: &str, expected: u64) {
        self.connections(user, expected).await.unwrap();
    }

    /// The same, as a result.
    pub(crate) async fn connections(&self, user: &str, expected: u64) -> Result<()> {
        let what = format!("{user} has {expected} connections");
        let wait = eventually(&what, SOON, async || {
            let connections = self.connections_of(user).await?;
            ensure!(connections == expected, "it has {connections}");
            Ok(())
        });
        wait.await
    }

    async fn connections_of(&self, user: &str) -> Result<u64> {
        let mut count = 0;
        for key in self.keys(&format!("*:presence:{user}")).await? {
            count += self.redis.query::<u64>(cmd("HLEN").arg(key)).await?;
        }
        Ok(count)
    }

    /// Sends to a user; the content tells notifications apart.
    pub(crate) async fn send(&self, user: &str, content: &str) -> Accepted {
        self.try_send(user, content, json!({})).await.unwrap()
    }

    /// Sends with more fields.
    pub(crate) async fn try_send(
        &self,
        user: &str,
        content: &str,
        more: Value,
    ) -> Result<Accepted, Refusal> {
        let mut body = notification(user, "t", content);
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        self.api.send(&body, None).await
    }

    /// Calls the API with a body; its status and answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.api.request(Method::POST, path).json(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Whether a notification still reaches the user on a connection.
    pub(crate) async fn reaches(&self, user: &str, socket: &mut Socket) -> Result<()> {
        let sent = self.send(user, "still there?").await;
        loop {
            let frame = socket.frame(SOON).await?;
            if frame["id"] == sent.id {
                return Ok(());
            }
        }
    }

    /// The gateway's metric of this name and labels; 0 if it has not been counted.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        metric_of(&self.gateway, name).await
    }

    /// The names of Redis' keys that match a glob.
    pub(crate) async fn keys(&self, glob: &str) -> Result<Vec<String>> {
        self.redis.query(cmd("KEYS").arg(glob)).await
    }

    /// The length of a user's inbox.
    pub(crate) async fn inbox_length(&self, user: &str) -> u64 {
        let mut length = 0;
        for key in self.keys(&format!("*:inbox:{user}")).await.unwrap() {
            length += self.redis.query::<u64>(cmd("LLEN").arg(key)).await.unwrap();
        }
        length
    }

    /// Everything in Redis but what leases change by themselves.
    pub(crate) async fn stored(&self) -> Result<Stored> {
        self.stored_but(&["lease:", "draining:", "gateways", "generations"])
            .await
    }

    /// Notifications, subscriptions and idempotency keys; not who is connected and was seen.
    pub(crate) async fn contents(&self) -> Result<Stored> {
        let connections = ["user:", "marks:", "presence:", "online", "sessions:"];
        let leases = ["lease:", "draining:", "gateways", "generations"];
        self.stored_but(&[&connections[..], &leases[..]].concat())
            .await
    }

    async fn stored_but(&self, but: &[&str]) -> Result<Stored> {
        let mut stored = Stored::new();
        for key in self.keys("*").await? {
            let kind = key.split_once("}:").map_or(&*key, |(_, kind)| kind);
            if but.iter().any(|prefix| kind.starts_with(prefix)) {
                continue;
            }
            // It may have expired in between.
            let dump: Option<Vec<u8>> = self.redis.query(cmd("DUMP").arg(&key)).await?;
            stored.extend(dump.map(|dump| (key, dump)));
        }
        Ok(stored)
    }
}

/// A connection of `carillon.v1` whose catch-up is over.
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    pub(crate) welcome: Value,
    /// What was replayed, in order.
    pub(crate) replayed: Vec<Value>,
    /// The other frames of the catch-up.
    pub(crate) control: Vec<Value>,
}

impl Opened {
    /// Connects and reads until `replayed`.
    pub(crate) async fn by(handshake: &Handshake) -> Result<Self> {
        let mut socket = Socket::connect(handshake).await?;
        let welcome = socket.frame(SOON).await?;
        ensure!(
            welcome["type"] == "welcome",
            "instead of a welcome: {welcome}"
        );
        let (mut replayed, mut control) = (Vec::new(), Vec::new());
        loop {
            let frame = socket.frame(SOON).await?;
            let over = frame["type"] == "replayed";
            if frame.get("id").is_some() {
                replayed.push(frame);
            } else {
                control.push(frame);
            }
            if over {
                return Ok(Self {
                    socket,
                    welcome,
                    replayed,
                    control,
                });
            }
        }
    }

    /// The contents of what was replayed.
    pub(crate) fn contents(&self) -> Vec<&str> {
        self.replayed.iter().map(content).collect()
    }

    /// The control frames of a type.
    pub(crate) fn control_of(&self, kind: &str) -> Vec<&Value> {
        let of_kind = |frame: &&Value| frame["type"] == kind;
        self.control.iter().filter(of_kind).collect()
    }

    /// Acks everything up to this frame and waits until the store knows.
    pub(crate) async fn ack(&mut self, world: &World, frame: &Value) {
        let accepted = r#"carillon_gateway_acks_total{result="accepted"}"#;
        let before = world.metric(accepted).await.unwrap();
        let ack = json!({ "type": "ack", "cursor": frame["cursor"] });
        self.socket.send(&ack).await.unwrap();
        let told = eventually("the store is told of the ack", SOON, async || {
            ensure!(world.metric(accepted).await? > before, "not yet");
            Ok(())
        });
        told.await.unwrap();
    }
}

/// A notification's content.
pub(crate) fn content(frame: &Value) -> &str {
    frame["content"].as_str().unwrap_or_default()
}

/// The time so many milliseconds from now, as it is sent.
pub(crate) fn in_ms(ms: Millis) -> String {
    rfc3339(clock::local_now() + ms)
}

/// A token that is good for an hour.
pub(crate) fn token_of(user: &str) -> String {
    token::hs256(SECRET, user, Duration::from_secs(3_600))
}

/// A process' metric of this name and labels; 0 if it has not been counted.
pub(crate) async fn metric_of(process: &Process, name: &str) -> Result<f64> {
    let url = format!("http://{}/metrics", process.admin());
    let text = reqwest::get(url).await?.text().await?;
    let line = text.lines().find_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        (found == name).then_some(value)
    });
    Ok(line.map_or(Ok(0.0), str::parse)?)
}

/// The next notification's content; control frames are passed over.
pub(crate) async fn next_content(socket: &mut Socket) -> Result<String> {
    loop {
        let frame = socket.frame(SOON).await?;
        if frame.get("id").is_some() {
            return Ok(content(&frame).to_owned());
        }
    }
}

/// The next so many notifications' contents.
pub(crate) async fn next_contents(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut contents = Vec::with_capacity(count);
    while contents.len() < count {
        let next = next_content(socket).await;
        contents.push(next.with_context(|| format!("after {contents:?}")).unwrap());
    }
    contents
}

/// The next frame of a type; notifications and other frames are passed over.
pub(crate) async fn next_of(socket: &mut Socket, kind: &str) -> Result<Value> {
    loop {
        let frame = socket
            .frame(SOON)
            .await
            .with_context(|| format!("waiting for {kind}"))?;
        if frame["type"] == kind {
            return Ok(frame);
        }
    }
}

/// Fails if anything comes in a while.
pub(crate) async fn silent(socket: &mut Socket) -> Result<()> {
    match tokio::time::timeout(QUIET, socket.next()).await {
        Err(_) => Ok(()),
        Ok(Incoming::Frame(frame)) => anyhow::bail!("an unexpected {frame}"),
        Ok(Incoming::Closed(code, reason)) => anyhow::bail!("closed with {code} {reason}"),
    }
}

pub(crate) fn configure(service: Service, config: &str, settings: &[(&str, &str)]) -> Service {
    SETTINGS
        .iter()
        .chain(settings)
        .fold(service.config(config), |service, (name, value)| {
            service.set(name, value)
        })
}

/// A key with every scope, one that may only read, and a configuration that knows them.
pub(crate) fn config(more: &str) -> (String, String) {
    let (key, hash) = ApiKeys::generate();
    let config = format!(
        r#"
        [[auth.issuers]]
        name = "tests"
        algorithms = ["HS256"]
        secret = "{SECRET}"
        [[auth.api_keys]]
        name = "tests"
        hash = "{hash}"
        scopes = ["send", "broadcast", "read", "admin"]
        {more}
        "#
    );
    (key.expose().clone(), config)
}
