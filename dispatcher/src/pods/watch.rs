//! Follows the gateway pods, and has the dead reaped.

use std::{pin::pin, sync::Arc, time::Duration};

use carillon_common::{
    backend::Backend, http::Health, settings::KubernetesSettings,
    telemetry::metrics::DispatcherMetrics,
};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Names,
    deaths::{Change, Death, Pods},
    sighting::Sighting,
};

/// A connection that died silently is noticed when the API server should have ended the watch.
const WATCH_SECONDS: u32 = 60;
/// How long the API server may be silent, and take to be connected to.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
const CONNECTED: Duration = Duration::from_secs(10);
/// Without another failure for so long it works again, though no pod has changed: longer than an
/// attempt and the pause before it.
const RECOVERED: Duration = Duration::from_secs(120);
/// How often the way to the API server is looked for where there is none.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How often a death is told to a store that does not take it; then its lease decides.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// The part of readiness that tells how the watch is.
const PART: &str = "kubernetes";

/// Where the API server is.
#[derive(Clone)]
pub(crate) enum Cluster {
    /// As the pod's service account, or a kubeconfig, says.
    Inferred,
    /// At this address.
    At(Box<Config>),
}

/// What the watch works with.
pub(crate) struct Watch {
    pub(crate) settings: KubernetesSettings,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) health: Health,
    pub(crate) metrics: DispatcherMetrics,
    pub(crate) names: Names,
}

impl Watch {
    /// Watches for ever. What fails is logged once and shown, and leases go on deciding.
    pub(crate) async fn run(self, cluster: Cluster) {
        // Where another part of the process has chosen one, that holds.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        loop {
            match connect(&cluster).await {
                Ok((client, namespace)) => {
                    let namespace = self.settings.namespace.clone().unwrap_or(namespace);
                    self.follow(Api::namespaced(client, &namespace), &namespace)
                        .await;
                }
                Err(why) => self.fails(&format!(
                    "no way to the API server: {why}; mount a service account token into the \
                     dispatcher's pod, or set kubernetes.watch to false"
                )),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn follow(&self, api: Api<Pod>, namespace: &str) {
        let config = watcher::Config::default()
            .labels(&self.settings.gateway_selector)
            .timeout(WATCH_SECONDS);
        let mut events = pin!(watcher(api, config).default_backoff());
        let mut pods = Pods::default();
        let mut recovered = None::<Instant>;
        loop {
            let next = match recovered {
                None => Ok(events.next().await),
                Some(at) => timeout_at(at, events.next()).await,
            };
            match next {
                Err(_) => {
                    recovered = None;
                    self.works(&pods);
                }
                Ok(None) => return,
                Ok(Some(Ok(event))) => {
                    // A list that has only begun may yet fail.
                    let told =
                        !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                    self.take(&mut pods, event).await;
                    if told {
                        recovered = None;
                        self.works(&pods);
                    }
                }
                // The watch was too far behind, and lists everything anew.
                Ok(Some(Err(watcher::Error::WatchError(status)))) if status.code == 410 => {}
                Ok(Some(Err(error))) => {
                    recovered = Some(Instant::now() + RECOVERED);
                    self.fails(&explain(&error, namespace));
                }
            }
        }
    }

    async fn take(&self, pods: &mut Pods, event: watcher::Event<Pod>) {
        let now = self.backend.clock().now();
        let sighting = |pod: &Pod| Sighting::of(pod, now);
        let change = match &event {
            watcher::Event::Apply(pod) => sighting(pod).map(Change::Seen),
            watcher::Event::Delete(pod) => sighting(pod).map(Change::Gone),
            watcher::Event::Init => Some(Change::ListBegins),
            watcher::Event::InitApply(pod) => sighting(pod).map(Change::Listed),
            watcher::Event::InitDone => Some(Change::ListEnds),
        };
        let Some(change) = change else { return };
        for death in pods.apply(change, now) {
            self.reap(&death).await;
        }
        self.names.set(pods.names());
    }

    async fn reap(&self, death: &Death) {
        let Death {
            gateway,
            until,
            cause,
        } = death;
        for attempt in 1..=ATTEMPTS {
            match self.backend.reap(gateway, *until).await {
                Ok(true) => {
                    tracing::warn!(%gateway, cause, "a gateway's pod is dead: reaped it");
                    self.metrics.reaped.with_label_values(&[cause]).inc();
                    return;
                }
                // It left in order, or another dispatcher was faster.
                Ok(false) => return,
                Err(error) if attempt == ATTEMPTS => {
                    tracing::warn!(%gateway, cause, %error,
                        "a gateway's pod is dead, and could not be reaped: its lease will end");
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn works(&self, pods: &Pods) {
        if self.metrics.pod_watch.get() == 0 {
            tracing::info!(pods = pods.len(), "watching the gateway pods");
        }
        self.metrics.pod_watch.set(1);
        self.health.clear_degraded(PART);
    }

    fn fails(&self, why: &str) {
        self.metrics.pod_watch.set(0);
        if self.health.degraded().get(PART).map(String::as_str) != Some(why) {
            tracing::warn!("the gateway pods are not watched: {why}");
            self.health.set_degraded(PART, why);
        }
    }
}

async fn connect(cluster: &Cluster) -> Result<(Client, String), String> {
    let mut config = match cluster {
        Cluster::Inferred => Config::infer().await.map_err(|error| error.to_string())?,
        Cluster::At(config) => (**config).clone(),
    };
    config.read_timeout = Some(SILENCE);
    config.connect_timeout = Some(CONNECTED);
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    Ok((client, namespace))
}

/// Why the API server does not tell, and what to change.
fn explain(error: &watcher::Error, namespace: &str) -> String {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    let status = match error {
        WatchError(status) => Some(status),
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => match error {
            kube::Error::Api(status) => Some(status),
            _ => None,
        },
        watcher::Error::NoResourceVersion => None,
    };
    match status.map(|status| (status.code, status.message.as_str())) {
        Some((403, _)) => format!(
            "the API server refuses: allow the dispatcher's service account to get, list and watch \
             pods in the namespace {namespace}, or set kubernetes.watch to false"
        ),
        Some((401, _)) => "the API server does not know this service account's token".to_owned(),
        Some((400, message)) => {
            format!("the API server does not understand kubernetes.gateway_selector: {message}")
        }
        Some((code, message)) => format!("the API server answers {code}: {message}"),
        None => format!("the API server cannot be reached: {}", cause(error)),
    }
}

/// The last cause is the one that says something.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
