//! The log of failed requests: each says once why, but an outage does not fill the log.

use std::time::Duration;

use carillon_common::telemetry::Rarely;
use http::HeaderValue;
use tokio::time::Instant;

use crate::error::ApiError;

/// Writes a line a second about failures whose reason callers are not told.
#[derive(Debug)]
pub(crate) struct FailureLog(Rarely);

impl Default for FailureLog {
    fn default() -> Self {
        Self(Rarely::new(Duration::from_secs(1)))
    }
}

impl FailureLog {
    /// Logs a failure if it has a reason that only the log may say.
    pub(crate) fn log(&self, error: &ApiError, request_id: &HeaderValue) {
        let Some(reason) = error.internal_reason() else {
            return;
        };
        let Some(passed_over) = self.0.allowed(Instant::now()) else {
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
}
