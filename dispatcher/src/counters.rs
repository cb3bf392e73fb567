//! What the service counts.

use std::{collections::HashSet, time::Duration};

use carillon_common::{
    backend::{AccountKind, BackendError, Sent},
    telemetry::metrics::DispatcherMetrics,
};
use http::StatusCode;
use parking_lot::Mutex;

use crate::{
    allowance,
    error::ApiError,
    paths::{BROADCAST, SEND},
};

/// Senders that are told apart; a metric has a series for each.
const SENDERS: usize = 100;

/// The dispatcher's metrics, by what happened.
pub(crate) struct Counters {
    metrics: DispatcherMetrics,
    /// Names of API keys that were counted under their own.
    senders: Mutex<HashSet<String>>,
}

/// A request that is being answered.
pub(crate) struct UnderWay<'a>(&'a Counters);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.metrics.http_in_flight.dec();
    }
}

impl Counters {
    /// `limit`: requests that may be under way.
    pub(crate) fn new(metrics: DispatcherMetrics, limit: usize) -> Self {
        metrics
            .http_limit
            .set(i64::try_from(limit).unwrap_or(i64::MAX));
        // There before the first: an alert on their growth needs a zero to grow from.
        for route in [SEND, BROADCAST] {
            for code in ["200", "500", "503"] {
                metrics.http_requests.with_label_values(&[route, code]);
            }
        }
        for limit in [AccountKind::Service, AccountKind::User] {
            let limit = [allowance::name_of(limit)];
            metrics.rate_limited.with_label_values(&limit);
        }
        for result in ["answered", "failed"] {
            metrics.borrowed.with_label_values(&[result]);
        }
        Self {
            metrics,
            senders: Mutex::default(),
        }
    }

    /// A request came; it is under way until this is dropped, also when its caller leaves.
    pub(crate) fn under_way(&self) -> UnderWay<'_> {
        self.metrics.http_in_flight.inc();
        UnderWay(self)
    }

    /// An answered request, and what the answer took.
    pub(crate) fn request(&self, route: &str, status: StatusCode, took: Duration) {
        let labels = [route, status.as_str()];
        self.metrics.http_requests.with_label_values(&labels).inc();
        let duration = self.metrics.http_duration.with_label_values(&[route]);
        duration.observe(took.as_secs_f64());
    }

    /// A request that is answered with a problem.
    pub(crate) fn refusal(&self, error: &ApiError) {
        let code = [error.code()];
        self.metrics.problems.with_label_values(&code).inc();
        if let ApiError::RateLimited(limited) = error {
            let limit = [limited.limit()];
            self.metrics.rate_limited.with_label_values(&limit).inc();
        }
        if matches!(
            error,
            ApiError::NoApiKeys
                | ApiError::Unauthenticated(_)
                | ApiError::TokenRefused(_)
                | ApiError::KeysAwaited
                | ApiError::InsufficientScope(_)
                | ApiError::UserForbidden(_)
                | ApiError::ChannelForbidden(_)
                | ApiError::UserOutOfReach(_)
                | ApiError::ChannelOutOfReach(_)
        ) {
            let reason = [error.code()];
            self.metrics.auth_failures.with_label_values(&reason).inc();
        }
    }

    /// A send of the API key `sender` that the store answered, or did not, after so long.
    pub(crate) fn send(&self, sender: &str, answer: Result<&Sent, &BackendError>, took: Duration) {
        let outcome = outcome(answer);
        let labels = [outcome, self.known(sender)];
        self.metrics.sends.with_label_values(&labels).inc();
        if let Ok(sent) = answer
            && sent.due.is_none()
        {
            self.metrics.send_devices.observe(f64::from(sent.devices));
        }
        let duration = self.metrics.send_duration.with_label_values(&[outcome]);
        duration.observe(took.as_secs_f64());
    }

    /// One that waited for its time was cancelled.
    pub(crate) fn cancelled(&self) {
        self.metrics.scheduled_cancelled.inc();
    }

    /// The name to count a sender under.
    fn known<'a>(&self, sender: &'a str) -> &'a str {
        let mut senders = self.senders.lock();
        if senders.contains(sender) {
            return sender;
        }
        if senders.len() >= SENDERS {
            return "other";
        }
        senders.insert(sender.to_owned());
        sender
    }
}

fn outcome(answer: Result<&Sent, &BackendError>) -> &'static str {
    match answer {
        Ok(sent) if sent.repeated => "duplicate",
        Ok(sent) if sent.due.is_some() => "scheduled",
        Ok(sent) if sent.devices > 0 => "routed",
        Ok(sent) if sent.cursor.is_none() => "dropped",
        Ok(_) => "queued",
        Err(
            BackendError::InboxFull
            | BackendError::IdempotencyMismatch
            | BackendError::TooManyScheduled
            | BackendError::NotThen,
        ) => "refused",
        Err(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_told_apart_up_to_a_number() {
        let counters = Counters::new(DispatcherMetrics::new(), 1);
        for at in 0..SENDERS {
            let sender = format!("key-{at}");
            assert_eq!(counters.known(&sender), sender);
        }
        assert_eq!(counters.known("one-more"), "other");
        assert_eq!(counters.known("key-0"), "key-0");
    }

    #[test]
    fn a_request_whose_caller_leaves_is_no_longer_under_way() {
        let counters = Counters::new(DispatcherMetrics::new(), 1);
        let under_way = counters.under_way();
        assert_eq!(counters.metrics.http_in_flight.get(), 1);
        drop(under_way);
        assert_eq!(counters.metrics.http_in_flight.get(), 0);
    }
}
