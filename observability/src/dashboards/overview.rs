//! What to look at first: whether the promises are kept, and how much goes on.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        title: "Overview",
        description: "Whether the service levels are kept, and how much goes on. The other dashboards say why.",
        panels: vec![
            panel("Connections", Unit::Count, "Open connections of all gateways.", &[
                ("connections", r#"sum(carillon_gateway_connections{*})"#),
            ]).number(),
            panel("Sends", Unit::PerSecond, "Sends and broadcasts that came in, each second.", &[
                ("requests", r#"sum(rate(carillon_dispatcher_http_requests_total{route=~"/api/notifications/(send|broadcast)", *}[$__rate_interval]))"#),
            ]).number(),
            panel("Redis reached", Unit::Ratio, "The part of all processes whose last call Redis answered. 0: it is down; between: the way to it is.", &[
                ("reached", r#"avg(carillon_redis_up{*})"#),
            ]).number(),
            panel("Publish errors", Unit::Ratio, "Sends and broadcasts answered 5xx. The budget is 0.05 %.", &[
                ("1 h", r#"carillon:publish_errors:ratio_rate1h{#}"#),
                ("5 m", r#"carillon:publish_errors:ratio_rate5m{#}"#),
            ]),
            panel("Late deliveries", Unit::Ratio, "Deliveries to connected clients later than 500 ms. The budget is 0.1 %.", &[
                ("1 h", r#"carillon:delivery_errors:ratio_rate1h{#}"#),
                ("5 m", r#"carillon:delivery_errors:ratio_rate5m{#}"#),
            ]),
            panel("Refused handshakes", Unit::Ratio, "Handshakes refused for our own reasons: limits, rate, store. The budget is 0.1 %.", &[
                ("1 h", r#"carillon:connect_errors:ratio_rate1h{#}"#),
                ("5 m", r#"carillon:connect_errors:ratio_rate5m{#}"#),
            ]),
            panel("Delivery latency", Unit::Seconds, "From the acceptance of a notification to its writing to a socket, replays left out.", &[
                ("p50", r#"histogram_quantile(0.5, sum by (le) (rate(carillon_gateway_delivery_latency_seconds_bucket{*}[$__rate_interval])))"#),
                ("p$quantile", r#"histogram_quantile($quantile, sum by (le) (rate(carillon_gateway_delivery_latency_seconds_bucket{*}[$__rate_interval])))"#),
            ]),
            panel("Notifications written", Unit::PerSecond, "Written to sockets: live, replayed after a connection came back, expired ones passed over.", &[
                ("{{kind}}", r#"sum by (kind) (rate(carillon_gateway_notifications_written_total{*}[$__rate_interval]))"#),
            ]),
            panel("Alerts", Unit::Count, "Alerts that fire, by name; each has a runbook. Nothing here: nothing fires.", &[
                ("{{alertname}} {{severity}}", r#"sum by (alertname, severity) (ALERTS{alertname=~"Carillon.*", alertstate="firing", #})"#),
            ]),
            panel("Processes", Unit::Count, "Running processes by service and version. Two versions for long: a rollout is stuck.", &[
                ("{{service}} {{version}}", r#"count by (service, version) (carillon_build_info{*})"#),
            ]),
            panel("To be changed", Unit::Truth, "1 for each reason to change the configuration or Redis; the log has the remedy.", &[
                ("{{reason}}", r#"max by (reason) (carillon_config_warnings{*})"#),
            ]),
            panel("Lost data", Unit::Count, "Partitions of Redis that came back without what they had accepted, in the last hour. Anything above 0 is a loss.", &[
                ("partitions", r#"sum(increase(carillon_redis_histories_rewound_total{*}[1h]))"#),
            ]).number(),
        ],
    }
}
