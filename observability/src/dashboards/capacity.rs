//! What is used of what there is.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "capacity",
        title: "Capacity",
        description: "What is used of each limit, and what a connection costs.",
        panels: vec![
            panel(
                "Connections",
                Unit::Ratio,
                "Of those that a gateway takes. Scale at 60 %, look for the reason at 85 %.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_connections{*} / (carillon_gateway_connections_limit{*} > 0)"#,
                )],
            ),
            panel(
                "Open files",
                Unit::Ratio,
                "Of those that a process may open. At 1, nobody is accepted.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"process_open_fds{*} / process_max_fds{*}"#,
                )],
            ),
            panel(
                "Memory",
                Unit::Ratio,
                "Of what the control group may use. At 1, the kernel kills.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"process_resident_memory_bytes{*} / (carillon_process_memory_limit_bytes{*} > 0)"#,
                )],
            ),
            panel(
                "Memory in use",
                Unit::Bytes,
                "Of each process.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"process_resident_memory_bytes{*} and on (cluster, namespace, job, instance) carillon_build_info{*}"#,
                )],
            ),
            panel(
                "Memory of a connection",
                Unit::Bytes,
                "A gateway's memory by its connections; what the process itself needs is in it while they are few.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"process_resident_memory_bytes{*} / (carillon_gateway_connections{*} > 0)"#,
                )],
            ),
            panel(
                "CPU",
                Unit::Count,
                "Cores that each process uses.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(process_cpu_seconds_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Busy threads",
                Unit::Ratio,
                "Of the threads that run tasks. Near 1: more CPU, or more processes.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_runtime_busy_seconds_total{*}[$__rate_interval]) / (carillon_runtime_workers{*} > 0)"#,
                )],
            ),
            panel(
                "Requests under way",
                Unit::Ratio,
                "Of those that a dispatcher takes at once.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_dispatcher_http_requests_in_flight{*} / (carillon_dispatcher_http_requests_limit{*} > 0)"#,
                )],
            ),
            panel(
                "Fullest outbox",
                Unit::Ratio,
                "Of what may wait for one connection.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_gateway_outbox_fullest_ratio{*} and carillon_gateway_connections_limit{*} > 0"#,
                )],
            ),
            panel(
                "Handshakes",
                Unit::PerSecond,
                "Connections opened by each gateway; gateway.handshake_rate is the most.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_gateway_connections_opened_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Connections that nodes track",
                Unit::Ratio,
                "Of net.netfilter.nf_conntrack_max (node exporter). At 1, nodes drop packets of new connections.",
                &[(
                    "{{instance}}",
                    r#"node_nf_conntrack_entries{cluster=~"$cluster"} / node_nf_conntrack_entries_limit{cluster=~"$cluster"}"#,
                )],
            ),
            panel(
                "Users and channels in memory",
                Unit::Count,
                "That the in-memory store keeps something for, where that is used.",
                &[
                    ("users", r#"sum(carillon_memory_store_users{*})"#),
                    ("channels", r#"sum(carillon_memory_store_channels{*})"#),
                ],
            ),
        ],
    }
}
