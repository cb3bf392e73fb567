//! Somebody who only wants to be served.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::bench::rig::Rig;
use crate::bench::wire;

/// Short enough for a hundredth of its calls to be more than a few.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than any of it may take.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// What it noticed.
#[derive(Debug, Default)]
pub struct Noticed {
    /// From a POST to its answer, each on a new connection.
    pub sends: Vec<Duration>,
    /// From a connection's begin to the 101.
    pub connects: Vec<Duration>,
    /// The slowest of the probes.
    pub probe: Duration,
    /// What did not succeed.
    pub failures: Vec<String>,
}

impl Noticed {
    /// What both have noticed.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.sends.extend(other.sends);
        self.connects.extend(other.connects);
        self.failures.extend(other.failures);
        self.probe = self.probe.max(other.probe);
        self
    }

    /// A percentile of sends and connects, in milliseconds.
    #[must_use]
    pub fn at(&self, part: f64) -> [f64; 2] {
        [&self.sends, &self.connects].map(|times| {
            let mut times = times.clone();
            times.sort_unstable();
            let last = times.len().saturating_sub(1) as f64;
            times
                .get((last * part) as usize)
                .map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)
        })
    }
}

/// Where it goes.
pub(super) struct Post {
    gateway: SocketAddr,
    dispatcher: SocketAddr,
    admins: [SocketAddr; 2],
    /// A send to one user each, and its handshake.
    calls: Vec<[Vec<u8>; 2]>,
}

impl Post {
    pub(super) fn of(rig: &Rig) -> Self {
        let calls = |user: usize| {
            let token = rig.token(&format!("bystander-{user}"));
            [
                // Nobody who is connected: a send takes as long as it takes to store it.
                rig.send(&format!("away-{user}"), "hello"),
                wire::upgrade(&format!("/ws/notifications?token={token}"), false),
            ]
        };
        Self {
            gateway: rig.gateway().public(),
            dispatcher: rig.dispatcher.public(),
            admins: [rig.gateway().admin(), rig.dispatcher.admin()],
            calls: (0..100).map(calls).collect(),
        }
    }
}

/// Sends, connects and probes for so long.
pub(super) async fn watch(post: Post, lasts: Duration) -> Result<Noticed> {
    let mut noticed = Noticed::default();
    let end = Instant::now() + lasts;
    let mut calls = post.calls.iter().cycle();
    while Instant::now() < end
        && let Some([send, upgrade]) = calls.next()
    {
        match ask(post.dispatcher, send, "HTTP/1.1 200").await {
            Ok(took) => noticed.sends.push(took),
            Err(why) => noticed.failures.push(format!("send: {why}")),
        }
        match ask(post.gateway, upgrade, "HTTP/1.1 101").await {
            Ok(took) => noticed.connects.push(took),
            Err(why) => noticed.failures.push(format!("connect: {why}")),
        }
        for admin in post.admins {
            let probe = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            match ask(admin, probe, "HTTP/1.1 200").await {
                Ok(took) => noticed.probe = noticed.probe.max(took),
                Err(why) => noticed.failures.push(format!("probe: {why}")),
            }
        }
        sleep(PAUSE).await;
    }
    Ok(noticed)
}

/// One request on a connection of its own; how long its answer took.
async fn ask(address: SocketAddr, request: &[u8], wanted: &str) -> Result<Duration, String> {
    let begun = Instant::now();
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut answer = vec![0; wanted.len()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(GIVEN_UP, asking).await {
        Ok(Ok(answer)) if answer == wanted.as_bytes() => Ok(begun.elapsed()),
        Ok(Ok(answer)) => Err(String::from_utf8_lossy(&answer).into_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {GIVEN_UP:?}")),
    }
}
