//! What a gateway is made of.

use std::sync::Arc;

use carillon_common::{
    backend::Membership,
    http::{Crowd, Health},
    ids::GatewayId,
    settings::Settings,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{self, Context, Opened},
    limits::{Admission, RefusedTokens},
    metrics::Counters,
    routing::{Channels, Hub},
    session::Rules,
};

/// A running gateway.
pub struct Gateway {
    pub(crate) rules: Arc<Rules>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) membership: Arc<dyn Membership>,
    pub(crate) context: Arc<Context>,
    pub(crate) admission: Admission,
    /// Sockets that are not connections yet.
    pub(crate) arrivals: Crowd,
    pub(crate) refused_tokens: RefusedTokens,
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

    /// Runs a connection to its end.
    pub(crate) async fn run_connection(&self, opened: Box<Opened>) {
        let handle = opened.arrived.handle.clone();
        if handle.user.is_canary() {
            connection::run(opened, &self.context).await;
            return self.hub.remove(&handle);
        }
        self.metrics.all.connections_opened.inc();
        self.metrics.all.connections.inc();
        let began = self.context.clock.now();
        let end = connection::run(opened, &self.context).await;
        self.hub.remove(&handle);
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
    const KNOWN: [&str; 23] = [
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1009", "1011", "1012", "4001",
        "4003", "4008", "4009", "4010", "4100", "4101", "4102", "4103", "4200", "4201", "4202",
        "4203",
    ];
    let code = code.to_string();
    let known = KNOWN.into_iter().find(|known| *known == code);
    known.unwrap_or("other")
}
