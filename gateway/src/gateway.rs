//! The gateway as a whole: what it is made of, how it starts and ends.

use std::{sync::Arc, time::Duration};

use axum::Router;
use carillon_common::{
    backend::{Backend, Membership, join_when_up},
    http::{Crowd, Health, IN_KERNEL},
    ids::GatewayId,
    process::{Process, Shutdown},
    settings::Settings,
};
use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept,
    admission::Admission,
    bus::Bus,
    calls::Calls,
    channels::Channels,
    connection::{self, Opened, Surroundings},
    hub::Hub,
    metrics::Metrics,
    refusals::Refusals,
    session::Rules,
    upkeep,
};

/// For what is still under way at the end.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Sockets that are not connections yet: handshakes under way, refusals being read, other requests.
const ARRIVALS: usize = 768;

/// A running gateway.
pub struct Gateway {
    rules: Arc<Rules>,
    settings: Arc<Settings>,
    hub: Arc<Hub>,
    channels: Arc<Channels>,
    membership: Arc<dyn Membership>,
    around: Arc<Surroundings>,
    admission: Admission,
    /// Sockets that are not connections yet.
    arrivals: Crowd,
    refusals: Refusals,
    metrics: Metrics,
    health: Health,
    name: GatewayId,
    /// Everything this gateway has started, connections included.
    tasks: TaskTracker,
    /// Ends the upkeep, after the last connection.
    over: CancellationToken,
}

