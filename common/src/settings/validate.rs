//! Rules over values that have their types: ranges, and settings that must fit each other.

mod clients;

use std::time::Duration;

use url::Url;

use super::error::SettingsError;
use super::{CanarySettings, KubernetesSettings, NamespaceSettings, Settings, TracingSettings};
use crate::ids::GatewayId;

/// Most partitions: each costs every gateway a subscription check.
const MAX_PARTITIONS: u16 = 1024;

/// Most spans that may wait: each takes about a kilobyte.
const MAX_SPANS: usize = 1_000_000;

/// Appends everything that is wrong with `settings`.
pub(super) fn check(settings: &Settings, errors: &mut Vec<SettingsError>) {
    let mut rules = Rules { errors };
    rules.backend(settings);
    rules.not_zero(settings);
    rules.order(settings);
    rules.gateway(settings);
    rules.sse(settings);
    rules.proxies(&settings.gateway);
    rules.auth(&settings.auth);
    rules.origins(settings);
    rules.kubernetes(&settings.kubernetes);
    rules.namespaces(&settings.namespaces);
    rules.tracing(&settings.tracing);
    rules.canary(&settings.canary);
}

struct Rules<'a> {
    errors: &'a mut Vec<SettingsError>,
}

impl Rules<'_> {
    fn require(&mut self, holds: bool, path: &str, problem: impl Into<String>, remedy: &str) {
        if !holds {
            self.errors.push(SettingsError::new(path, problem, remedy));
        }
    }

    fn backend(&mut self, settings: &Settings) {
        let partitions = settings.backend.partitions;
        self.require(
            (1..=MAX_PARTITIONS).contains(&partitions),
            "backend.partitions",
            format!("{partitions} is out of range"),
            "choose 1 to 1024",
        );
        let prefix = &settings.redis.prefix;
        self.require(
            prefix.len() <= 64
                && prefix
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !"{}".contains(c)),
            "redis.prefix",
            "is not a prefix for keys",
            "use at most 64 visible ASCII characters without braces",
        );
    }

    #[expect(clippy::too_many_lines, reason = "a list")]
    fn not_zero(&mut self, settings: &Settings) {
        let Settings {
            backend,
            redis,
            durability,
            inbox,
            channels,
            idempotency,
            lease,
            audit,
            gateway,
            socket,
            dispatcher,
            ..
        } = settings;
        for (path, duration) in [
            ("backend.response_timeout", backend.response_timeout),
            ("backend.connect_timeout", backend.connect_timeout),
            ("redis.probe_interval", redis.probe_interval),
            ("redis.probe_timeout", redis.probe_timeout),
            ("redis.clock_interval", redis.clock_interval),
            ("redis.clock_tolerance", redis.clock_tolerance),
            ("durability.wait_timeout", durability.wait_timeout),
            ("inbox.ttl", inbox.ttl),
            ("inbox.device_ttl", inbox.device_ttl),
            ("channels.ttl", channels.ttl),
            ("channels.broadcast_ttl", channels.broadcast_ttl),
            ("idempotency.ttl", idempotency.ttl),
            ("idempotency.retry", idempotency.retry),
            ("lease.ttl", lease.ttl),
            ("lease.renew", lease.renew),
            ("audit.interval", audit.interval),
            ("gateway.handshake_timeout", gateway.handshake_timeout),
            ("gateway.auth_timeout", gateway.auth_timeout),
            ("socket.ping_interval", socket.ping_interval),
            ("socket.pong_timeout", socket.pong_timeout),
            ("socket.idle_timeout", socket.idle_timeout),
            ("socket.slow_consumer_timeout", socket.slow_consumer_timeout),
            ("socket.ack_interval", socket.ack_interval),
            ("sse.unacked_for", settings.sse.unacked_for),
            ("sse.retry", settings.sse.retry),
            ("dispatcher.request_timeout", dispatcher.request_timeout),
            ("dispatcher.store_timeout", dispatcher.store_timeout),
            ("dispatcher.body_timeout", dispatcher.body_timeout),
        ] {
            let problem = "0s would fail everything at once";
            self.require(
                duration > Duration::ZERO,
                path,
                problem,
                "give it some time",
            );
        }
        for (path, count) in [
            ("durability.batch", durability.batch),
            ("inbox.max", inbox.max),
            ("inbox.scheduled", inbox.scheduled),
            ("inbox.page", inbox.page),
            ("inbox.devices", inbox.devices),
            ("inbox.connections", inbox.connections),
            ("channels.kept", channels.kept),
            (
                "gateway.max_connections",
                gateway.max_connections.unwrap_or(1) as usize,
            ),
            ("gateway.handshake_rate", gateway.handshake_rate as usize),
            ("gateway.handshake_burst", gateway.handshake_burst as usize),
            ("gateway.per_user_connections", gateway.per_user_connections),
            ("socket.frame_bytes", socket.frame_bytes),
            (
                "socket.frames_per_second",
                socket.frames_per_second as usize,
            ),
            ("socket.frames_burst", socket.frames_burst as usize),
            ("socket.outbox_bytes", socket.outbox_bytes),
            ("socket.ack_batch", socket.ack_batch as usize),
            ("drain.min_rate", settings.drain.min_rate as usize),
            ("dispatcher.body_bytes", dispatcher.body_bytes),
            (
                "dispatcher.max_connections",
                dispatcher.max_connections.unwrap_or(1) as usize,
            ),
            ("dispatcher.bodies_per_key", dispatcher.bodies_per_key),
            (
                "dispatcher.requests_per_user",
                dispatcher.requests_per_user as usize,
            ),
            (
                "dispatcher.sends_per_key_burst",
                dispatcher.sends_per_key_burst.unwrap_or(1) as usize,
            ),
            (
                "dispatcher.sends_per_user_burst",
                dispatcher.sends_per_user_burst.unwrap_or(1) as usize,
            ),
            (
                "gateway.per_user_handshake_rate",
                gateway.per_user_handshake_rate as usize,
            ),
            ("gateway.refusal_rate", gateway.refusal_rate as usize),
        ] {
            self.require(
                count > 0,
                path,
                "0 would let nothing through",
                "choose 1 or more",
            );
        }
    }

    fn order(&mut self, settings: &Settings) {
        let Settings {
            inbox,
            lease,
            gateway,
            socket,
            dispatcher,
            ..
        } = settings;
        self.require(
            dispatcher.batch_bytes >= dispatcher.body_bytes,
            "dispatcher.batch_bytes",
            "a notification that may be sent alone would not fit into a batch",
            "make it at least dispatcher.body_bytes",
        );
        self.require(
            dispatcher.bodies_bytes >= dispatcher.body_bytes.max(dispatcher.batch_bytes)
                && u32::try_from(dispatcher.bodies_bytes).is_ok(),
            "dispatcher.bodies_bytes",
            "the largest body (dispatcher.body_bytes, dispatcher.batch_bytes) must fit, and all must into 4 GiB",
            "choose at least as much as both, and less than 4294967296",
        );
        self.require(
            lease.renew * 2 < lease.ttl,
            "lease.renew",
            "one missed renewal would lose the lease",
            "make it less than half of lease.ttl",
        );
        let deadline = lease.isolation_deadline;
        self.require(
            deadline.is_zero() || deadline > lease.ttl,
            "lease.isolation_deadline",
            "connections would be closed before the lease has ended",
            "make it longer than lease.ttl, or 0s for never",
        );
        self.require(
            socket.pong_timeout < socket.ping_interval,
            "socket.pong_timeout",
            "an answer could be due after the next ping",
            "make it shorter than socket.ping_interval",
        );
        self.require(
            socket.ping_interval < socket.idle_timeout,
            "socket.ping_interval",
            "a connection would be idle before its first ping",
            "make it shorter than socket.idle_timeout",
        );
        self.require(
            inbox.keep <= inbox.max,
            "inbox.keep",
            "more would be kept than fits",
            "make it at most inbox.max",
        );
        self.require(
            gateway.refusal_hold_min <= gateway.refusal_hold_max,
            "gateway.refusal_hold_min",
            "the shortest hold is longer than the longest",
            "make it at most gateway.refusal_hold_max",
        );
        self.require(
            socket.outbox_bytes >= dispatcher.body_bytes,
            "socket.outbox_bytes",
            "the largest notification would never fit",
            "make it at least dispatcher.body_bytes",
        );
    }

    fn gateway(&mut self, settings: &Settings) {
        let Settings {
            gateway,
            dispatcher,
            admin,
            ..
        } = settings;
        self.require(
            gateway.path.starts_with('/') && !gateway.path.contains(['?', '#', ' ']),
            "gateway.path",
            format!("{:?} is not a path", gateway.path),
            "start it with `/`, without a query",
        );
        let jitter = gateway.max_age_jitter;
        self.require(
            (0.0..=1.0).contains(&jitter),
            "gateway.max_age_jitter",
            format!("{jitter} is not a part of the whole"),
            "choose 0 to 1",
        );
        let name = gateway.name.as_deref().unwrap_or("gateway");
        self.require(
            name.len() <= 64
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
            "gateway.name",
            format!("{name:?} is not a name"),
            "use at most 64 letters, digits, `.`, `-` and `_`",
        );
        for (path, listen) in [
            ("gateway.listen", gateway.listen),
            ("dispatcher.listen", dispatcher.listen),
        ] {
            self.require(
                listen.port() == 0 || listen != admin.listen,
                path,
                "is the address of the admin port",
                "give each listener a port of its own",
            );
        }
        let level = tracing_subscriber::EnvFilter::try_new(&settings.log.level);
        self.require(
            level.is_ok() && !settings.log.level.trim().is_empty(),
            "log.level",
            format!("{:?} is not a level", settings.log.level),
            "write error, warn, info, debug or trace, or `info,carillon_gateway=debug`",
        );
    }

    fn kubernetes(&mut self, kubernetes: &KubernetesSettings) {
        let pod = kubernetes.pod_name.as_deref().unwrap_or("pod");
        self.require(
            GatewayId::of_pod(pod).is_ok(),
            "kubernetes.pod_name",
            format!("{pod:?} is not the name of a pod"),
            "let the downward API fill it in (metadata.name), or leave it empty",
        );
        self.require(
            !kubernetes.watch || !kubernetes.gateway_selector.trim().is_empty(),
            "kubernetes.gateway_selector",
            "is empty, which would take every pod for a gateway",
            "name the labels of the gateway pods, or set kubernetes.watch to false",
        );
    }

    fn namespaces(&mut self, namespaces: &[NamespaceSettings]) {
        for (index, namespace) in namespaces.iter().enumerate() {
            let path = format!("namespaces.{index}.prefix");
            let prefix = &namespace.prefix;
            self.require(
                prefix.len() < 255
                    && prefix
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c)),
                &path,
                format!("no channel starts with {prefix:?}"),
                "use letters, digits, `_`, `.`, `:` and `-`",
            );
            let first = namespaces.iter().position(|other| other.prefix == *prefix);
            self.require(
                first == Some(index),
                &path,
                format!("{prefix:?} is there twice"),
                "keep one table for each prefix",
            );
        }
    }

    fn tracing(&mut self, tracing: &TracingSettings) {
        let endpoint = Url::parse(tracing.endpoint()).ok();
        let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        self.require(
            !tracing.is_on() || endpoint.as_ref().is_some_and(fits),
            "tracing.endpoint",
            format!("{:?} is not where a collector listens", tracing.endpoint()),
            "write scheme, host and port, such as \"http://collector:4317\"",
        );
        self.require(
            (0.0..=1.0).contains(&tracing.ratio),
            "tracing.ratio",
            format!("{} is not a part of the whole", tracing.ratio),
            "choose 0 to 1",
        );
        self.require(
            (1..=tracing.queue).contains(&tracing.batch),
            "tracing.batch",
            format!("{} spans can never be gathered", tracing.batch),
            "choose 1 or more, and at most tracing.queue",
        );
        self.require(
            tracing.queue <= MAX_SPANS,
            "tracing.queue",
            format!("{} spans would take too much memory", tracing.queue),
            "choose at most 1000000",
        );
        self.require(
            tracing.timeout > Duration::ZERO,
            "tracing.timeout",
            "0s would fail everything at once",
            "give it some time",
        );
        let lists = [tracing.headers().err(), tracing.resource_attributes().err()];
        self.errors.extend(lists.into_iter().flatten());
        if tracing.ca_file.is_some() {
            self.errors.extend(tracing.tls().err());
        }
    }

    fn canary(&mut self, canary: &CanarySettings) {
        let url = canary.url.as_deref().unwrap_or("ws://gateway:8080");
        let fits = |url: Url| matches!(url.scheme(), "ws" | "wss") && url.has_host();
        self.require(
            Url::parse(url).is_ok_and(fits),
            "canary.url",
            format!("{url:?} is not where gateways are"),
            "write scheme, host and port, such as \"ws://gateway:8080\"",
        );
        self.require(
            canary.url.is_none() || canary.token_file.is_some(),
            "canary.token_file",
            "is not set, and no gateway lets anybody in without a token",
            "name a file with what `carillon token mint --user '$canary'` makes",
        );
        for (path, duration) in [
            ("canary.interval", canary.interval),
            ("canary.timeout", canary.timeout),
        ] {
            self.require(
                duration > Duration::ZERO,
                path,
                "0s would fail everything at once",
                "give it some time",
            );
        }
    }
}
