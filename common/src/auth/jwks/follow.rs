//! Keeps key sets up to date, beside everything else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::fetch::{Fetch, FetchError};
use super::source::{Fetched, Source};
use crate::telemetry::{JwksMetrics, Rarely};

/// Between two lines of the log about one set that cannot be fetched.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The sources that are followed; the tasks end with this.
pub(crate) struct Followers {
    fetch: Arc<dyn Fetch>,
    metrics: JwksMetrics,
    changed: Arc<Notify>,
    followed: Vec<Followed>,
}

struct Followed {
    source: Arc<Source>,
    _task: AbortOnDropHandle<()>,
}

impl Followers {
    /// Of nothing yet.
    pub(crate) fn new(fetch: Arc<dyn Fetch>, metrics: JwksMetrics) -> Self {
        Self {
            fetch,
            metrics,
            changed: Arc::new(Notify::new()),
            followed: Vec::new(),
        }
    }

    /// Follows these, and no others any more. Inside a runtime of tokio's.
    pub(crate) fn follow(&mut self, sources: &[Arc<Source>]) {
        let metrics = &self.metrics;
        self.followed.retain(|Followed { source, .. }| {
            let stays = sources.iter().any(|it| Arc::ptr_eq(it, source));
            if !stays {
                forget(metrics, &source.issuer);
            }
            stays
        });
        for source in sources {
            let is_known = |it: &Followed| Arc::ptr_eq(&it.source, source);
            if self.followed.iter().any(is_known) {
                continue;
            }
            let task = keep_up_to_date(
                source.clone(),
                self.fetch.clone(),
                self.metrics.clone(),
                self.changed.clone(),
            );
            self.followed.push(Followed {
                source: source.clone(),
                _task: AbortOnDropHandle::new(tokio::spawn(task)),
            });
        }
    }

    /// Waits until a set has come, or has changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Never ends.
async fn keep_up_to_date(
    source: Arc<Source>,
    fetch: Arc<dyn Fetch>,
    metrics: JwksMetrics,
    changed: Arc<Notify>,
) {
    let rarely = Rarely::new(TOLD_EVERY);
    let mut is_failing = false;
    loop {
        source.wait().await;
        match source.fetch(&*fetch).await {
            Ok(fetched) => {
                if fetched != Fetched::Same {
                    changed.notify_one();
                }
                count_success(&metrics, &source, fetched);
                if std::mem::take(&mut is_failing) || fetched == Fetched::First {
                    let (issuer, host) = (&*source.issuer, source.host());
                    tracing::info!(issuer, host, "the issuer's keys were fetched");
                }
            }
            Err(error) => {
                is_failing = true;
                count(&metrics, &source, error.kind());
                tell(&source, &error, &rarely);
            }
        }
    }
}

fn count(metrics: &JwksMetrics, source: &Source, result: &str) {
    let labels = [&*source.issuer, result];
    metrics.fetches.with_label_values(&labels).inc();
}

fn count_success(metrics: &JwksMetrics, source: &Source, fetched: Fetched) {
    let result = match fetched {
        Fetched::Same => "unchanged",
        Fetched::First | Fetched::Changed => "changed",
    };
    count(metrics, source, result);
    let set = source.set();
    let (usable, passed_over) = set.map_or((0, 0), |set| (set.keys.len(), set.passed_over));
    for (use_, keys) in [("usable", usable), ("passed_over", passed_over)] {
        let gauge = metrics.keys.with_label_values(&[&*source.issuer, use_]);
        gauge.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let fetched_at = metrics.fetched_at.with_label_values(&[&*source.issuer]);
    fetched_at.set(i64::try_from(now).unwrap_or(i64::MAX));
}

/// Takes the series of a set that nobody names any more away: its age would alarm for ever.
fn forget(metrics: &JwksMetrics, issuer: &str) {
    let gone = [
        metrics.fetched_at.remove_label_values(&[issuer]),
        metrics.keys.remove_label_values(&[issuer, "usable"]),
        metrics.keys.remove_label_values(&[issuer, "passed_over"]),
    ];
    if gone.iter().any(Result::is_err) {
        tracing::debug!(issuer, "a key set went before it had come");
    }
}

fn tell(source: &Source, error: &FetchError, rarely: &Rarely) {
    let Some(untold) = rarely.allowed(Instant::now()) else {
        return;
    };
    let (issuer, host) = (&*source.issuer, source.host());
    let meanwhile = match source.set() {
        Some(_) => "those that were fetched last stay in force",
        None => "its tokens are refused until they are there",
    };
    tracing::warn!(
        issuer,
        host,
        untold,
        "the issuer's keys cannot be fetched: {error}; {meanwhile}"
    );
}