impl Gateway {
    /// Joins the deployment, in a process and over its store.
    ///
    /// # Errors
    /// A setting that does not fit this machine, or a store that does not answer.
    pub fn start(
        process: &Process,
        backend: Arc<dyn Backend>,
    ) -> BoxFuture<'_, anyhow::Result<Arc<Self>>> {
        Box::pin(Self::started(process, backend))
    }

    async fn started(process: &Process, backend: Arc<dyn Backend>) -> anyhow::Result<Arc<Self>> {
        let settings = process.settings.clone();
        let descriptors = process.descriptors;
        let name = name(&settings)?;
        let limit = settings.gateway.connection_limit(descriptors)?;
        let admission = Admission::new(limit, &settings.gateway);
        let arrivals = Crowd::new(arrivals(descriptors));
        let tasks = TaskTracker::new();
        let over = CancellationToken::new();
        let metrics = Metrics::new(process.metrics.gateway.clone(), process.spans.clone());
        metrics.all.connections_limit.set(i64::from(limit));
        let hub = Arc::new(Hub::new(
            settings.gateway.per_user_connections,
            settings.socket.outbox_bytes.saturating_sub(IN_KERNEL),
        ));
        let channels = Arc::new(Channels::new(
            hub.clone(),
            settings.clone(),
            metrics.clone(),
            tasks.clone(),
        ));
        let bus = Arc::new(Bus::new(hub.clone(), channels.clone(), metrics.clone()));
        let membership = join_when_up(&*backend, &name, bus.clone()).await?;
        channels.join_deployment(membership.clone()).await?;
        let calls = Calls::new(
            membership.clone(),
            hub.clone(),
            channels.clone(),
            metrics.clone(),
            tasks.clone(),
        );
        let around = Arc::new(Surroundings {
            calls,
            clock: backend.clock(),
            metrics: metrics.clone(),
            slow: settings.socket.slow_consumer_timeout,
            close_grace: settings.drain.close_grace,
        });
        let gateway = Arc::new(Self {
            rules: Arc::new(Rules::new((*settings).clone(), process.keyring.clone())),
            refusals: Refusals::new(&settings.gateway),
            settings,
            hub,
            channels,
            membership,
            around,
            admission,
            arrivals,
            metrics,
            health: process.health.clone(),
            name,
            tasks,
            over,
        });
        upkeep::start(&gateway, &bus, &backend);
        gateway.health.set_started();
        tracing::info!(gateway = %gateway.name, limit, "joined the deployment");
        Ok(gateway)
    }

    /// Its name in the deployment.
    pub fn name(&self) -> &GatewayId {
        &self.name
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.hub.len()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }

    pub(crate) fn membership(&self) -> &Arc<dyn Membership> {
        &self.membership
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.around.calls
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    pub(crate) fn arrivals(&self) -> &Crowd {
        &self.arrivals
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Serves until `shutdown`, then drains; quickly means that every connection is closed at once,
    /// with 1001, after what waits for it. `http` answers what is not a WebSocket upgrade.
    ///
    /// # Errors
    /// Never yet; a broken listener is logged and tried again.
    pub fn run(
        self: &Arc<Self>,
        listener: TcpListener,
        http: Router,
        shutdown: Shutdown,
    ) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.serve(listener, http, shutdown))
    }

    async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        http: Router,
        shutdown: Shutdown,
    ) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let accepting = accept::accept(self, listener, http, stop.clone(), &self.tasks);
        tokio::pin!(accepting);
        tokio::select! {
            () = &mut accepting => {}
            () = shutdown.told() => {}
        }
        self.health.set_draining();
        self.metrics.all.draining.set(1);
        // Whoever routes here has heard of it already where nobody is let in any more.
        let delay = match self.admission.is_closed() {
            true => Duration::ZERO,
            false => self.settings.drain.delay,
        };
        let heard = async {
            tracing::info!(
                connections = self.hub.len(),
                ?delay,
                "draining; clients are let in for the delay, until whoever routes here has heard of it"
            );
            drop(timeout(delay, &mut accepting).await);
        };
        shutdown.unless_quick(heard).await;
        stop.cancel();
        self.admission.close();
        accepting.await;
        if shutdown
            .unless_quick(self.drain("draining"))
            .await
            .is_none()
        {
            self.close_all();
        }
        self.over.cancel();
        self.tasks.close();
        // Calls that are still under way are the last words about connections, and bounded.
        shutdown.last(LAST_WORDS, self.tasks.wait()).await;
        match shutdown.last(LAST_WORDS, self.membership.leave()).await {
            Some(Ok(())) => tracing::info!("drained"),
            Some(Err(error)) => {
                tracing::warn!(%error, "the lease could not be given up; it will be reaped");
            }
            None => tracing::warn!("the lease was not given up in time; it will be reaped"),
        }
        Ok(())
    }

    pub(crate) fn around(&self) -> &Surroundings {
        &self.around
    }

    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Runs a connection to its end.
    pub(crate) async fn hold(&self, opened: Box<Opened>) {
        let handle = opened.arrived.handle.clone();
        if handle.user.is_canary() {
            connection::run(opened, &self.around).await;
            return self.hub.remove(&handle);
        }
        self.metrics.all.connections_opened.inc();
        self.metrics.all.connections.inc();
        let began = self.around.clock.now();
        let end = connection::run(opened, &self.around).await;
        self.hub.remove(&handle);
        self.metrics.all.connections.dec();
        let lived = (self.around.clock.now() - began).max(0) as f64 / 1e3;
        self.metrics.all.connection_duration.observe(lived);
        self.metrics
            .all
            .connections_closed
            .with_label_values(&[closed_with(end.code), end.initiator])
            .inc();
        tracing::debug!(code = end.code, initiator = end.initiator, "closed");
    }
}

/// Close codes as labels: what a client makes up is none.
fn closed_with(code: u16) -> &'static str {
    const KNOWN: [&str; 23] = [
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1009", "1011", "1012", "4001",
        "4003", "4008", "4009", "4010", "4100", "4101", "4102", "4103", "4200", "4201", "4202",
        "4203",
    ];
    let code = code.to_string();
    let known = KNOWN.into_iter().find(|known| *known == code);
    known.unwrap_or("other")
}

/// How many sockets may be on their way in: a part of the descriptors that connections leave.
fn arrivals(descriptors: u64) -> usize {
    usize::try_from(descriptors / 4)
        .unwrap_or(ARRIVALS)
        .clamp(16, ARRIVALS)
}

fn name(settings: &Settings) -> anyhow::Result<GatewayId> {
    if let Some(name) = settings.gateway_name()? {
        return Ok(name);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.'))
        .take(40)
        .collect();
    Ok(GatewayId::new(&format!(
        "{host}-{:08x}",
        rand::random::<u32>()
    ))?)
}
