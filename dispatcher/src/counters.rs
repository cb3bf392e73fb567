//! What the service counts.

use std::time::Duration;

use carillon_common::{
    backend::{BackendError, Sent},
    telemetry::metrics::DispatcherMetrics,
};
use http::StatusCode;

use crate::error::ApiError;

/// The dispatcher's metrics, by what happened.
#[derive(Clone)]
pub(crate) struct Counters(DispatcherMetrics);

impl Counters {
    pub(crate) fn new(metrics: DispatcherMetrics) -> Self {
        Self(metrics)
    }

    /// An answered request.
    pub(crate) fn request(&self, route: &str, status: StatusCode) {
        let labels = [route, status.as_str()];
        self.0.http_requests.with_label_values(&labels).inc();
    }

    /// A request that was refused before it came to the store.
    pub(crate) fn refusal(&self, error: &ApiError) {
        if matches!(
            error,
            ApiError::NoApiKeys | ApiError::Unauthenticated(_) | ApiError::InsufficientScope(_)
        ) {
            let reason = [error.code()];
            self.0.auth_failures.with_label_values(&reason).inc();
        }
    }

    /// A send that the store answered, or did not, after so long.
    pub(crate) fn send(&self, answer: Result<&Sent, &BackendError>, took: Duration) {
        let outcome = [outcome(answer)];
        self.0.sends.with_label_values(&outcome).inc();
        self.0
            .send_duration
            .with_label_values(&outcome)
            .observe(took.as_secs_f64());
    }
}

fn outcome(answer: Result<&Sent, &BackendError>) -> &'static str {
    match answer {
        Ok(sent) if sent.repeated => "duplicate",
        Ok(sent) if sent.devices > 0 => "routed",
        Ok(sent) if sent.cursor.is_none() => "dropped",
        Ok(_) => "queued",
        Err(BackendError::InboxFull | BackendError::IdempotencyMismatch) => "refused",
        Err(_) => "failed",
    }
}
