//! Counters of a link, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::LinkError;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn bump(&self) {
        self.add(1);
    }
}

/// What a link has done since it was made.
#[derive(Debug, Default)]
pub struct LinkStats {
    /// Calls, pipelines and durable calls asked for.
    pub calls: Counter,
    /// Failed because nothing could be sent.
    pub unavailable: Counter,
    /// Failed without an answer.
    pub unknown: Counter,
    /// Refused by the server.
    pub refused: Counter,
    /// Replied to in an unexpected shape.
    pub misshapen: Counter,
    /// Confirmed by too few replicas.
    pub too_few_replicas: Counter,
    /// MOVED and ASK answers followed.
    pub redirects: Counter,
    /// Connections opened, of every kind.
    pub connects: Counter,
    /// Attempts to open one that failed.
    pub connect_failures: Counter,
    /// Refreshes that found another topology.
    pub topology_changes: Counter,
    /// Refreshes that failed.
    pub refresh_failures: Counter,
    /// Group commits, each one WAIT.
    pub commits: Counter,
    /// Commands in those commits.
    pub committed: Counter,
}

impl LinkStats {
    /// Counts a result that goes to the caller and hands it on.
    pub(crate) fn observe<T>(&self, result: Result<T, LinkError>) -> Result<T, LinkError> {
        self.calls.bump();
        match &result {
            Ok(_) => {}
            Err(LinkError::Unavailable(_)) => self.unavailable.bump(),
            Err(LinkError::Unknown { .. }) => self.unknown.bump(),
            Err(LinkError::Server { .. }) => self.refused.bump(),
            Err(LinkError::Shape(_)) => self.misshapen.bump(),
            Err(LinkError::TooFewReplicas { .. }) => self.too_few_replicas.bump(),
        }
        result
    }
}
