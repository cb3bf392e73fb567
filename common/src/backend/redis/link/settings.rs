//! How a link behaves.

use std::time::Duration;

use backon::ExponentialBackoff;

use crate::retry::pauses;

/// How a link behaves. The default suits production; tests shorten the times.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// How many partitions the keys live in. Fixed for the life of a deployment.
    pub partitions: u16,
    /// The most time to open a connection, name resolution, TLS and log-in included.
    pub connect_timeout: Duration,
    /// The most time from sending a command to its answer.
    pub response_timeout: Duration,
    /// How often Sentinel and Cluster are asked for the topology without cause.
    pub refresh_interval: Duration,
    /// The first pause after a failed attempt to connect.
    pub backoff_min: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
    /// Calls to one primary at a time; one more is refused as unavailable.
    pub max_in_flight: usize,
    /// Connections per primary that commit durable calls.
    pub commit_connections: usize,
    /// Durable calls that may wait for a commit per primary; one more is refused as unavailable.
    pub commit_queue: usize,
    /// Durable calls in one commit.
    pub commit_batch: usize,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            partitions: 64,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            refresh_interval: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            max_in_flight: 16_384,
            commit_connections: 2,
            commit_queue: 4_096,
            commit_batch: 64,
        }
    }
}

/// What failed again and again: how long to pause before the next try.
#[derive(Debug, Default)]
pub(crate) struct Failures(Option<ExponentialBackoff>);

impl Failures {
    /// Whether nothing has failed since it last succeeded.
    pub(crate) fn none(&self) -> bool {
        self.0.is_none()
    }

    /// One more.
    pub(crate) fn pause(&mut self, settings: &LinkSettings) -> Duration {
        let (first, most) = (settings.backoff_min, settings.backoff_max);
        let pauses = self.0.get_or_insert_with(|| pauses(first, most));
        pauses.next().unwrap_or(most)
    }
}
