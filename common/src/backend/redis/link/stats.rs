//! Counters of a link, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::LinkError;
use super::faults::Faults;
use crate::backend::FaultKind;

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
    /// Calls that failed, in the order of [`FaultKind::ALL`].
    errors: [Counter; FaultKind::ALL.len()],
    /// What keeps the store from serving.
    pub(crate) faults: Faults,
}

impl LinkStats {
    /// Counts a result that goes to the caller and hands it on; a fault in it is told.
    pub(crate) fn observe<T>(&self, result: Result<T, LinkError>) -> Result<T, LinkError> {
        let result = self.count(result);
        if let Err(error) = &result {
            self.faults.tell(error);
        }
        result
    }

    /// The same for a question whose refusal is an answer.
    pub(crate) fn count<T>(&self, result: Result<T, LinkError>) -> Result<T, LinkError> {
        self.calls.bump();
        match &result {
            Ok(_) => {}
            Err(LinkError::Unavailable(_) | LinkError::Refused(_)) => self.unavailable.bump(),
            Err(LinkError::Unknown { .. }) => self.unknown.bump(),
            Err(LinkError::Server { .. }) => self.refused.bump(),
            Err(LinkError::Shape(_)) => self.misshapen.bump(),
            Err(LinkError::TooFewReplicas { .. }) => self.too_few_replicas.bump(),
        }
        if let Err(error) = &result {
            let place = FaultKind::ALL.iter().position(|kind| *kind == error.kind());
            if let Some(counter) = place.and_then(|at| self.errors.get(at)) {
                counter.bump();
            }
        }
        result
    }

    /// How many calls failed of each kind.
    pub fn errors(&self) -> impl Iterator<Item = (FaultKind, u64)> {
        FaultKind::ALL
            .into_iter()
            .zip(self.errors.iter().map(Counter::get))
    }

    /// What keeps the store from serving now, in the words for an operator.
    pub fn faults(&self) -> Vec<String> {
        self.faults.now()
    }
}
