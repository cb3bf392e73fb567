//! What a gateway is made of.

use std::sync::Arc;

use carillon_common::{
    backend::{Backend, Membership},
    http::{Crowd, Health, RefusedOrigins},
    ids::{GatewayId, Millis},
    settings::{LiveSettings, Settings},
};
use parking_lot::RwLock;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{self, Context, End, Opened},
    limits::{Admission, RefusedTokens},
    metrics::Counters,
    routing::{Channels, Handle, Hub},
    session::Rules,
    stream,
};

/// A running gateway.
pub struct Gateway {
    /// What the next connection goes by.
    pub(crate) rules: RwLock<Arc<Rules>>,
    /// What of the settings may change, as it is now.
    pub(crate) live: LiveSettings,
    pub(crate) settings: Arc<Settings>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) membership: Arc<dyn Membership>,
    pub(crate) context: Arc<Context>,
    pub(crate) admission: Admission,
    /// Sockets that are not connections yet.
    pub(crate) arrivals: Crowd,
    pub(crate) refused_tokens: RefusedTokens,
    pub(crate) refused_origins: RefusedOrigins,
    /// Redeems tickets.
    pub(crate) tokens: Arc<dyn Backend>,
    pub(crate) metrics: Counters,
    pub(crate) health: Health,
    pub(crate) name: GatewayId,
    /// Everything this gateway has started, connections included.
    pub(crate) tasks: TaskTracker,
    /// Ends the upkeep, after the last connection.
    pub(crate) over: CancellationToken,
}

impl Gateway {
    /// Its name in the deployment.
    pub fn name(&self) -> &GatewayId {
        &self.name
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.hub.len()
    }

    /// What a connection that begins now goes by, to its end.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.read().clone()
    }

    /// Goes by these settings from now on, as far as they may change. Connections that there are keep what they were
    /// told of limits.
    pub(crate) fn renew(&self, settings: &Settings) {
        self.admission.renew(&settings.gateway);
        self.hub.set_per_user(settings.gateway.per_user_connections);
        let keyring = self.rules().keyring.clone();
        *self.rules.write() = Arc::new(Rules::new(settings.clone(), keyring));
    }

    /// Runs a connection to its end.
    pub(crate) async fn run_connection(&self, opened: Box<Opened>) {
        let handle = opened.arrived.handle.clone();
        let began = self.begun(&handle);
        let end = connection::run(opened, &self.context).await;
        self.ended(&handle, began, end);
    }

    /// Runs an event stream to its end.
    pub(crate) async fn run_stream(&self, opened: Box<stream::Opened>) {
        let handle = opened.arrived.handle.clone();
        let began = self.begun(&handle);
        self.metrics.all.streams.inc();
        let end = stream::run(opened, &self.context).await;
        self.metrics.all.streams.dec();
        let code = closed_with(end.code);
        let all = &self.metrics.all;
        all.streams_ended.with_label_values(&[code]).inc();
        self.ended(&handle, began, end);
    }

    /// Counts a connection, but the canary's; answers when it began.
    fn begun(&self, handle: &Handle) -> Millis {
        if !handle.user.is_canary() {
            self.metrics.all.connections_opened.inc();
            self.metrics.all.connections.inc();
        }
        self.context.clock.now()
    }

    fn ended(&self, handle: &Arc<Handle>, began: Millis, end: End) {
        self.hub.remove(handle);
        if handle.user.is_canary() {
            return;
        }
        self.metrics.all.connections.dec();
        let lived = (self.context.clock.now() - began).max(0) as f64 / 1e3;
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
    const KNOWN: [&str; 24] = [
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1009", "1011", "1012", "4001",
        "4003", "4008", "4009", "4010", "4100", "4101", "4102", "4103", "4200", "4201", "4202",
        "4203", "4204",
    ];
    let code = code.to_string();
    let known = KNOWN.into_iter().find(|known| *known == code);
    known.unwrap_or("other")
}
