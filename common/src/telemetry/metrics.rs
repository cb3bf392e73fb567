//! Every metric of Carillon, by name: dashboards and alerts depend on this file alone.
//!
//! Base units, no labels with users, channels or keys in them. Each process has a registry of its own,
//! so that several services can live in one test. A store brings its own metrics: those of Redis are
//! there only where Redis is.

mod family;

pub use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

/// A metric as it is declared here.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// The field that counts into it.
    pub field: &'static str,
    /// Its name in `/metrics`.
    pub name: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Declares a group of metrics: field, type, name, labels and what it tells.
macro_rules! metrics {
    ($(#[$meta:meta])* pub struct $group:ident {
        $($field:ident: $type:ty = $name:literal [$($label:literal),*] $help:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $group {
            $(
                #[doc = $help]
                #[doc = concat!("\n\n`", $name, "`")]
                pub $field: $type,
            )*
        }

        impl $group {
            /// Each of them.
            pub const DECLARED: &'static [Declared] = &[$(Declared {
                field: stringify!($field),
                name: $name,
                labels: &[$($label),*],
                help: $help,
            }),*];

            /// From zero; no registry knows them yet.
            pub fn new() -> Self {
                Self { $($field: family::build($name, $help, &[$($label),*]),)* }
            }

            /// For a registry.
            pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
                vec![$(Box::new(self.$field.clone()) as Box<dyn Collector>),*]
            }
        }

        impl Default for $group {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

metrics! {
    /// What every process tells.
    pub struct ProcessMetrics {
        build: IntGaugeVec = "carillon_build_info" ["version", "service"]
            "Always 1; the labels tell what runs.";
        config_warnings: IntGaugeVec = "carillon_config_warnings" ["reason"]
            "1 for each reason to change the configuration or Redis, 0 where it is well.";
    }
}

metrics! {
    /// What became of reading `auth.dir`.
    pub struct ReloadMetrics {
        reload_success: IntGauge = "carillon_config_reload_success" []
            "1 if all of auth.dir was in order when it was last read, else 0.";
        reload_success_at: Gauge = "carillon_config_last_reload_success_timestamp_seconds" []
            "When all of auth.dir was last read and in order.";
        reloads: IntCounterVec = "carillon_config_reloads_total" ["result"]
            "Times that auth.dir was read again (changed, unchanged; faulty: a file was left out).";
    }
}

metrics! {
    /// What a gateway counts.
    pub struct GatewayMetrics {
        connections: IntGauge = "carillon_gateway_connections" []
            "Open connections.";
        connections_opened: IntCounter = "carillon_gateway_connections_opened_total" []
            "Connections that were authenticated.";
        connections_closed: IntCounterVec =
            "carillon_gateway_connections_closed_total" ["code", "initiator"]
            "Connections that ended, by close code (those of the protocol, else other) and by who began it (client, server, none).";
        handshakes_rejected: IntCounterVec =
            "carillon_gateway_handshakes_rejected_total" ["reason"]
            "Connection attempts that were refused.";
        notifications_written: IntCounterVec =
            "carillon_gateway_notifications_written_total" ["kind"]
            "Notifications written to a socket (live, replayed; expired ones are passed over).";
        acks: IntCounterVec = "carillon_gateway_acks_total" ["result"]
            "Acknowledgements (accepted; unknown: of a cursor that was not written there; refused by the store).";
        gaps: IntCounterVec = "carillon_gateway_gaps_total" ["reason"]
            "Gaps that clients were told of (expired, rewound, too_many).";
        outbox_overflow: IntCounterVec = "carillon_gateway_outbox_overflow_total" ["policy"]
            "Times that an outbox was full, by what was done about it.";
        resumes: IntCounterVec = "carillon_gateway_resumes_total" ["reason"]
            "Readings of an inbox (chain, channel, dirty, audit).";
        bus_events: IntCounterVec = "carillon_gateway_bus_events_total" ["kind"]
            "Hints that came over the bus.";
        chain_breaks: IntCounter = "carillon_gateway_chain_breaks_total" []
            "Hints that did not follow what was delivered before; each makes the inbox be read.";
        strays: IntCounter = "carillon_gateway_stray_registrations_total" []
            "Registrations that no connection held, ended.";
        audit_repairs: IntCounter = "carillon_gateway_audit_repairs_total" []
            "Users that an audit found behind or not registered.";
        devices_forgotten: IntCounter = "carillon_gateway_devices_forgotten_total" []
            "Devices of which nothing is known any more, because their user had more than are remembered.";
        lease_lost: IntCounter = "carillon_gateway_lease_lost_total" []
            "Times that the gateway's lease ended before it was renewed.";
        refused_frames: IntCounterVec = "carillon_gateway_refused_frames_total" ["code"]
            "Requests of clients that were answered with an error.";
        restored_gave_way: IntCounter =
            "carillon_gateway_restored_subscriptions_gave_way_total" []
            "Subscriptions that had come back by themselves and left to make room for newer ones.";
        rebalanced: IntCounter = "carillon_gateway_rebalanced_connections_total" []
            "Connections that were asked to move, for gateways to be balanced.";
        draining: IntGauge = "carillon_gateway_draining" []
            "1 while the gateway drains.";
        delivery_latency: Histogram = "carillon_gateway_delivery_latency_seconds" []
            "From the acceptance of a notification to its writing to a socket, replays left out.";
    }
}

metrics! {
    /// What a dispatcher counts.
    pub struct DispatcherMetrics {
        http_requests: IntCounterVec = "carillon_dispatcher_http_requests_total" ["route", "code"]
            "Requests, by route (its pattern, not its path) and status.";
        sends: IntCounterVec = "carillon_dispatcher_sends_total" ["outcome"]
            "Sends (routed, queued, duplicate, refused, failed).";
        send_duration: HistogramVec = "carillon_dispatcher_send_duration_seconds" ["outcome"]
            "From reading a send's body to its acceptance or refusal.";
        auth_failures: IntCounterVec = "carillon_dispatcher_auth_failures_total" ["reason"]
            "Requests without a key, with a wrong one, or with one that lacks the scope.";
        pod_watch: IntGauge = "carillon_dispatcher_pod_watch" []
            "1 while the gateway pods are watched.";
        reaped: IntCounterVec = "carillon_dispatcher_reaped_gateways_total" ["cause"]
            "Gateways that were reaped because their pod was seen dead (deleted, terminated).";
    }
}

metrics! {
    /// What the Redis store counts, in either service.
    pub struct RedisMetrics {
        calls: IntCounter = "carillon_redis_calls_total" []
            "Calls, pipelines and group commits asked for.";
        errors: IntCounterVec = "carillon_redis_errors_total" ["kind"]
            "Calls that failed, by what kept them from being served: see docs/operations.md for the kinds.";
        redirects: IntCounter = "carillon_redis_redirects_total" []
            "MOVED and ASK answers that were followed.";
        connects: IntCounter = "carillon_redis_connects_total" []
            "Connections that were opened; more than the first few were made again after they broke.";
        connect_failures: IntCounter = "carillon_redis_connect_failures_total" []
            "Attempts to open a connection that failed.";
        topology_changes: IntCounter = "carillon_redis_topology_changes_total" []
            "Failovers and moved slots that were followed.";
        topology_failures: IntCounter = "carillon_redis_topology_failures_total" []
            "Attempts to learn the primaries that failed.";
        commits: IntCounter = "carillon_redis_group_commits_total" []
            "Group commits, each with one WAIT.";
        committed: IntCounter = "carillon_redis_group_committed_total" []
            "Calls in those group commits.";
        messages: IntCounter = "carillon_redis_bus_messages_total" []
            "Messages that came over the bus, probes left out.";
        rebuilds: IntCounter = "carillon_redis_bus_rebuilds_total" []
            "Connections of the bus that were given up and made again.";
        dirty: IntCounter = "carillon_redis_bus_doubts_total" []
            "Times that messages of the bus may have been missed; each makes inboxes be read.";
        refused: IntCounter = "carillon_redis_bus_refused_total" []
            "Subscriptions that Redis refused, for now or for good.";
        probes: IntCounter = "carillon_redis_probes_total" []
            "Probes of the bus that were sent.";
        probes_lost: IntCounter = "carillon_redis_probes_lost_total" []
            "Probes of the bus that did not come back.";
        rewound: IntCounter = "carillon_redis_histories_rewound_total" []
            "Partitions that came back without what they had accepted, and were marked; devices that may miss something are told.";
        reaped_sessions: IntCounter = "carillon_redis_reaped_sessions_total" []
            "Users whose connections to a dead gateway this process ended.";
        clock_offset: Gauge = "carillon_redis_clock_offset_seconds" []
            "Redis' clock minus our own.";
    }
}

metrics! {
    /// What the in-memory store holds.
    pub struct MemoryMetrics {
        bytes: IntGauge = "carillon_memory_store_bytes" []
            "Bytes of stored notifications.";
        users: IntGauge = "carillon_memory_store_users" []
            "Users that something is kept for.";
        channels: IntGauge = "carillon_memory_store_channels" []
            "Channels that something is kept for.";
    }
}

/// The metrics of one process.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Of the gateway.
    pub gateway: GatewayMetrics,
    /// Of the dispatcher.
    pub dispatcher: DispatcherMetrics,
    /// What the process would have changed about its configuration and its Redis: 1 for each reason
    /// (see [`checks::REASONS`](crate::checks::REASONS)) that it has, 0 for the others.
    pub config_warnings: IntGaugeVec,
    /// Of what keeps the credentials up to date.
    pub reload: ReloadMetrics,
}

