//! REST: what is asked, and how it is answered.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "dispatchers",
        title: "Dispatchers",
        description: "REST: requests, answers, what they took, and who sends.",
        panels: vec![
            panel(
                "Requests by route",
                Unit::PerSecond,
                "By the route's pattern; other: no route of ours.",
                &[(
                    "{{route}}",
                    r#"sum by (route) (rate(carillon_dispatcher_http_requests_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Answers by status",
                Unit::PerSecond,
                "5xx are ours to mend: 503 mostly means Redis. 4xx are the caller's.",
                &[(
                    "{{code}}",
                    r#"sum by (code) (rate(carillon_dispatcher_http_requests_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Problems",
                Unit::PerSecond,
                "Answers with a problem, by its code (docs/api.md).",
                &[(
                    "{{code}}",
                    r#"sum by (code) (rate(carillon_dispatcher_problems_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Request duration",
                Unit::Seconds,
                "From a request's head to its answer, by route.",
                &[(
                    "{{route}}",
                    r#"histogram_quantile($quantile, sum by (le, route) (rate(carillon_dispatcher_http_request_duration_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Send duration",
                Unit::Seconds,
                "What the store took for a send. Requests slower than this wait for their bodies or for CPU.",
                &[(
                    "{{outcome}}",
                    r#"histogram_quantile($quantile, sum by (le, outcome) (rate(carillon_dispatcher_send_duration_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Under way",
                Unit::Ratio,
                "Requests under way beside those that may be. At 1, callers get 503.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_dispatcher_http_requests_in_flight{*} / (carillon_dispatcher_http_requests_limit{*} > 0)"#,
                )],
            ),
            panel(
                "Sends by outcome",
                Unit::PerSecond,
                "routed to devices, queued in the inbox, dropped (ttl 0, nobody there), scheduled for later, duplicate, refused, failed.",
                &[(
                    "{{outcome}}",
                    r#"sum by (outcome) (rate(carillon_dispatcher_sends_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Sends by sender",
                Unit::PerSecond,
                "By the API key's name; the first hundred, the others are other.",
                &[(
                    "{{sender}}",
                    r#"sum by (sender) (rate(carillon_dispatcher_sends_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Devices per send",
                Unit::Count,
                "Connected devices that a send was routed to, on average.",
                &[(
                    "devices",
                    r#"sum(rate(carillon_dispatcher_send_devices_sum{*}[$__rate_interval])) / (sum(rate(carillon_dispatcher_send_devices_count{*}[$__rate_interval])) > 0)"#,
                )],
            ),
            panel(
                "Scheduled, by outcome",
                Unit::PerSecond,
                "What waited for its time: routed, queued, expired, put off by a full inbox, failed; and what was cancelled.",
                &[
                    (
                        "{{outcome}}",
                        r#"sum by (outcome) (rate(carillon_dispatcher_scheduled_fired_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "cancelled",
                        r#"sum(rate(carillon_dispatcher_scheduled_cancelled_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Lag of scheduled ones",
                Unit::Seconds,
                "From when they were due to their delivery. Above a second: more is due at once than is delivered, or Redis was away.",
                &[(
                    "lag",
                    r#"histogram_quantile($quantile, sum by (le) (rate(carillon_dispatcher_scheduled_lag_seconds_bucket{*}[$__rate_interval])))"#,
                )],
            ),
            panel(
                "Refused callers",
                Unit::PerSecond,
                "Without a key, with a wrong one, or with one that lacks the scope.",
                &[(
                    "{{reason}}",
                    r#"sum by (reason) (rate(carillon_dispatcher_auth_failures_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "One too many",
                Unit::PerSecond,
                "Requests refused because they were one too many: of one service (key), or for one user.",
                &[(
                    "{{limit}}",
                    r#"sum by (limit) (rate(carillon_dispatcher_rate_limited_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "On its own share",
                Unit::Truth,
                "1 while the store lends a dispatcher nothing, so that it goes on with its share of every limit.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_dispatcher_allowance_alone{*} and carillon_dispatcher_http_requests_limit{*} > 0"#,
                )],
            ),
            panel(
                "Borrowed allowance",
                Unit::PerSecond,
                "Times that allowance was borrowed, beside the sends; and accounts forgotten because there were too many.",
                &[
                    (
                        "{{result}}",
                        r#"sum by (result) (rate(carillon_dispatcher_allowance_borrowed_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "forgotten",
                        r#"sum(rate(carillon_dispatcher_allowance_forgotten_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Accounts",
                Unit::Count,
                "Services and users whose rates are counted.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_dispatcher_allowance_accounts{*}"#,
                )],
            ),
            panel(
                "Watch of pods",
                Unit::Truth,
                "1 while gateway pods are watched. 0 with kubernetes.watch: the dead are reaped when their leases end.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_dispatcher_pod_watch{*} and carillon_dispatcher_http_requests_limit{*} > 0"#,
                )],
            ),
            panel(
                "Gateways reaped",
                Unit::PerSecond,
                "Gateways whose pod was seen dead. terminated: it crashed.",
                &[(
                    "{{cause}}",
                    r#"sum by (cause) (rate(carillon_dispatcher_reaped_gateways_total{*}[$__rate_interval]))"#,
                )],
            ),
        ],
    }
}
