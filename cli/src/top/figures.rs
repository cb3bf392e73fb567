//! What two readings of a process come to: how many there are, how many a second, how long things took.

use std::time::Duration;

use serde::Serialize;

use super::Exposition;

/// A process that answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Service {
    /// As it was asked for.
    pub(crate) instance: String,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) dispatcher: Option<Dispatcher>,
    /// Whether every primary of Redis answers; none for a store in memory.
    pub(crate) redis_up: Option<bool>,
    pub(crate) redis_call_p99_seconds: Option<f64>,
    pub(crate) redis_errors_per_second: f64,
    /// CPU seconds a second.
    pub(crate) cpu: f64,
    pub(crate) memory_bytes: f64,
}

/// The gateway's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Gateway {
    pub(crate) connections: f64,
    pub(crate) connections_limit: f64,
    pub(crate) draining: bool,
    pub(crate) opened_per_second: f64,
    pub(crate) closed_per_second: f64,
    /// 1006: they broke.
    pub(crate) broken_per_second: f64,
    /// 4102: they did not read.
    pub(crate) slow_per_second: f64,
    pub(crate) refused_per_second: f64,
    pub(crate) delivered_per_second: f64,
    pub(crate) delivery_p50_seconds: Option<f64>,
    pub(crate) delivery_p99_seconds: Option<f64>,
    pub(crate) waiting_bytes: f64,
}

/// The dispatcher's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Dispatcher {
    pub(crate) in_flight: f64,
    pub(crate) in_flight_limit: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) sends_per_second: f64,
    pub(crate) request_p50_seconds: Option<f64>,
    pub(crate) request_p99_seconds: Option<f64>,
    /// 5xx: ours to mend.
    pub(crate) failed_per_second: f64,
    /// 4xx: the callers'.
    pub(crate) refused_per_second: f64,
}

/// Two readings, so far apart.
struct Between<'a> {
    before: &'a Exposition,
    after: &'a Exposition,
    seconds: f64,
}

/// What they come to.
pub(crate) fn figures(
    instance: &str,
    before: &Exposition,
    after: &Exposition,
    apart: Duration,
) -> Service {
    let between = Between {
        before,
        after,
        seconds: apart.as_secs_f64().max(0.001),
    };
    let redis = after.has("carillon_redis_up");
    Service {
        instance: instance.to_owned(),
        gateway: (after.sum("carillon_gateway_connections_limit") > 0.0).then(|| between.gateway()),
        dispatcher: (after.sum("carillon_dispatcher_http_requests_limit") > 0.0)
            .then(|| between.dispatcher()),
        redis_up: redis.then(|| after.sum("carillon_redis_up") > 0.0),
        redis_call_p99_seconds: between.quantile("carillon_redis_call_duration_seconds", 0.99),
        redis_errors_per_second: between.rate("carillon_redis_errors_total"),
        cpu: between.rate("process_cpu_seconds_total"),
        memory_bytes: after.sum("process_resident_memory_bytes"),
    }
}

impl Between<'_> {
    fn gateway(&self) -> Gateway {
        let closed = "carillon_gateway_connections_closed_total";
        let written = "carillon_gateway_notifications_written_total";
        let latency = "carillon_gateway_delivery_latency_seconds";
        Gateway {
            connections: self.after.sum("carillon_gateway_connections"),
            connections_limit: self.after.sum("carillon_gateway_connections_limit"),
            draining: self.after.sum("carillon_gateway_draining") > 0.0,
            opened_per_second: self.rate("carillon_gateway_connections_opened_total"),
            closed_per_second: self.rate(closed),
            broken_per_second: self.rate_of(closed, "code", |code| code == "1006"),
            slow_per_second: self.rate_of(closed, "code", |code| code == "4102"),
            refused_per_second: self.rate("carillon_gateway_handshakes_rejected_total"),
            delivered_per_second: self.rate_of(written, "kind", |kind| kind != "expired"),
            delivery_p50_seconds: self.quantile(latency, 0.5),
            delivery_p99_seconds: self.quantile(latency, 0.99),
            waiting_bytes: self.after.sum("carillon_gateway_outbox_bytes"),
        }
    }

    fn dispatcher(&self) -> Dispatcher {
        let requests = "carillon_dispatcher_http_requests_total";
        let duration = "carillon_dispatcher_http_request_duration_seconds";
        Dispatcher {
            in_flight: self
                .after
                .sum("carillon_dispatcher_http_requests_in_flight"),
            in_flight_limit: self.after.sum("carillon_dispatcher_http_requests_limit"),
            requests_per_second: self.rate(requests),
            sends_per_second: self.rate("carillon_dispatcher_sends_total"),
            request_p50_seconds: self.quantile(duration, 0.5),
            request_p99_seconds: self.quantile(duration, 0.99),
            failed_per_second: self.rate_of(requests, "code", |code| code.starts_with('5')),
            refused_per_second: self.rate_of(requests, "code", |code| code.starts_with('4')),
        }
    }

    fn rate(&self, name: &str) -> f64 {
        self.rate_of(name, "", |_| true)
    }

    fn rate_of(&self, name: &str, label: &str, is: impl Fn(&str) -> bool) -> f64 {
        let before = self.before.sum_of(name, label, &is);
        grown(before, self.after.sum_of(name, label, &is)) / self.seconds
    }

    /// Of what was observed in between, interpolated within a bucket as Prometheus does; none without any.
    fn quantile(&self, name: &str, part: f64) -> Option<f64> {
        let before = self.before.buckets(name);
        let counts = self.after.buckets(name).into_iter().map(|(bound, count)| {
            let then = before.iter().find(|(other, _)| *other == bound);
            (bound, grown(then.map_or(0.0, |(_, count)| *count), count))
        });
        let counts: Vec<_> = counts.collect();
        let all = counts.last().map_or(0.0, |(_, count)| *count);
        if all <= 0.0 {
            return None;
        }
        let wanted = part * all;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in counts {
            if count >= wanted {
                // Beyond the last bound nothing more is known.
                let within = (wanted - below) / (count - below).max(f64::MIN_POSITIVE);
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * within
                } else {
                    lower
                });
            }
            (lower, below) = (bound, count);
        }
        None
    }
}

