//! The dispatcher as a whole: what runs beside the routes, and how it ends.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    middleware::map_response_with_state,
    response::Response,
};
use carillon_common::{
    backend::Backend,
    http::{Crowd, Health, serve},
    process::{Process, Shutdown, show_condition},
    telemetry::Metrics,
};
use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    canary::Canary,
    console,
    pods::{Cluster, Watch},
    router::{beside_others, router},
};

/// The REST service, the watch of the gateways' pods and the canary, over a store.
pub struct Dispatcher {
    app: Arc<App>,
    metrics: Metrics,
    health: Health,
    cluster: Cluster,
    /// Connections of callers; those that are idle give way to the next.
    crowd: Crowd,
}

impl Dispatcher {
    /// That of a process, over its store.
    pub fn new(process: &Process, backend: Arc<dyn Backend>) -> Self {
        let limit = process
            .settings
            .dispatcher
            .connection_limit(process.descriptors);
        Self {
            app: Arc::new(App::new(process, backend)),
            metrics: process.metrics.clone(),
            health: process.health.clone(),
            cluster: Cluster::Inferred,
            crowd: Crowd::new(limit),
        }
    }

    /// With the API server of Kubernetes there, and not where the pod's service account or a
    /// kubeconfig says. It is used with `kubernetes.watch` alone.
    #[must_use]
    pub fn with_cluster(self, config: kube::Config) -> Self {
        Self {
            cluster: Cluster::At(Box::new(config)),
            ..self
        }
    }

    /// The routes alone, for a process that serves them on a port of its own.
    pub fn router(&self) -> Router {
        router(self.app.clone())
    }

    /// The console and the routes that it calls, for the admin port. Each asks for its caller's own key, as ever.
    pub fn console(&self) -> Router {
        beside_others(self.app.clone()).merge(console::served())
    }

    /// What has to run as long as the routes are served, for a process that serves them on a port of its own. Never
    /// ends.
    pub fn beside(&self) -> BoxFuture<'static, ()> {
        let app = self.app.clone();
        Box::pin(async move {
            tokio::join!(app.allowance.run(), app.firing.run());
        })
    }

    /// Serves until `shutdown`. Then: not ready, `drain.delay`, nothing accepted any more, requests
    /// under way finished within their own time limit, or what a quick end gives them.
    pub fn run(self, listener: TcpListener, shutdown: Shutdown) -> BoxFuture<'static, ()> {
        Box::pin(self.serve(listener, shutdown))
    }

    async fn serve(self, listener: TcpListener, shutdown: Shutdown) {
        let settings = &self.app.settings;
        let patience = settings.dispatcher.request_timeout + Duration::from_secs(1);
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());

        let answering = async {
            let router = self.router();
            let router = router.layer(map_response_with_state(self.health.clone(), close));
            let serving = serve(listener, router, self.crowd.clone(), stop.clone(), patience);
            shutdown.last(Duration::MAX, serving).await;
            end.cancel();
        };
        let draining = async {
            shutdown.told().await;
            self.health.set_draining();
            let delay = settings.drain.delay;
            let noticed = async {
                tracing::info!(
                    ?delay,
                    "draining; calls are taken for the delay, until whoever routes here has heard of it"
                );
                sleep(delay).await;
            };
            shutdown.unless_quick(noticed).await;
            stop.cancel();
        };
        let condition = end.run_until_cancelled(show_condition(&*self.app.backend, &self.health));
        let pods = end.run_until_cancelled(self.watch_pods());
        let firing = end.run_until_cancelled(self.app.firing.run());
        let borrowing = end.run_until_cancelled(self.app.allowance.run());
        // Not to the end: whoever stays takes the next turn.
        let canary = stop.run_until_cancelled(self.canary().run());
        self.health.set_started();
        tokio::join!(
            answering, draining, condition, pods, borrowing, firing, canary
        );
    }

    async fn watch_pods(&self) {
        if !self.app.settings.kubernetes.watch {
            return;
        }
        let watch = Watch {
            settings: self.app.settings.kubernetes.clone(),
            backend: self.app.backend.clone(),
            health: self.health.clone(),
            metrics: self.metrics.dispatcher.clone(),
            names: self.app.pods.clone(),
        };
        watch.run(self.cluster.clone()).await;
    }

    fn canary(&self) -> Canary {
        let settings = &self.app.settings;
        Canary::new(
            settings.canary.clone(),
            self.app.backend.clone(),
            self.metrics.canary.clone(),
            settings.gateway.path.clone(),
        )
    }
}

/// While it drains, each answer is the last on its connection (RFC 9112 section 9.6): a load balancer that
/// keeps connections would else send a call into one that is just being closed, and could not tell whether it
/// was taken.
async fn close(State(health): State<Health>, mut response: Response) -> Response {
    if health.is_draining() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
