//! The store: whether it answers, how fast, and what its bus does.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "redis",
        title: "Redis",
        description: "The store as the processes see it: calls, errors, connections, the bus, failovers.",
        panels: vec![
            panel(
                "Reached",
                Unit::Truth,
                "1 if the last call was answered. 0 everywhere: Redis is down; 0 in some: the way to it is.",
                &[("{{pod}} {{instance}}", r#"carillon_redis_up{*}"#)],
            ),
            panel(
                "Calls",
                Unit::PerSecond,
                "Calls, pipelines and group commits.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_redis_calls_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Call duration",
                Unit::Seconds,
                "By function or command. All slow: Redis or the network; one slow: that work.",
                &[(
                    "{{call}}",
                    r#"histogram_quantile($quantile, sum by (le, call) (rate(carillon_redis_call_duration_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Errors by kind",
                Unit::PerSecond,
                "What kept calls from being served; the kinds are in docs/operations.md.",
                &[(
                    "{{kind}}",
                    r#"sum by (kind) (rate(carillon_redis_errors_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Connections made",
                Unit::PerSecond,
                "Opened, and attempts that failed. After the start, each was made again because one broke.",
                &[
                    (
                        "opened",
                        r#"sum(rate(carillon_redis_connects_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "failed",
                        r#"sum(rate(carillon_redis_connect_failures_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Failovers",
                Unit::PerSecond,
                "Changes of primaries or slots that were followed, attempts to learn them that failed, redirects.",
                &[
                    (
                        "changes",
                        r#"sum(rate(carillon_redis_topology_changes_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "failures",
                        r#"sum(rate(carillon_redis_topology_failures_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "redirects",
                        r#"sum(rate(carillon_redis_redirects_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Lag of the bus",
                Unit::Seconds,
                "From publishing a probe to its return; deliveries are at least as late.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"histogram_quantile($quantile, sum by (le, pod, instance) (rate(carillon_redis_bus_lag_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Messages of the bus",
                Unit::PerSecond,
                "Hints that came, probes left out.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_redis_bus_messages_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Trouble of the bus",
                Unit::PerSecond,
                "Probes that did not come back, connections made again, doubts that make inboxes be read, refused subscriptions.",
                &[
                    (
                        "probes lost",
                        r#"sum(rate(carillon_redis_probes_lost_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "rebuilt",
                        r#"sum(rate(carillon_redis_bus_rebuilds_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "doubts",
                        r#"sum(rate(carillon_redis_bus_doubts_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "refused",
                        r#"sum(rate(carillon_redis_bus_refused_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Probes",
                Unit::PerSecond,
                "Probes of the bus that were sent. None: nothing watches whether hints arrive.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_redis_probes_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Calls per group commit",
                Unit::Count,
                "With durability.replicas: calls that shared one WAIT. Many: replicas confirm slowly.",
                &[(
                    "calls",
                    r#"sum(rate(carillon_redis_group_committed_total{*}[$__rate_interval])) / (sum(rate(carillon_redis_group_commits_total{*}[$__rate_interval])) > 0)"#,
                )],
            ),
            panel(
                "Clock",
                Unit::Seconds,
                "Redis' clock minus a process' own. Beyond a second, either way, a clock is wrong.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_redis_clock_offset_seconds{*}"#,
                )],
            ),
            panel(
                "Lost data",
                Unit::PerSecond,
                "Partitions that came back without what they had accepted. Any is a loss that clients are told of.",
                &[(
                    "partitions",
                    r#"sum(rate(carillon_redis_histories_rewound_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Reaped sessions",
                Unit::PerSecond,
                "Users whose connections to a dead gateway were ended.",
                &[(
                    "users",
                    r#"sum(rate(carillon_redis_reaped_sessions_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "In memory",
                Unit::Bytes,
                "What the in-memory store holds, where that is used instead of Redis.",
                &[("{{pod}} {{instance}}", r#"carillon_memory_store_bytes{*}"#)],
            ),
        ],
    }
}