impl Metrics {
    /// Metrics for the process that is `service` (`gateway`, `dispatcher`, `standalone`).
    pub fn new(service: &str) -> Self {
        let process = ProcessMetrics::new();
        let labels = [env!("CARGO_PKG_VERSION"), service];
        process.build.with_label_values(&labels).set(1);
        let metrics = Self {
            registry: Registry::new(),
            gateway: GatewayMetrics::new(),
            dispatcher: DispatcherMetrics::new(),
            config_warnings: process.config_warnings.clone(),
            reload: ReloadMetrics::new(),
        };
        metrics.add(process.collectors());
        metrics.add(metrics.reload.collectors());
        metrics.add(metrics.gateway.collectors());
        metrics.add(metrics.dispatcher.collectors());
        metrics
    }

    /// Shows the metrics of a part of the process, such as its store's. Names are fixed here, so none
    /// is refused unless it is added twice, which changes nothing.
    pub fn add(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            if let Err(error) = self.registry.register(collector) {
                tracing::debug!(%error, "a metric is registered already");
            }
        }
    }

    /// Every metric that a process of Carillon can have.
    pub fn declared() -> impl Iterator<Item = &'static Declared> {
        [
            ProcessMetrics::DECLARED,
            ReloadMetrics::DECLARED,
            GatewayMetrics::DECLARED,
            DispatcherMetrics::DECLARED,
            RedisMetrics::DECLARED,
            MemoryMetrics::DECLARED,
        ]
        .into_iter()
        .flatten()
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_what_was_counted() {
        let metrics = Metrics::new("gateway");
        metrics.gateway.connections.set(3);
        metrics
            .gateway
            .connections_closed
            .with_label_values(&["4008", "server"])
            .inc();
        metrics.gateway.delivery_latency.observe(0.002);
        metrics
            .dispatcher
            .sends
            .with_label_values(&["routed"])
            .inc_by(2);
        let text = metrics.render();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "carillon_gateway_connections 3",
            "carillon_gateway_connections_closed_total{code=\"4008\",initiator=\"server\"} 1",
            "carillon_gateway_delivery_latency_seconds_bucket{le=\"0.001\"} 0",
            "carillon_gateway_delivery_latency_seconds_bucket{le=\"0.0025\"} 1",
            "carillon_dispatcher_sends_total{outcome=\"routed\"} 2",
            &format!("carillon_build_info{{service=\"gateway\",version=\"{version}\"}} 1"),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }

    #[test]
    fn two_processes_in_one_do_not_share() {
        let (one, other) = (Metrics::new("gateway"), Metrics::new("gateway"));
        one.gateway.chain_breaks.inc();
        assert_eq!(other.gateway.chain_breaks.get(), 0);
        assert!(
            other
                .render()
                .contains("carillon_gateway_chain_breaks_total 0")
        );
    }

    #[test]
    fn a_store_brings_its_own_metrics_once() {
        let (metrics, redis) = (Metrics::new("gateway"), RedisMetrics::new());
        assert!(!metrics.render().contains("carillon_redis_calls_total"));
        for _ in 0..2 {
            metrics.add(redis.collectors());
        }
        redis.calls.inc();
        redis.clock_offset.set(-0.25);
        let text = metrics.render();
        for line in [
            "carillon_redis_calls_total 1",
            "carillon_redis_clock_offset_seconds -0.25",
        ] {
            assert_eq!(text.lines().filter(|it| *it == line).count(), 1, "{text}");
        }
    }

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let mut names: Vec<_> = Metrics::declared().map(|metric| metric.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
