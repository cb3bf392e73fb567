//! What answers: what every route works with.

use std::sync::Arc;

use carillon_common::{
    auth::Keyring,
    backend::{Backend, Clock},
    process::Process,
    settings::Settings,
    telemetry::Spans,
};
use tokio::{sync::Semaphore, time::Instant};
use uuid::Uuid;

use crate::{
    counters::Counters, dispatch::Stamp, extract::Bodies, failures::FailureLog, pods::Names,
};

/// Requests at once; with the bound on a body, it bounds what they hold. Beyond it: 503.
pub(crate) const MAX_UNDER_WAY: usize = 4096;

/// The REST service over a store.
pub(crate) struct App {
    pub(crate) settings: Arc<Settings>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keyring: Keyring,
    pub(crate) under_way: Semaphore,
    pub(crate) bodies: Bodies,
    pub(crate) failures: FailureLog,
    pub(crate) counters: Counters,
    pub(crate) pods: Names,
    pub(crate) spans: Spans,
    clock: Clock,
}

impl App {
    pub(crate) fn new(process: &Process, backend: Arc<dyn Backend>) -> Self {
        let metrics = process.metrics.dispatcher.clone();
        Self {
            keyring: process.keyring.clone(),
            clock: backend.clock(),
            under_way: Semaphore::new(MAX_UNDER_WAY),
            bodies: Bodies::new(&process.settings.dispatcher),
            failures: FailureLog::default(),
            counters: Counters::new(metrics, MAX_UNDER_WAY),
            pods: Names::default(),
            spans: process.spans.clone(),
            settings: process.settings.clone(),
            backend,
        }
    }

    /// Until when the store is tried for a request that ends at `deadline`.
    pub(crate) fn store_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.settings.dispatcher.store_timeout)
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            now: self.clock.now(),
            fresh_id: Uuid::now_v7(),
        }
    }
}
