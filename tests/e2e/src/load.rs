//! Traffic: `carillon bench ledger` or `churn`, and its verdict.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use carillon_tests::{child::Child, figures::Figures, poll::eventually};
use serde::Deserialize;
use tempfile::TempDir;

use crate::entrance::{Entrance, KEY, SECRET};

/// Planned ends: moved by a drain, replaced by one's own newer connection, ended by the operator.
const PLANNED: [u16; 4] = [1000, 1012, 4200, 4202];

/// Longer than the generator waits for the last deliveries.
const VERDICT_WITHIN: Duration = Duration::from_secs(180);

/// Running traffic, which ends with whoever started it.
pub(crate) struct Load {
    child: Child,
    /// What it prints: `verdict` and `errors`.
    dir: TempDir,
}

/// What `carillon bench` found.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    /// Readers.
    pub(crate) connections: usize,
    /// Times that one connected again.
    pub(crate) reconnects: usize,
    /// The most that one reader did.
    pub(crate) most_reconnects: usize,
    /// Ends that were not the reader's own, by close code.
    pub(crate) closes: BTreeMap<u16, usize>,
    /// Between two connections, where there was such a time.
    pub(crate) away_ms: Option<Times>,
    /// Gaps that readers were told of.
    pub(crate) gaps: usize,
    /// Notifications accepted.
    pub(crate) accepted: usize,
    /// Calls refused, by code.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Calls that failed and were tried again, by why.
    pub(crate) retried: BTreeMap<String, usize>,
    /// Calls that never had an answer.
    pub(crate) unanswered: usize,
    /// Deliveries owed.
    pub(crate) expected: usize,
    /// Accepted, and never delivered.
    pub(crate) lost: Counted,
    /// Given to an application twice.
    pub(crate) duplicates: Counted,
    /// Out of order.
    pub(crate) disordered: Counted,
    /// Times of calls, retries included.
    pub(crate) rest_ms: Option<Times>,
    /// From when a send was due to its delivery, without replays.
    pub(crate) delivery_ms: Option<Times>,
    /// Whether the promise was kept.
    pub(crate) kept: bool,
}

/// A number of findings.
#[derive(Debug, Deserialize)]
pub(crate) struct Counted {
    /// How many.
    pub(crate) count: usize,
}

/// Percentiles in milliseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Times {
    /// Half of them.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

impl Load {
    /// Connects the readers, and sends until [`Self::finish`].
    ///
    /// # Errors
    /// When they do not come online.
    pub(crate) async fn start(entrance: &Entrance, sockets: usize, rate: usize) -> Result<Self> {
        // A broadcast every two seconds: each costs as much as there are sockets.
        let broadcast_every = (2 * rate).to_string();
        let more = ["--broadcast-every", &broadcast_every];
        Self::of("ledger", entrance, sockets, rate, &more).await
    }

    /// The same with readers that come and go, each time with another handshake.
    ///
    /// # Errors
    /// When they do not come online.
    pub(crate) async fn churn(entrance: &Entrance, users: usize, rate: usize) -> Result<Self> {
        Self::of("churn", entrance, users, rate, &["--stay", "1s..5s"]).await
    }

    async fn of(
        kind: &str,
        entrance: &Entrance,
        sockets: usize,
        rate: usize,
        more: &[&str],
    ) -> Result<Self> {
        let (users, rate) = (sockets.to_string(), rate.to_string());
        let (secret, key) = (entrance.file(SECRET), entrance.file(KEY));
        let words = [
            "bench",
            kind,
            "--json",
            "--url",
            &entrance.sockets,
            "--api",
            &entrance.rest,
            "--users",
            &users,
            "--rate",
            &rate,
            "--duration",
            "30m",
            "--settle",
            "90s",
            "--secret-file",
            &secret,
            "--key-file",
            &key,
        ];
        let before = entrance.online().await?;
        let dir = TempDir::new()?;
        let mut command = Command::new(crate::program("carillon")?);
        command
            .args(words)
            .args(more)
            .envs(entrance.trusted())
            .stdout(File::create(dir.path().join("verdict"))?)
            .stderr(File::create(dir.path().join("errors"))?);
        let child = Child::spawn(command).context("cannot start carillon bench")?;
        let load = Self { child, dir };
        eventually(
            "the readers are online",
            Duration::from_secs(120),
            async || {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let online = entrance.online().await?;
                ensure!(
                    online >= before + sockets as u64,
                    "{online} online, {before} before"
                );
                Ok(())
            },
        )
        .await?;
        // Some traffic in peace.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(load)
    }

