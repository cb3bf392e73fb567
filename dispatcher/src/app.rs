//! What answers: what every route works with.

use std::sync::Arc;

use carillon_common::{
    auth::Keyring,
    backend::{Backend, Clock},
    http::RefusedOrigins,
    ids::UserId,
    process::Process,
    rate::{Rate, Rates},
    settings::{LiveSettings, Settings},
    telemetry::Spans,
};
use tokio::{sync::Semaphore, time::Instant};
use uuid::Uuid;

use crate::{
    allowance::Allowance, counters::Counters, dispatch::Stamp, error::ApiError, extract::Bodies,
    failures::FailureLog, firing::Firing, pods::Names,
};

/// Requests at once; with the bound on a body, it bounds what they hold. Beyond it: 503.
pub(crate) const MAX_UNDER_WAY: usize = 4096;

/// Notifications of requests with several that the store is given at once, all requests' together.
pub(crate) const SEVERAL_UNDER_WAY: usize = 4096;

/// Questions to all gateways at once: the words that wait for one are bounded, and others must not be crowded out.
pub(crate) const ROLL_CALLS_UNDER_WAY: usize = 8;

/// The REST service over a store.
pub(crate) struct App {
    pub(crate) settings: Arc<Settings>,
    pub(crate) live: LiveSettings,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keyring: Keyring,
    pub(crate) under_way: Semaphore,
    pub(crate) several: Semaphore,
    pub(crate) roll_calls: Semaphore,
    pub(crate) bodies: Bodies,
    of_users: Rates<UserId>,
    pub(crate) allowance: Allowance,
    pub(crate) failures: FailureLog,
    pub(crate) firing: Firing,
    pub(crate) counters: Counters,
    pub(crate) pods: Names,
    pub(crate) refused_origins: RefusedOrigins,
    pub(crate) spans: Spans,
    clock: Clock,
}

impl App {
    pub(crate) fn new(process: &Process, backend: Arc<dyn Backend>) -> Self {
        let metrics = process.metrics.dispatcher.clone();
        process.keyring.follow(backend.revocations());
        let allowance = Allowance::new(
            process.live.clone(),
            process.keyring.clone(),
            backend.clone(),
            metrics.clone(),
        );
        Self {
            allowance,
            keyring: process.keyring.clone(),
            clock: backend.clock(),
            under_way: Semaphore::new(MAX_UNDER_WAY),
            several: Semaphore::new(SEVERAL_UNDER_WAY),
            roll_calls: Semaphore::new(ROLL_CALLS_UNDER_WAY),
            bodies: Bodies::new(&process.settings.dispatcher),
            of_users: Rates::new(of_user(process.settings.dispatcher.requests_per_user)),
            failures: FailureLog::default(),
            firing: Firing::new(backend.clone(), metrics.clone()),
            counters: Counters::new(metrics, MAX_UNDER_WAY),
            pods: Names::default(),
            refused_origins: RefusedOrigins::default(),
            spans: process.spans.clone(),
            settings: process.settings.clone(),
            live: process.live.clone(),
            backend,
        }
    }

    /// Until when the store is tried for a request that ends at `deadline`.
    pub(crate) fn store_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.settings.dispatcher.store_timeout)
    }

    /// Counts a request of a user's page.
    ///
    /// # Errors
    /// It is one too many.
    pub(crate) fn count_request(&self, user: &UserId) -> Result<(), ApiError> {
        let most = self.live.current().dispatcher.requests_per_user;
        self.of_users.set(of_user(most));
        match self.of_users.take(user, Instant::now()) {
            true => Ok(()),
            false => Err(ApiError::TooManyRequests(most)),
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            now: self.clock.now(),
            fresh_id: Uuid::now_v7(),
        }
    }
}

/// What a page asks for as it is opened comes at once.
fn of_user(per_second: u32) -> Rate {
    Rate::new(per_second, per_second.saturating_mul(3))
}
