//! What becomes of calls, as the metrics tell it.

use std::ops::Deref;

use super::{error::LinkError, faults::Faults};
use crate::{backend::FaultKind, telemetry::RedisMetrics};

/// What a link has done since it was made.
pub struct LinkStats {
    metrics: RedisMetrics,
    /// What keeps the store from serving.
    pub(crate) faults: Faults,
}

impl Deref for LinkStats {
    type Target = RedisMetrics;

    fn deref(&self) -> &RedisMetrics {
        &self.metrics
    }
}

impl Default for LinkStats {
    /// From zero. Every kind of failure is there before the first: an alert on its growth needs a zero
    /// to grow from.
    fn default() -> Self {
        let metrics = RedisMetrics::new();
        for kind in FaultKind::ALL {
            metrics.errors.with_label_values(&[kind.as_str()]);
        }
        let faults = Faults::default();
        Self { metrics, faults }
    }
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
        self.calls.inc();
        if let Err(error) = &result {
            let kind = error.kind().as_str();
            self.errors.with_label_values(&[kind]).inc();
        }
        result
    }

    /// What keeps the store from serving now, in the words for an operator.
    pub fn faults(&self) -> Vec<String> {
        self.faults.now()
    }
}
