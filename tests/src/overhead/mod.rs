//! What observing costs: of all instructions that a send or a delivery takes, those that metrics take.
//!
//! Not two builds, one without metrics: what would be left out of the second is a choice, and its code is laid
//! out otherwise, which alone moves more than metrics cost. Callgrind counts the instructions of the programs
//! as they are shipped, function by function and, where one is inlined, line by line; `profile` adds up those
//! of metrics and of all that metrics call. "Without" is the rest.

pub mod profile;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use self::profile::{Cost, cost};
use crate::bench::callers::{self, Pace};
use crate::bench::crowd::{Count, Crowd, Manners};
use crate::bench::rig::{self, Rig, seats};
use crate::poll::eventually;
use crate::process::Process;

/// Everything takes fifty times as long as it does by itself.
const PATIENCE: Duration = Duration::from_secs(300);
/// The most that metrics may make it dearer.
pub const TARGET: f64 = 1.03;
/// The most series that a gateway may have.
pub const SERIES_TARGET: usize = 1_500;

const WELCOMED: Count = |tally| &tally.welcomed;
const NOTIFICATIONS: Count = |tally| &tally.notifications;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Online users.
    pub users: usize,
    /// Sends to them.
    pub sends: u64,
    /// Broadcasts to all of them.
    pub broadcasts: u64,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was done.
    pub name: &'static str,
    /// How often.
    pub count: u64,
    /// What it took.
    pub cost: Cost,
}

/// What a process' instructions are counted into.
struct Counted<'a> {
    process: &'a Process,
    out: PathBuf,
    dumps: u32,
}

impl Counted<'_> {
    /// Forgets what was counted so far.
    fn begin(&self) -> Result<()> {
        control("--zero", self.process.pid())
    }

    /// What was counted since [`begin`](Self::begin).
    async fn end(&mut self) -> Result<Cost> {
        control("--dump", self.process.pid())?;
        self.dumps += 1;
        let file = PathBuf::from(format!("{}.{}", self.out.display(), self.dumps));
        let text = eventually(
            "callgrind writes what it has counted",
            PATIENCE,
            async || {
                let text = std::fs::read_to_string(&file)?;
                ensure!(text.contains("\ntotals: "), "it still writes");
                Ok(text)
            },
        );
        cost(&text.await?)
    }
}

fn control(what: &str, pid: u32) -> Result<()> {
    let status = Command::new("callgrind_control")
        .args([what, &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("callgrind_control; install valgrind")?;
    ensure!(status.success(), "callgrind_control {what}: {status}");
    Ok(())
}

/// What a program is started under so that its instructions are counted into `out`.
#[must_use]
pub fn callgrind(out: &Path) -> Vec<String> {
    let out = format!("--callgrind-out-file={}", out.display());
    let words = [
        "valgrind",
        "--tool=callgrind",
        "--quiet",
        "--compress-strings=no",
    ];
    let words = words.into_iter().map(str::to_owned);
    words.chain(["--compress-pos=no".to_owned(), out]).collect()
}

/// Sends and broadcasts to online users, counted in the dispatcher and in the gateway.
///
/// # Errors
/// When valgrind is missing, or something is not done in time.
pub async fn instructions(scale: &Scale) -> Result<Vec<Line>> {
    let dir = TempDir::new()?;
    let [gateway, dispatcher] = ["gateway", "dispatcher"].map(|name| dir.path().join(name));
    let rig = Rig::under([callgrind(&gateway), callgrind(&dispatcher)]).await?;
    let manners = Manners {
        acks: true,
        ..Manners::default()
    };
    let crowd = Crowd::start(manners)?;
    crowd.join(seats(0..scale.users, true), rig.gateway().public());
    let users = scale.users as u64;
    crowd.tally().until(WELCOMED, users, PATIENCE).await?;
    let mut gateway = Counted {
        process: rig.gateway(),
        out: gateway,
        dumps: 0,
    };
    let mut dispatcher = Counted {
        process: &rig.dispatcher,
        out: dispatcher,
        dumps: 0,
    };

    // What happens only once has happened.
    send(&rig, &crowd, users).await?;
    broadcast(&rig, &crowd, users, 2).await?;

    gateway.begin()?;
    dispatcher.begin()?;
    send(&rig, &crowd, scale.sends).await?;
    let mut lines = vec![
        Line {
            name: "send, dispatcher",
            count: scale.sends,
            cost: dispatcher.end().await?,
        },
        Line {
            name: "send, gateway: delivery and ack",
            count: scale.sends,
            cost: gateway.end().await?,
        },
    ];
    gateway.begin()?;
    broadcast(&rig, &crowd, users, scale.broadcasts).await?;
    lines.push(Line {
        name: "broadcast, gateway: delivery and ack",
        count: scale.broadcasts * users,
        cost: gateway.end().await?,
    });
    Ok(lines)
}

/// Sends to each user in turn, and waits until all have arrived.
async fn send(rig: &Rig, crowd: &Crowd, count: u64) -> Result<()> {
    let users = crowd.tally().welcomed.load(Ordering::Relaxed);
    let requests: Vec<_> = (0..users)
        .map(|user| rig.send(&rig::name(user as usize), "on its way"))
        .collect();
    let request = move |number: u64, _| requests[number as usize % requests.len()].clone();
    heard(rig, crowd, 4, count, count, request).await
}

/// Broadcasts one after the other, and waits until each has reached everyone.
async fn broadcast(rig: &Rig, crowd: &Crowd, users: u64, count: u64) -> Result<()> {
    for _ in 0..count {
        let text = rig.broadcast();
        heard(rig, crowd, 1, 1, users, move |_, _| text.clone()).await?;
    }
    Ok(())
}

async fn heard(
    rig: &Rig,
    crowd: &Crowd,
    callers: usize,
    requests: u64,
    more: u64,
    request: impl FnMut(u64, Duration) -> Vec<u8> + Send + 'static,
) -> Result<()> {
    let before = crowd.tally().notifications.load(Ordering::Relaxed);
    let address = rig.dispatcher.public();
    let calling = move || {
        let pace = Pace::Closed { requests };
        callers::call(address, callers, pace, Instant::now(), request)
    };
    let outcome = tokio::task::spawn_blocking(calling).await??;
    ensure!(outcome.refused == 0, "calls were refused: {outcome:?}");
    let tally = crowd.tally();
    tally.until(NOTIFICATIONS, before + more, PATIENCE).await
}

/// How many series a gateway has that holds so many connections, after some of all that happens to them.
///
/// # Errors
/// When something is not done in time.
pub async fn series(connections: usize) -> Result<usize> {
    let rig = Rig::start(1, false).await?;
    let crowd = Crowd::start(Manners {
        acks: true,
        ..Manners::default()
    })?;
    crowd.join(seats(0..connections, true), rig.gateway().public());
    let all = connections as u64;
    crowd.tally().until(WELCOMED, all, PATIENCE).await?;
    send(&rig, &crowd, all.min(1_000)).await?;
    broadcast(&rig, &crowd, all, 1).await?;
    // Simple clients, refused ones, and those who leave.
    let gateway = rig.gateway();
    let others = Crowd::start(Manners::default())?;
    others.join(seats(0..10, false), gateway.public());
    others.tally().until(WELCOMED, 10, PATIENCE).await?;
    others.leave();
    for path in ["/", "/ws/notifications", "/ws/notifications?token=none"] {
        let refused = reqwest::get(format!("{}{path}", gateway.http())).await;
        drop(refused?);
    }
    let metrics = format!("http://{}/metrics", gateway.admin());
    let text = reqwest::get(metrics).await?.text().await?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).count())
}
