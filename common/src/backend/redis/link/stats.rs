//! What becomes of calls, as the metrics tell it.

use super::error::LinkError;
use crate::telemetry::RedisMetrics;

/// Why calls fail, as a label.
const KINDS: [&str; 5] = [
    "unavailable",
    "unknown",
    "refused",
    "misshapen",
    "too_few_replicas",
];

/// Counters from zero. Every kind of failure is there before the first: an alert on its growth needs a
/// zero to grow from.
pub(super) fn counters() -> RedisMetrics {
    let metrics = RedisMetrics::new();
    for kind in KINDS {
        metrics.errors.with_label_values(&[kind]);
    }
    metrics
}

/// Counts a result that goes to the caller and hands it on.
pub(crate) fn observe<T>(
    metrics: &RedisMetrics,
    result: Result<T, LinkError>,
) -> Result<T, LinkError> {
    metrics.calls.inc();
    if let Err(error) = &result {
        let [unavailable, unknown, refused, misshapen, too_few_replicas] = KINDS;
        let kind = match error {
            LinkError::Unavailable(_) => unavailable,
            LinkError::Unknown { .. } => unknown,
            LinkError::Server { .. } => refused,
            LinkError::Shape(_) => misshapen,
            LinkError::TooFewReplicas { .. } => too_few_replicas,
        };
        metrics.errors.with_label_values(&[kind]).inc();
    }
    result
}