/// A counter that is smaller than before belongs to a process that has started again.
fn grown(before: f64, after: f64) -> f64 {
    if after < before {
        after
    } else {
        after - before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use carillon_common::telemetry::{Metrics, RedisMetrics};

    use super::*;

    const APART: Duration = Duration::from_secs(2);

    fn read(metrics: &Metrics) -> Exposition {
        Exposition::parse(&metrics.render())
    }

    #[test]
    fn a_gateway_is_shown_by_what_happened_between_two_readings() {
        let metrics = Metrics::new("gateway");
        let redis = RedisMetrics::new();
        metrics.add(redis.collectors());
        redis.up.set(1);
        let gateway = &metrics.gateway;
        gateway.connections.set(7);
        gateway.connections_limit.set(20);
        gateway.draining.set(1);
        gateway.delivery_latency.observe(9.0);
        let before = read(&metrics);
        gateway.connections_opened.inc_by(6);
        for (code, count) in [("1006", 2), ("4102", 4), ("1000", 2)] {
            let closed = gateway
                .connections_closed
                .with_label_values(&[code, "none"]);
            closed.inc_by(count);
        }
        for (kind, count) in [("live", 10), ("replayed", 2), ("expired", 100)] {
            let written = gateway.notifications_written.with_label_values(&[kind]);
            written.inc_by(count);
        }
        for _ in 0..100 {
            gateway.delivery_latency.observe(0.0007);
        }
        let shown = figures("gw", &before, &read(&metrics), APART);
        assert_eq!((shown.redis_up, &shown.dispatcher), (Some(true), &None));
        let gateway = shown.gateway.unwrap();
        assert_eq!(
            (gateway.connections, gateway.connections_limit),
            (7.0, 20.0)
        );
        assert!(gateway.draining);
        assert_eq!(gateway.opened_per_second, 3.0);
        assert_eq!(gateway.closed_per_second, 4.0);
        assert_eq!(gateway.broken_per_second, 1.0);
        assert_eq!(gateway.slow_per_second, 2.0);
        assert_eq!(gateway.delivered_per_second, 6.0);
        // The nine seconds were before.
        assert_eq!(gateway.delivery_p50_seconds, Some(0.000_75));
    }

    #[test]
    fn a_dispatcher_that_started_again_counts_from_zero() {
        let before = Metrics::new("dispatcher");
        let count = |metrics: &Metrics, code: &str, count| {
            let requests = &metrics.dispatcher.http_requests;
            requests.with_label_values(&["/x", code]).inc_by(count);
        };
        count(&before, "200", 1_000);
        let after = Metrics::new("dispatcher");
        after.dispatcher.http_limit.set(4096);
        count(&after, "200", 10);
        count(&after, "503", 4);
        count(&after, "422", 2);
        let shown = figures("d", &read(&before), &read(&after), APART);
        assert_eq!((shown.redis_up, &shown.gateway), (None, &None));
        let dispatcher = shown.dispatcher.unwrap();
        assert_eq!(dispatcher.requests_per_second, 8.0);
        assert_eq!(dispatcher.failed_per_second, 2.0);
        assert_eq!(dispatcher.refused_per_second, 1.0);
        assert_eq!(dispatcher.request_p99_seconds, None);
    }

    /// A metric that gets another name would be 0 here for ever.
    #[test]
    fn every_metric_that_is_read_exists() {
        let declared: BTreeSet<_> = Metrics::declared().map(|metric| metric.name).collect();
        let source = include_str!("figures.rs");
        let named: BTreeSet<_> = source
            .split('"')
            .filter(|text| text.starts_with("carillon_") || text.starts_with("process_"))
            .filter(|text| text.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            .collect();
        assert!(named.len() > 15, "{named:?}");
        let unknown: Vec<_> = named
            .into_iter()
            .filter(|name| name.len() > 10 && !declared.contains(name))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
