//! The service put together.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    middleware::map_response_with_state,
    response::Response,
};
use carillon_common::{
    auth::Keyring,
    backend::{Backend, Clock},
    http::{
        Crowd, Health,
        admin::{self, Operations},
        serve,
    },
    process::{Shutdown, show_condition},
    settings::Settings,
    telemetry::{LogLevel, Metrics, Spans},
};
use futures_util::future::BoxFuture;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    canary::Canary,
    counters::Counters,
    dispatch::Stamp,
    extract::Bodies,
    failures::FailureLog,
    pods::{Cluster, Names, Watch},
    router::router,
};

/// Requests at once; with the bound on a body, it bounds what they hold. Beyond it: 503.
const MAX_UNDER_WAY: usize = 4096;
/// For probes that are being answered when the admin port closes.
const ADMIN_PATIENCE: Duration = Duration::from_millis(500);

/// The REST service over a store.
pub struct App {
    service: Arc<Service>,
    metrics: Metrics,
    cluster: Cluster,
    level: LogLevel,
    /// The hard limit of open files.
    descriptors: u64,
}

/// What the routes work with.
pub(crate) struct Service {
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
    /// `keyring`: what API keys are checked by; `spans`: what traces requests.
    pub fn new(
        settings: Arc<Settings>,
        keyring: Keyring,
        backend: Arc<dyn Backend>,
        metrics: Metrics,
        spans: Spans,
    ) -> Self {
        let level = LogLevel::detached(&settings.log);
        let service = Service {
            keyring,
            clock: backend.clock(),
            under_way: Semaphore::new(MAX_UNDER_WAY),
            bodies: Bodies::new(&settings.dispatcher),
            failures: FailureLog::default(),
            counters: Counters::new(metrics.dispatcher.clone(), MAX_UNDER_WAY),
            pods: Names::default(),
            spans,
            settings,
            backend,
        };
        Self {
            service: Arc::new(service),
            metrics,
            cluster: Cluster::Inferred,
            level,
            descriptors: u64::MAX,
        }
    }

    /// On a machine with this hard limit of open files.
    pub fn with_descriptors(self, descriptors: u64) -> Self {
        Self {
            descriptors,
            ..self
        }
    }

    /// In a process whose log this changes.
    pub fn with_log_level(self, level: LogLevel) -> Self {
        Self { level, ..self }
    }

    /// With the API server of Kubernetes there, and not where the pod's service account or a
    /// kubeconfig says. It is used with `kubernetes.watch` alone.
    pub fn with_cluster(self, config: kube::Config) -> Self {
        Self {
            cluster: Cluster::At(Box::new(config)),
            ..self
        }
    }

    /// The routes alone, for a process that serves them on a port of its own.
    pub fn router(&self) -> Router {
        router(self.service.clone())
    }

    /// Serves until `shutdown`. Then: not ready, `drain.delay`, nothing accepted any more, requests
    /// under way finished within their own time limit, or what a quick end gives them. The admin port
    /// stays to the end.
    pub fn run(
        self,
        listener: TcpListener,
        admin_listener: TcpListener,
        shutdown: Shutdown,
    ) -> BoxFuture<'static, ()> {
        Box::pin(self.serve(listener, admin_listener, shutdown))
    }

    async fn serve(self, listener: TcpListener, admin_listener: TcpListener, shutdown: Shutdown) {
        let settings = &self.service.settings;
        let patience = settings.dispatcher.request_timeout + Duration::from_secs(1);
        let health = Health::new();
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());

        let service = async {
            let router = self
                .router()
                .layer(map_response_with_state(health.clone(), part));
            let crowd = Crowd::new(settings.dispatcher.connection_limit(self.descriptors));
            let serving = serve(listener, router, crowd, stop.clone(), patience);
            shutdown.last(Duration::MAX, serving).await;
            end.cancel();
        };
        let leave = async {
            shutdown.told().await;
            health.set_draining();
            let delay = settings.drain.delay;
            let heard = async {
                tracing::info!(
                    ?delay,
                    "draining; calls are taken for the delay, until whoever routes here has heard of it"
                );
                sleep(delay).await;
            };
            shutdown.unless_quick(heard).await;
            stop.cancel();
        };
        let admin = serve(
            admin_listener,
            self.admin(&health),
            Crowd::new(admin::CONNECTIONS),
            end.clone(),
            ADMIN_PATIENCE,
        );
        let watch = end.run_until_cancelled(show_condition(&*self.service.backend, &health));
        let pods = end.run_until_cancelled(self.watch_pods(&health));
        // Not to the end: whoever stays takes the next turn.
        let canary = stop.run_until_cancelled(self.canary().run());
        health.set_started();
        tokio::join!(service, leave, admin, watch, pods, canary);
    }

    async fn watch_pods(&self, health: &Health) {
        if !self.service.settings.kubernetes.watch {
            return;
        }
        let watch = Watch {
            settings: self.service.settings.kubernetes.clone(),
            backend: self.service.backend.clone(),
            health: health.clone(),
            metrics: self.metrics.dispatcher.clone(),
            names: self.service.pods.clone(),
        };
        watch.run(self.cluster.clone()).await;
    }

    fn canary(&self) -> Canary {
        let settings = &self.service.settings;
        Canary::new(
            settings.canary.clone(),
            self.service.backend.clone(),
            self.metrics.canary.clone(),
            settings.gateway.path.clone(),
        )
    }

    #[cfg(test)]
    pub(crate) fn hold_every_place(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.service
            .under_way
            .try_acquire_many(MAX_UNDER_WAY as u32)
            .unwrap()
    }

    fn admin(&self, health: &Health) -> Router {
        let metrics = self.metrics.clone();
        let operations = Operations::new(self.service.keyring.clone(), self.level.clone());
        admin::router(health.clone(), move || metrics.render(), operations)
    }
}

impl Service {
    /// The instant at which a request's time is over.
    pub(crate) fn deadline(&self, arrived: Instant) -> Instant {
        arrived + self.settings.dispatcher.request_timeout
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

/// While it drains, each answer is the last on its connection (RFC 9112 section 9.6): a load balancer that
/// keeps connections would else send a call into one that is just being closed, and could not tell whether it
/// was taken.
async fn part(State(health): State<Health>, mut response: Response) -> Response {
    if health.is_draining() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
