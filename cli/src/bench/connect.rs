//! How fast, and how many: opens connections on schedule and keeps them.

use std::{sync::Arc, time::Duration};

use carillon_client::{Control, Error, Incoming, Socket, Target, tls};
use carillon_common::settings::IssuerSettings;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    check_descriptors,
    latency::{Latencies, Percentiles},
    report::{row, shown},
    token, user,
};
use crate::{
    failure::Failure,
    terminal::{Progress, Style},
};

/// Handshakes under way at once; beyond it the schedule waits, and the wait counts.
const HANDSHAKES: usize = 1024;

/// A connection that is only kept alive is none.
const WELCOME_WITHIN: Duration = Duration::from_secs(60);

/// What is run.
pub(crate) struct ConnectPlan {
    pub(crate) urls: Vec<Url>,
    pub(crate) issuer: IssuerSettings,
    pub(crate) connections: usize,
    /// Connections a second.
    pub(crate) rate: f64,
    /// How long they are kept after the last one.
    pub(crate) hold: Duration,
    pub(crate) progress: bool,
}

/// What a run showed.
pub(crate) struct Connected {
    asked: usize,
    refused: usize,
    first_refusal: Option<String>,
    /// Ended while they were to be kept.
    dropped: usize,
    seconds: f64,
    times: Option<Percentiles>,
}

/// From the scheduled time to the welcome, or why not; then whether it was kept.
struct One {
    welcomed: Result<Duration, String>,
    kept: bool,
}

/// Opens the connections, keeps them, closes them.
///
/// # Errors
/// When the tokens cannot be made, or this process may not open so many sockets.
pub(crate) async fn connect(plan: ConnectPlan) -> Result<Connected, Failure> {
    check_descriptors(plan.connections)?;
    let run = super::run_name();
    let progress = Progress::new(plan.progress);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let stop = CancellationToken::new();
    let began = Instant::now();
    // Held by every handshake that is under way; nothing is sent.
    let (under_way, mut none_left) = mpsc::channel::<()>(1);
    let mut all = JoinSet::new();
    let tls = tls::client();
    for n in 0..plan.connections {
        let due = began + Duration::from_secs_f64(n as f64 / plan.rate);
        let target = Target {
            urls: plan.urls.clone(),
            token: token(&plan.issuer, &user(&run, n))?,
            device: None,
            tls: tls.clone(),
        };
        sleep_until(due).await;
        all.spawn(one(
            target,
            due,
            handshakes.clone(),
            under_way.clone(),
            stop.clone(),
        ));
        if n % 100 == 0 {
            progress.show(&format!("connecting {n}/{}", plan.connections));
        }
    }
    drop(under_way);
    none_left.recv().await;
    let seconds = began.elapsed().as_secs_f64();
    progress.show(&format!("holding {}", plan.connections));
    tokio::time::sleep(plan.hold).await;
    stop.cancel();
    drop(progress);
    Ok(tally(plan.connections, seconds, all.join_all().await))
}

async fn one(
    target: Target,
    due: Instant,
    handshakes: Arc<Semaphore>,
    under_way: mpsc::Sender<()>,
    stop: CancellationToken,
) -> One {
    let permit = handshakes.acquire().await;
    let socket = welcomed(&target).await;
    let time = due.elapsed();
    drop((permit, under_way));
    let mut socket = match socket {
        Ok(socket) => socket,
        Err(why) => {
            return One {
                welcomed: Err(why),
                kept: false,
            };
        }
    };
    let kept = tokio::select! {
        () = stop.cancelled() => true,
        () = ended(&mut socket) => false,
    };
    if kept {
        socket.close().await;
    }
    One {
        welcomed: Ok(time),
        kept,
    }
}

async fn welcomed(target: &Target) -> Result<Socket, String> {
    let mut socket = match Socket::open(target, None, None).await {
        Ok(socket) => socket,
        Err(Error::Unreachable { why, .. }) => return Err(why),
        Err(error) => return Err(Failure::from(error).to_string()),
    };
    let welcome = async {
        loop {
            match socket.next().await {
                Incoming::Control(Control::Welcome { .. }) => return Ok(()),
                Incoming::End { code, reason } => {
                    return Err(format!("closed with {code} {reason}"));
                }
                _ => {}
            }
        }
    };
    match timeout(WELCOME_WITHIN, welcome).await {
        Ok(result) => result.map(|()| socket),
        Err(_) => Err(format!("no welcome within {WELCOME_WITHIN:?}")),
    }
}

async fn ended(socket: &mut Socket) {
    while !matches!(socket.next().await, Incoming::End { .. }) {}
}

fn tally(asked: usize, seconds: f64, all: Vec<One>) -> Connected {
    let mut times = Latencies::default();
    let mut told = Connected {
        asked,
        refused: 0,
        first_refusal: None,
        dropped: 0,
        seconds,
        times: None,
    };
    for one in all {
        match one.welcomed {
            Ok(time) => {
                times.note(time);
                told.dropped += usize::from(!one.kept);
            }
            Err(why) => {
                told.refused += 1;
                told.first_refusal.get_or_insert(why);
            }
        }
    }
    told.times = times.percentiles();
    told
}

impl Connected {
    /// Whether each connection was made and kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.refused == 0 && self.dropped == 0
    }

    /// One JSON object.
    pub(crate) fn json(&self) -> Value {
        json!({
            "bench": "connect",
            "asked": self.asked,
            "connected": self.asked - self.refused,
            "refused": self.refused,
            "first_refusal": self.first_refusal,
            "dropped": self.dropped,
            "seconds": self.seconds,
            "welcome_ms": self.times,
        })
    }

    /// A table.
    pub(crate) fn table(&self, style: Style) -> String {
        let connected = self.asked - self.refused;
        let rate = connected as f64 / self.seconds.max(f64::EPSILON);
        let mut lines = vec![row(
            "connected",
            format!(
                "{connected} of {} in {:.1} s, {rate:.0}/s",
                self.asked, self.seconds
            ),
        )];
        lines.extend(
            self.times
                .as_ref()
                .map(|times| row("to welcome", shown(times))),
        );
        if let Some(why) = &self.first_refusal {
            lines.push(row(
                "refused",
                style.red(&format!("{}, first: {why}", self.refused)),
            ));
        }
        if self.dropped > 0 {
            lines.push(row("dropped", style.red(&self.dropped.to_string())));
        }
        lines.join("\n")
    }
}
