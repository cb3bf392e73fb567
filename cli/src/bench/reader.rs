//! One reader: a device of a user that stays connected, or comes and goes.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use carillon_client::{Event, Follower, Notification};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    latency::Latencies,
    ledger::{Ledger, ReaderId},
};
use crate::failure::Failure;

/// What the readers and senders of a run share.
pub(super) struct Shared {
    pub(super) run: String,
    pub(super) started: Instant,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) delivery: Mutex<Latencies>,
    pub(super) connected: AtomicUsize,
    pub(super) reconnects: AtomicUsize,
    /// The most that one reader came back.
    pub(super) most_reconnects: AtomicUsize,
    /// How connections ended that were not cut here, by close code.
    pub(super) closes: Mutex<BTreeMap<u16, usize>>,
    /// From a connection's end to the next one's welcome.
    pub(super) away: Mutex<Latencies>,
    pub(super) gaps: AtomicUsize,
    /// Coming and going has ended: whoever is connected stays.
    pub(super) settled: CancellationToken,
}

/// What a sender writes into `data`, for the readers.
#[derive(Debug, serde::Serialize, Deserialize)]
pub(super) struct Stamp {
    /// The run.
    pub(super) bench: String,
    /// When it was to be sent, in microseconds since the run began: a sender that is late must not
    /// flatter the service.
    pub(super) due_us: u64,
}

impl Shared {
    pub(super) fn new(run: String) -> Arc<Self> {
        Arc::new(Self {
            run,
            started: Instant::now(),
            ledger: Mutex::default(),
            delivery: Mutex::default(),
            connected: AtomicUsize::new(0),
            reconnects: AtomicUsize::new(0),
            most_reconnects: AtomicUsize::new(0),
            closes: Mutex::default(),
            away: Mutex::default(),
            gaps: AtomicUsize::new(0),
            settled: CancellationToken::new(),
        })
    }

    /// A reader that had `before` connections has another one.
    fn on_connected(&self, before: usize, gone_at: Option<Instant>) {
        if before == 0 {
            self.connected.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        self.most_reconnects.fetch_max(before, Ordering::Relaxed);
        // One that moved had its next connection before the end of the last.
        if let Some(gone_at) = gone_at {
            self.away.lock().note(gone_at.elapsed());
        }
    }

    fn on_notification(&self, reader: ReaderId, notification: &Notification) {
        let stamp = notification
            .data
            .as_ref()
            .and_then(|data| serde_json::from_str(data.get()).ok());
        let Some(Stamp { bench, due_us }) = stamp else {
            return;
        };
        if bench != self.run {
            return;
        }
        // A replayed one waited for its reader, not for the service.
        if !notification.replayed {
            let due = self.started + Duration::from_micros(due_us);
            self.delivery
                .lock()
                .note(Instant::now().saturating_duration_since(due));
        }
        self.ledger
            .lock()
            .received(reader, notification.id.as_str());
    }
}

/// Reads until `stop`. With `stay`, each connection is cut after a time of that range, until the
/// run settles.
pub(super) async fn read(
    shared: Arc<Shared>,
    id: ReaderId,
    mut follower: Follower,
    stay: Option<RangeInclusive<Duration>>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let mut connections = 0;
    let (mut cut_at, mut gone_at) = (None, None);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            () = until(cut_at) => {
                cut_at = None;
                if !shared.settled.is_cancelled() {
                    follower.cut();
                    gone_at = Some(Instant::now());
                }
                continue;
            }
            event = follower.next() => event?,
        };
        match event {
            Event::Connected { .. } => {
                shared.on_connected(connections, gone_at.take());
                connections += 1;
                cut_at = stay
                    .clone()
                    .map(|stay| Instant::now() + rand::random_range(stay));
            }
            Event::Notification(notification) => {
                shared.on_notification(id, &notification);
                follower.handled(&notification).await;
            }
            Event::Gap { .. } => {
                shared.gaps.fetch_add(1, Ordering::Relaxed);
            }
            Event::Refused { code, message } => {
                return Err(Failure::Failed(format!(
                    "a reader was refused: {message} ({code})"
                )));
            }
            Event::Disconnected { code, .. } => {
                cut_at = None;
                gone_at = gone_at.or_else(|| Some(Instant::now()));
                if let Some(code) = code {
                    *shared.closes.lock().entry(code).or_default() += 1;
                }
            }
            Event::TokenExpiring { .. } => cut_at = None,
            _ => {}
        }
    }
    follower.close().await;
    Ok(())
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
