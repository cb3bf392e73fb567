//! How a gateway starts, serves and ends.

use std::{sync::Arc, time::Duration};

use axum::Router;
use carillon_common::{
    backend::{Backend, join_when_up},
    http::{Crowd, IN_KERNEL, RefusedOrigins},
    ids::GatewayId,
    process::{Process, Shutdown},
    protocol::CloseCode,
    settings::Settings,
};
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::Context,
    handshake,
    limits::{Admission, RefusedTokens},
    metrics::Counters,
    parts::Gateway,
    routing::{Bus, Channels, Hub},
    session::Rules,
    store::Calls,
    upkeep,
};

/// For what is still under way at the end.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Sockets that are not connections yet: handshakes under way, refusals being read, other requests.
const ARRIVALS: usize = 768;

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
        let metrics = Counters::new(process.metrics.gateway.clone(), process.spans.clone());
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
        process.keyring.follow(backend.revocations());
        let membership = join_when_up(&*backend, &name, bus.clone()).await?;
        channels.join_deployment(membership.clone()).await?;
        let calls = Calls::new(
            membership.clone(),
            hub.clone(),
            channels.clone(),
            metrics.clone(),
            tasks.clone(),
        );
        let context = Arc::new(Context {
            calls,
            clock: backend.clock(),
            metrics: metrics.clone(),
            slow: settings.socket.slow_consumer_timeout,
            close_grace: settings.drain.close_grace,
        });
        let gateway = Arc::new(Self {
            rules: RwLock::new(Arc::new(Rules::new(
                (*settings).clone(),
                process.keyring.clone(),
            ))),
            live: process.live.clone(),
            refused_tokens: RefusedTokens::new(&settings.gateway),
            refused_origins: RefusedOrigins::default(),
            tokens: backend.clone(),
            settings,
            hub,
            channels,
            membership,
            context,
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
        let accepting = handshake::accept(self, listener, http, stop.clone(), &self.tasks);
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
            .unless_quick(self.drain(CloseCode::Draining))
            .await
            .is_none()
        {
            self.close_all();
        }
        self.over.cancel();
        self.tasks.close();
        // Calls that are still under way report how connections ended, in bounded time.
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
