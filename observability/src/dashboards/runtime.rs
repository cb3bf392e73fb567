//! The processes themselves.

use crate::dashboard::{Dashboard, Unit, panel};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "runtime",
        title: "Runtime",
        description: "The processes themselves: threads, tasks, memory, files.",
        panels: vec![
            panel(
                "Busy threads",
                Unit::Ratio,
                "Of the threads that run tasks.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(carillon_runtime_busy_seconds_total{*}[$__rate_interval]) / (carillon_runtime_workers{*} > 0)"#,
                )],
            ),
            panel(
                "Tasks",
                Unit::Count,
                "Tasks that live: about one for each connection. Growth without connections: a leak.",
                &[("{{pod}} {{instance}}", r#"carillon_runtime_tasks{*}"#)],
            ),
            panel(
                "Waiting tasks",
                Unit::Count,
                "Tasks that wait for any thread. Above 0 for long: too little CPU.",
                &[("{{pod}} {{instance}}", r#"carillon_runtime_queue_depth{*}"#)],
            ),
            panel(
                "CPU",
                Unit::Count,
                "Cores in use.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"rate(process_cpu_seconds_total{*}[$__rate_interval])"#,
                )],
            ),
            panel(
                "Memory in use",
                Unit::Bytes,
                "Resident memory.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"process_resident_memory_bytes{*}"#,
                )],
            ),
            panel(
                "Address space",
                Unit::Bytes,
                "Says little about memory in use.",
                &[("{{pod}} {{instance}}", r#"process_virtual_memory_bytes{*}"#)],
            ),
            panel(
                "Open files",
                Unit::Count,
                "Each connection is one.",
                &[("{{pod}} {{instance}}", r#"process_open_fds{*}"#)],
            ),
            panel(
                "Threads",
                Unit::Count,
                "Of the operating system; workers among them.",
                &[
                    ("{{pod}} {{instance}}", r#"process_threads{*}"#),
                    (
                        "{{pod}} {{instance}} workers",
                        r#"carillon_runtime_workers{*}"#,
                    ),
                ],
            ),
            panel(
                "Age",
                Unit::Seconds,
                "How long ago each process began. A fall that nobody asked for: it crashed.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"time() - process_start_time_seconds{*}"#,
                )],
            ),
            panel(
                "Builds",
                Unit::Count,
                "Processes by version and compiler.",
                &[(
                    "{{service}} {{version}} rustc {{rustc}}",
                    r#"count by (service, version, rustc) (carillon_build_info{*})"#,
                )],
            ),
            panel(
                "Keys and issuers in order",
                Unit::Truth,
                "1 if the configuration and all of auth.dir were in order when they were last read; 0: what a file said before stays, and the log names it.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"carillon_config_reload_success{*}"#,
                )],
            ),
            panel(
                "Readings of auth.dir",
                Unit::PerSecond,
                "Times that it and the configuration were read again, by what became of it.",
                &[(
                    "{{result}}",
                    r#"sum by (result) (rate(carillon_config_reloads_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Since auth.dir was last in order",
                Unit::Seconds,
                "Grows where nothing changes; it is a fault only while the panel before shows 0.",
                &[(
                    "{{pod}} {{instance}}",
                    r#"time() - (carillon_config_last_reload_success_timestamp_seconds{*} > 0)"#,
                )],
            ),
            panel(
                "Settings that need a restart",
                Unit::Count,
                "Those that say something else in the configuration than what is in force; the log names them.",
                &[("{{pod}} {{instance}}", r#"carillon_config_need_restart{*}"#)],
            ),
            panel(
                "Age of issuers' keys",
                Unit::Seconds,
                "Since the key set of an issuer was last fetched. Far beyond auth.jwks_refresh: its host does not answer, or with nonsense.",
                &[(
                    "{{issuer}} {{pod}} {{instance}}",
                    r#"time() - carillon_jwks_last_success_timestamp_seconds{*}"#,
                )],
            ),
            panel(
                "Fetches of issuers' keys",
                Unit::PerSecond,
                "By what became of them: changed and unchanged are well, all others say what kept the keys from coming.",
                &[(
                    "{{issuer}} {{result}}",
                    r#"sum by (issuer, result) (rate(carillon_jwks_fetches_total{*}[$__rate_interval]))"#,
                )],
            ),
            panel(
                "Issuers' keys",
                Unit::Count,
                "Of the sets in force. Those that are passed over are of other kinds or uses.",
                &[(
                    "{{issuer}} {{use}}",
                    r#"max by (issuer, use) (carillon_jwks_keys{*})"#,
                )],
            ),
            panel(
                "Spans",
                Unit::PerSecond,
                "Of traced notifications, by what became of them. Failed or dropped ones are gaps in traces, and nothing else.",
                &[(
                    "{{result}}",
                    r#"sum by (result) (rate(carillon_tracing_spans_total{*}[$__rate_interval]))"#,
                )],
            ),
        ],
    }
}