    /// Ends the sending and answers with the verdict.
    ///
    /// # Errors
    /// When the generator failed otherwise than by finding a broken promise.
    pub(crate) async fn finish(self) -> Result<Report> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let printed = |name| fs::read_to_string(self.dir.path().join(name));
        let ended = self.child.status();
        ensure!(
            ended.is_none(),
            "carillon bench has ended by itself: {ended:?}\n{}",
            printed("errors").unwrap_or_default()
        );
        self.child.signal(libc::SIGINT);
        let status = self.child.wait(VERDICT_WITHIN).await?;
        serde_json::from_str(&printed("verdict")?).with_context(|| {
            format!(
                "carillon bench: {status}\n{}",
                printed("errors").unwrap_or_default()
            )
        })
    }
}

impl Report {
    /// The figures, before they are judged.
    pub(crate) fn describe(&self, figures: &mut Figures) {
        figures.row("sockets", self.connections);
        figures.row("accepted", self.accepted);
        figures.row("deliveries owed", self.expected);
        figures.row("lost", self.lost.count);
        figures.row("duplicates to the application", self.duplicates.count);
        figures.row("out of order", self.disordered.count);
        figures.row(
            "reconnects, most of one client",
            format!("{}, {}", self.reconnects, self.most_reconnects),
        );
        figures.row("closes", format!("{:?}", self.closes));
        figures.row("calls tried again", format!("{:?}", self.retried));
        for (name, times) in [
            ("client away", &self.away_ms),
            ("REST call, retries included", &self.rest_ms),
            ("delivery", &self.delivery_ms),
        ] {
            if let Some(Times {
                p50_ms,
                p99_ms,
                max_ms,
            }) = times
            {
                figures.row(
                    name,
                    format!("p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, max {max_ms:.0} ms"),
                );
            }
        }
    }

    /// Nothing lost, doubled or out of order; every call answered.
    ///
    /// # Errors
    /// What was broken.
    pub(crate) fn keeps_the_promise(&self) -> Result<()> {
        ensure!(self.kept, "the promise was broken: {self:?}");
        ensure!(self.duplicates.count == 0, "duplicates: {self:?}");
        ensure!(self.refused.is_empty(), "refused: {:?}", self.refused);
        ensure!(
            self.unanswered == 0,
            "{} calls without an answer",
            self.unanswered
        );
        ensure!(self.gaps == 0, "{} gaps", self.gaps);
        Ok(())
    }

    /// No call was answered 5xx, not even one that was tried again. A connection to the ingress that
    /// ended under a call, as its reload ends idle ones, is the ingress's own.
    ///
    /// # Errors
    /// Which was.
    pub(crate) fn no_call_failed(&self) -> Result<()> {
        let failed: Vec<_> = self
            .retried
            .iter()
            .filter(|(why, _)| *why != "connection")
            .collect();
        ensure!(failed.is_empty(), "calls failed: {failed:?} in {self:?}");
        Ok(())
    }

    /// Connections ended as planned alone, and no client had to come back more often than `most`.
    ///
    /// # Errors
    /// What else happened.
    pub(crate) fn closes_were_planned(&self, most: usize) -> Result<()> {
        let unplanned: Vec<_> = self
            .closes
            .iter()
            .filter(|(code, _)| !PLANNED.contains(code))
            .collect();
        ensure!(
            unplanned.is_empty(),
            "unplanned closes: {unplanned:?} in {self:?}"
        );
        ensure!(
            self.most_reconnects <= most,
            "a client came back {} times in {self:?}",
            self.most_reconnects
        );
        Ok(())
    }
}
