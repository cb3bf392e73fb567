//! What is measured: real processes on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use carillon_common::auth::{ApiKeys, Secret};

use super::crowd::Seat;
use super::{proc, wire};
use crate::client::token;
use crate::process::{Process, Service};
use crate::redis::{Options, Persistence, Standalone};

const JWT_SECRET: &str = "the bench's own secret, long enough for HS256";
const SEND: &str = "/api/notifications/send";
/// Admission that lets everyone in.
const EVERYONE: &str = "handshake_rate = 20000\nhandshake_burst = 20000\n\
                        per_user_handshake_rate = 20000\nrefusal_rate = 20000\n";
const BROADCAST: &str = "/api/notifications/broadcast";

/// Gateways, a dispatcher and the Redis between them.
#[derive(Debug)]
pub struct Rig {
    /// The store.
    pub redis: Standalone,
    /// Redis' process.
    pub redis_pid: u32,
    /// At least one.
    pub gateways: Vec<Process>,
    /// The REST side.
    pub dispatcher: Process,
    key: Secret<String>,
    /// Of another caller.
    other_key: Secret<String>,
}

impl Rig {
    /// Starts it all. `keeps`: Redis writes its append-only file every second.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(gateways: usize, keeps: bool) -> Result<Self> {
        let persistence = if keeps {
            Persistence::EverySecond
        } else {
            Persistence::Off
        };
        Self::with(gateways, persistence, EVERYONE, &Default::default()).await
    }

    /// One gateway and the dispatcher, each started under another program.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn under(commands: [Vec<String>; 2]) -> Result<Self> {
        Self::with(1, Persistence::Off, EVERYONE, &commands).await
    }

    /// A gateway and a dispatcher with the defaults that everyone has.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn as_deployed() -> Result<Self> {
        Self::with(1, Persistence::EverySecond, "", &Default::default()).await
    }

    async fn with(
        gateways: usize,
        persistence: Persistence,
        admission: &str,
        [over_gateways, over_dispatcher]: &[Vec<String>; 2],
    ) -> Result<Self> {
        let redis = Standalone::start(&Options::default().persistence(persistence)).await?;
        let redis_pid = redis.info("process_id").await?.parse()?;
        let (key, hash) = ApiKeys::generate();
        let (other_key, other_hash) = ApiKeys::generate();
        let config = format!(
            "[backend]\nurl = \"{}\"\n\
             [gateway]\nlisten = \"127.0.0.1:0\"\n{admission}\
             [dispatcher]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nlevel = \"warn\"\n\
             [[auth.issuers]]\nname = \"bench\"\nalgorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"\n\
             [[auth.api_keys]]\nname = \"bench\"\nhash = \"{hash}\"\nscopes = [\"send\", \"broadcast\", \"read\"]\n\
             [[auth.api_keys]]\nname = \"other\"\nhash = \"{other_hash}\"\nscopes = [\"send\"]\n",
            redis.url(),
        );
        let mut started = Vec::new();
        for _ in 0..gateways {
            let gateway = Service::gateway().config(&config).under(over_gateways);
            started.push(gateway.start().await?);
        }
        let dispatcher = Service::dispatcher().config(&config).under(over_dispatcher);
        let dispatcher = dispatcher.start().await?;
        Ok(Self {
            redis,
            redis_pid,
            gateways: started,
            dispatcher,
            key,
            other_key,
        })
    }

    /// The API key of another caller than [`Rig::send`]'s.
    #[must_use]
    pub fn other_key(&self) -> &str {
        self.other_key.expose()
    }

    /// A token of a user.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        token::hs256(JWT_SECRET, user, Duration::from_secs(3_600))
    }

    /// The first gateway.
    #[must_use]
    pub fn gateway(&self) -> &Process {
        &self.gateways[0]
    }

    /// A POST that sends to a user. `content` is up to the phase.
    #[must_use]
    pub fn send(&self, user: &str, content: &str) -> Vec<u8> {
        let body = format!(
            "{{\"target_user\":\"{user}\",\"notification_type\":\"bench.notice\",\
             \"content\":\"{content}\",\"data\":{{\"order\":4711,\"state\":\"on its way\"}}}}"
        );
        wire::post(SEND, self.key.expose(), &body)
    }

    /// A POST that broadcasts to everyone.
    #[must_use]
    pub fn broadcast(&self) -> Vec<u8> {
        let body = "{\"notification_type\":\"bench.notice\",\"content\":\"to everyone, now\",\
                    \"data\":{\"order\":4711,\"state\":\"on its way\"}}";
        wire::post(BROADCAST, self.key.expose(), body)
    }

    /// The calls that Redis has answered since it started: all commands by name, those inside of
    /// functions included.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn commands(&self) -> Result<Vec<(String, u64)>> {
        let stats: String = self
            .redis
            .query(::redis::cmd("INFO").arg("commandstats"))
            .await?;
        let line = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        Ok(stats.lines().filter_map(line).collect())
    }
}

/// Clients of `carillon.v1` (or the simple protocol) for users numbered so.
#[must_use]
pub fn seats(users: std::ops::Range<usize>, v1: bool) -> Vec<Seat> {
    users
        .map(|user| {
            let token = token::hs256(JWT_SECRET, &name(user), Duration::from_secs(3_600));
            let device = if v1 { "&device=bench" } else { "" };
            Seat {
                target: format!("/ws/notifications?token={token}{device}"),
                v1,
            }
        })
        .collect()
}

/// A user's id.
#[must_use]
pub fn name(user: usize) -> String {
    format!("user-{user:06}")
}

/// The floor, as a process of its own.
///
/// # Errors
/// When it does not start.
pub async fn floor(redis: Option<SocketAddr>) -> Result<Process> {
    let own = std::env::current_exe().context("where is this program?")?;
    let mut service = Service::program(own).argument("floor");
    if let Some(redis) = redis {
        service = service.argument("--redis").argument(redis.to_string());
    }
    service.start().await
}

/// Counts the CPU time of processes from here on.
#[derive(Debug)]
pub struct Meter {
    pids: Vec<u32>,
    idle: Vec<f64>,
    start: Vec<Duration>,
    since: std::time::Instant,
}

impl Meter {
    /// First watches them idle for `rest`, to take that off later.
    ///
    /// # Errors
    /// When a process is gone.
    pub async fn start(pids: &[u32], rest: Duration) -> Result<Self> {
        let mut meter = Self {
            pids: pids.to_vec(),
            idle: vec![0.0; pids.len()],
            start: Vec::new(),
            since: std::time::Instant::now(),
        };
        meter.again()?;
        tokio::time::sleep(rest).await;
        let used = meter.read()?;
        let rest = meter.since.elapsed().as_secs_f64();
        meter.idle = used.iter().map(|seconds| seconds / rest).collect();
        meter.again()?;
        Ok(meter)
    }

    /// Starts again, with what is known of idleness.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn again(&mut self) -> Result<()> {
        let cpu: std::io::Result<_> = self.pids.iter().map(|pid| proc::cpu(*pid)).collect();
        self.start = cpu?;
        self.since = std::time::Instant::now();
        Ok(())
    }

    /// Seconds that each process has used beyond idling.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn read(&self) -> Result<Vec<f64>> {
        let elapsed = self.since.elapsed().as_secs_f64();
        let each = self.pids.iter().zip(&self.start).zip(&self.idle);
        each.map(|((pid, start), idle)| {
            let used = proc::cpu(*pid)?.saturating_sub(*start).as_secs_f64();
            Ok((used - idle * elapsed).max(0.0))
        })
        .collect()
    }
}
