//! Who is connected, how they come and how they go.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "connections",
        title: "Connections",
        description: "Connections of gateways: how many, how even, how they begin and end.",
        panels: vec![
            panel(
                "Connections by gateway",
                Unit::Count,
                "Open connections. Gateways that were added stay empty until clients move: `carillon rebalance`.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_connections{*} and carillon_gateway_connections_limit{*} > 0"#,
                )],
            ),
            panel(
                "Used of the limit",
                Unit::Ratio,
                "Connections beside those that are taken. At 1, clients get 503.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_connections{*} / (carillon_gateway_connections_limit{*} > 0)"#,
                )],
            ),
            panel(
                "Skew",
                Unit::Ratio,
                "The fullest gateway beside the mean. Above 180 % for long: rebalance.",
                &[(
                    "fullest / mean",
                    r#"max(carillon_gateway_connections{*} and carillon_gateway_connections_limit{*} > 0) / (avg(carillon_gateway_connections{*} and carillon_gateway_connections_limit{*} > 0) > 0)"#,
                )],
            ),
            panel(
                "Opened",
                Unit::PerSecond,
                "Connections that were authenticated and registered. A jump without a rollout: clients reconnect.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_gateway_connections_opened_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Closed by code",
                Unit::PerSecond,
                "1006: broken; 1001, 1012, 42xx: moved; 4102: did not read; the codes are in docs/protocol.md.",
                &[(
                    "{{code}} by {{initiator}}",
                    r#"sum by (code, initiator) (rate(carillon_gateway_connections_closed_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Event streams",
                Unit::Count,
                "Those that are open, among the connections. Many: networks or proxies let no WebSocket through.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_streams{*} and carillon_gateway_connections_limit{*} > 0"#,
                )],
            ),
            panel(
                "Event streams ended",
                Unit::PerSecond,
                "By code. 4204: their clients come back to ack; the others are in docs/protocol.md.",
                &[(
                    "{{code}}",
                    r#"sum by (code) (rate(carillon_gateway_streams_ended_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Refused handshakes",
                Unit::PerSecond,
                "By reason. connections, rate and store are ours to mend; token_… is the client's.",
                &[(
                    "{{reason}}",
                    r#"sum by (reason) (rate(carillon_gateway_handshakes_rejected_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Handshake",
                Unit::Seconds,
                "From the upgrade request to the answer that the client is connected; Redis has registered it then.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(carillon_gateway_handshake_duration_seconds_bucket{*}[$__rate_interval])))"#,
                    ),
                    (
                        "p$quantile",
                        r#"histogram_quantile($quantile, sum by (le) (rate(carillon_gateway_handshake_duration_seconds_bucket{*}[$__rate_interval])))"#,
                    ),
                ],
            ),
            panel(
                "Lifetime",
                Unit::Seconds,
                "How long connections lived that ended. Many of the same length: something in between ends them.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(carillon_gateway_connection_duration_seconds_bucket{*}[$__rate_interval])))"#,
                    ),
                    (
                        "p$quantile",
                        r#"histogram_quantile($quantile, sum by (le) (rate(carillon_gateway_connection_duration_seconds_bucket{*}[$__rate_interval])))"#,
                    ),
                ],
            ),
            panel(
                "Subscriptions",
                Unit::Count,
                "Memberships in channels, and channels that gateways follow.",
                &[
                    ("memberships", r#"sum(carillon_gateway_subscriptions{*})"#),
                    (
                        "channels, by gateway",
                        r#"max(carillon_gateway_channels{*})"#,
                    ),
                ],
            ),
            panel(
                "Frames of clients",
                Unit::PerSecond,
                "Texts are requests; pongs answer our pings and confirm what was written.",
                &[(
                    "{{kind}}",
                    r#"sum by (kind) (rate(carillon_gateway_received_frames_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Bytes",
                Unit::BytesPerSecond,
                "Of frames written to sockets, and of texts that came.",
                &[
                    (
                        "written",
                        r#"sum(rate(carillon_gateway_written_bytes_total{*}[$__rate_interval]))"#,
                    ),
                    (
                        "received",
                        r#"sum(rate(carillon_gateway_received_bytes_total{*}[$__rate_interval]))"#,
                    ),
                ],
            ),
            panel(
                "Refused requests of clients",
                Unit::PerSecond,
                "Frames that were answered with an error, by its code.",
                &[(
                    "{{code}}",
                    r#"sum by (code) (rate(carillon_gateway_refused_frames_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Devices forgotten",
                Unit::PerSecond,
                "Of users with more devices than are remembered. A steady rate: a client takes a new name each time.",
                &[(
                    "forgotten",
                    r#"sum(rate(carillon_gateway_devices_forgotten_total{*}[$__rate_interval]))"#,
                )],
            ),
        ],
    }
}
