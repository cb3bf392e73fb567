//! How notifications reach clients, and what kept them from it.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "delivery",
        title: "Delivery",
        description: "How fast notifications reach clients, what waits for them, and what they may have missed.",
        panels: vec![
            panel(
                "Latency by gateway",
                Unit::Seconds,
                "From acceptance to the writing to a socket. One gateway alone: its CPU; all: Redis' bus.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"histogram_quantile($quantile, sum by (le, pod, instance) (rate(carillon_gateway_delivery_latency_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Canary",
                Unit::Truth,
                "1 if the notification that a dispatcher sends to itself came round. 0: users see the same; the log of that dispatcher says what was missing.",
                &[("{{pod}} {{instance}}", r#"carillon_canary_success{*}"#)],
            ),
            panel(
                "Canary's round",
                Unit::Seconds,
                "From the store's door to the canary's socket.",
                &[(
                    "p$quantile",
                    r#"histogram_quantile($quantile, sum by (le) (rate(carillon_canary_roundtrip_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Lag of the bus",
                Unit::Seconds,
                "From publishing a probe to its return. What the latency owes to Redis.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"histogram_quantile($quantile, sum by (le, pod, instance) (rate(carillon_redis_bus_lag_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Fan-out",
                Unit::Seconds,
                "How long a channel's notification took to all members' outboxes. The bus waits meanwhile.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(carillon_gateway_fanout_duration_seconds_bucket{*}[$__rate_interval])))"#,
                    ),
                    (
                        "p$quantile",
                        r#"histogram_quantile($quantile, sum by (le) (rate(carillon_gateway_fanout_duration_seconds_bucket{*}[$__rate_interval])))"#,
                    ),
                ],
            ),
            panel(
                "Written",
                Unit::PerSecond,
                "Live; replayed: read from the inbox after a connection came back; expired: passed over.",
                &[(
                    "{{kind}}",
                    r#"sum by (kind) (rate(carillon_gateway_notifications_written_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Gaps told",
                Unit::PerSecond,
                "Clients that were told they may have missed something. rewound: Redis lost data.",
                &[(
                    "{{reason}}",
                    r#"sum by (reason) (rate(carillon_gateway_gaps_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Acks",
                Unit::PerSecond,
                "accepted; unknown: of a cursor that was not written there; refused by the store.",
                &[(
                    "{{result}}",
                    r#"sum by (result) (rate(carillon_gateway_acks_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Waiting",
                Unit::Bytes,
                "What waits in outboxes for sockets. Growth: clients do not read, or CPU is short.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_outbox_bytes{*}"#,
                )],
            ),
            panel(
                "Waiting, in number",
                Unit::Count,
                "Notifications and events that wait for connections.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_outbox_messages{*}"#,
                )],
            ),
            panel(
                "The fullest outbox",
                Unit::Ratio,
                "Of socket.outbox_bytes. At 1, its policy decides.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_outbox_fullest_ratio{*}"#,
                )],
            ),
            panel(
                "Full outboxes",
                Unit::PerSecond,
                "By what was done about it. inbox: nothing is lost, the client reads it later.",
                &[(
                    "{{policy}}",
                    r#"sum by (policy) (rate(carillon_gateway_outbox_overflow_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Slow clients",
                Unit::PerSecond,
                "Closed with 4102 because they did not read; they come back and catch up.",
                &[(
                    "closed",
                    r#"sum(rate(carillon_gateway_connections_closed_total{code="4102", *}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Inboxes read again",
                Unit::PerSecond,
                "By reason: a broken chain of hints, doubt about the bus, an audit. A steady rate is lost hints.",
                &[(
                    "{{reason}}",
                    r#"sum by (reason) (rate(carillon_gateway_resumes_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Repairs",
                Unit::PerSecond,
                "Broken chains, users that an audit found behind, registrations that nobody held.",
                &[
                    (
                        "broken chains",
                        r#"sum(rate(carillon_gateway_chain_breaks_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "audit",
                        r#"sum(rate(carillon_gateway_audit_repairs_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "strays",
                        r#"sum(rate(carillon_gateway_stray_registrations_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Events of the bus",
                Unit::PerSecond,
                "What came over the bus, by kind.",
                &[(
                    "{{kind}}",
                    r#"sum by (kind) (rate(carillon_gateway_bus_events_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Gave way",
                Unit::PerSecond,
                "Subscriptions that had come back by themselves and left for newer ones.",
                &[(
                    "subscriptions",
                    r#"sum(rate(carillon_gateway_restored_subscriptions_gave_way_total{*}[$__rate_interval]))"#,
                )],
            ),
        ],
    }
}
