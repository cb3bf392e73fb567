//! The log of failed requests: each says once why, but an outage does not fill the log.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use carillon_common::{backend::clock::local_now, ids::Millis};
use http::HeaderValue;

use crate::error::ApiError;

/// At most one line in so many milliseconds.
const INTERVAL_MS: Millis = 1000;

/// Writes a line a second about failures whose reason callers are not told.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    next: AtomicI64,
    passed_over: AtomicU64,
}

impl FailureLog {
    /// Tells of a failure if it has a reason that only the log may say.
    pub(crate) fn log(&self, error: &ApiError, request_id: &HeaderValue) {
        let Some(reason) = error.internal_reason() else {
            return;
        };
        let Some(passed_over) = self.turn(local_now()) else {
            return;
        };
        let request_id = request_id.to_str().unwrap_or_default();
        let code = error.code();
        if error.is_defect() {
            tracing::error!(code, %reason, request_id, passed_over, "a request failed");
        } else {
            tracing::warn!(code, %reason, request_id, passed_over, "a request failed");
        }
    }

    /// How many failures were passed over since the last line, if it is time for another.
    fn turn(&self, now: Millis) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let mine = now >= next
            && self
                .next
                .compare_exchange(
                    next,
                    now + INTERVAL_MS,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if mine {
            Some(self.passed_over.swap(0, Ordering::Relaxed))
        } else {
            self.passed_over.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_counts_what_was_passed_over() {
        let log = FailureLog::default();
        let turns: Vec<_> = [5000, 5001, 5999, 6000, 9000]
            .map(|now| log.turn(now))
            .into();
        assert_eq!(turns, [Some(0), None, None, Some(2), Some(0)]);
    }
}
