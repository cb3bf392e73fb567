//! Versions, drains and who moves.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "rollout",
        title: "Rollout and drain",
        description: "Which versions run, who drains and how far, and what clients notice of it.",
        panels: vec![
            panel(
                "Versions",
                Unit::Count,
                "Processes by version. Both for longer than a rollout takes: it is stuck.",
                &[(
                    "{{service}} {{version}}",
                    r#"count by (service, version) (carillon_build_info{*})"#,
                )],
            ),
            panel(
                "Age",
                Unit::Seconds,
                "How long ago each process began.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"time() - process_start_time_seconds{*}"#,
                )],
            ),
            panel(
                "Draining",
                Unit::Truth,
                "1 while a gateway drains.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_draining{*} and carillon_gateway_connections_limit{*} > 0"#,
                )],
            ),
            panel(
                "Left to drain",
                Unit::Count,
                "Connections of gateways that drain: a slope, not a cliff.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_connections{*} * carillon_gateway_draining{*}"#,
                )],
            ),
            panel(
                "Time left",
                Unit::Seconds,
                "Until the drain is to be over. At 0 with connections left: it is stuck.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"clamp_min(carillon_gateway_drain_deadline_timestamp_seconds{*} - time(), 0) * carillon_gateway_draining{*}"#,
                )],
            ),
            panel(
                "Connections by gateway",
                Unit::Count,
                "How clients move from the old to the new.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_connections{*} and carillon_gateway_connections_limit{*} > 0"#,
                )],
            ),
            panel(
                "Closed by code",
                Unit::PerSecond,
                "4200 and 1012 are drains, 4202 rebalances. 1006 in a rollout: something cuts connections before we do.",
                &[(
                    "{{code}}",
                    r#"sum by (code) (rate(carillon_gateway_connections_closed_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Reconnects",
                Unit::PerSecond,
                "Connections opened on all gateways. A peak above what gateways close: clients come back too fast.",
                &[(
                    "opened",
                    r#"sum(rate(carillon_gateway_connections_opened_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Moved to balance",
                Unit::PerSecond,
                "Connections that were asked to move because other gateways have room.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_gateway_rebalanced_connections_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Leases lost",
                Unit::PerSecond,
                "Gateways that could not renew in time: their users counted as away.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_gateway_lease_lost_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Replicas",
                Unit::Count,
                "What autoscalers want and have (kube-state-metrics).",
                &[
                    (
                        "{{horizontalpodautoscaler}} wanted",
                        r#"kube_horizontalpodautoscaler_status_desired_replicas{cluster=~"$cluster", namespace=~"$namespace"}"#,
                    ),
                    (
                        "{{horizontalpodautoscaler}} has",
                        r#"kube_horizontalpodautoscaler_status_current_replicas{cluster=~"$cluster", namespace=~"$namespace"}"#,
                    ),
                ],
            ),
            panel(
                "Disruptions allowed",
                Unit::Count,
                "Pods that may be evicted now (kube-state-metrics). 0 for long blocks node drains.",
                &[(
                    "{{poddisruptionbudget}}",
                    r#"kube_poddisruptionbudget_status_pod_disruptions_allowed{cluster=~"$cluster", namespace=~"$namespace"}"#,
                )],
            ),
        ],
    }
}
