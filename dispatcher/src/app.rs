//! The service put together.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use axum::Router;
use carillon_common::{
    auth::ApiKeys,
    backend::{Backend, Clock},
    settings::{Settings, SettingsErrors},
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{dispatch::Stamp, failures::FailureLog, router::router, serve::serve};

/// Requests at once; with the bound on a body, it bounds what they hold. Beyond it: 503.
const MAX_UNDER_WAY: usize = 4096;

/// The REST service over a store.
pub struct App {
    service: Arc<Service>,
}

/// What the routes work with.
pub(crate) struct Service {
    pub(crate) settings: Arc<Settings>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keys: ApiKeys,
    pub(crate) under_way: Semaphore,
    pub(crate) failures: FailureLog,
    clock: Clock,
}

impl App {
    /// # Errors
    /// API keys that are not in order.
    pub fn new(settings: Arc<Settings>, backend: Arc<dyn Backend>) -> Result<Self, SettingsErrors> {
        let keys = ApiKeys::new(&settings.auth.api_keys).map_err(SettingsErrors)?;
        if keys.is_empty() {
            tracing::warn!(
                "no API key is configured, so every call is refused: make one with `carillon \
                 apikey new` and put it into [[auth.api_keys]]"
            );
        }
        let service = Service {
            keys,
            clock: backend.clock(),
            under_way: Semaphore::new(MAX_UNDER_WAY),
            failures: FailureLog::default(),
            settings,
            backend,
        };
        Ok(Self {
            service: Arc::new(service),
        })
    }

    /// The routes alone, for a process that serves them on a port of its own.
    pub fn router(&self) -> Router {
        router(self.service.clone())
    }

    /// Serves until `shutdown`. Then: not ready, `drain.delay`, nothing accepted any more, requests
    /// under way finished within their own time limit.
    ///
    /// # Errors
    /// Never so far.
    pub async fn run(
        self,
        listener: TcpListener,
        admin_listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let settings = &self.service.settings;
        let patience = settings.dispatcher.request_timeout + Duration::from_secs(1);
        let stop = CancellationToken::new();
        let serving = serve(listener, self.router(), stop.clone(), patience);
        let stopping = async {
            shutdown.cancelled().await;
            sleep(settings.drain.delay).await;
            stop.cancel();
        };
        drop(admin_listener);
        tokio::join!(serving, stopping);
        Ok(())
    }
}

impl Service {
    /// The instant at which a request's time is over.
    pub(crate) fn deadline(&self, arrived: Instant) -> Instant {
        arrived + self.settings.dispatcher.request_timeout
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.settings.dispatcher.body_bytes
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            now: self.clock.now(),
            fresh_id: Uuid::now_v7(),
        }
    }
}
