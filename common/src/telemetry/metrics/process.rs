//! What every process tells of itself. The names that begin with `process_` are those that exporters of all
//! kinds use, so that dashboards for any program work.

use prometheus::{Counter, Gauge, IntCounterVec, IntGauge, IntGaugeVec};

metrics! {
    /// What every process tells.
    pub struct ProcessMetrics {
        build: IntGaugeVec = "carillon_build_info" ["version", "rustc", "service"]
            "Always 1; the labels tell what runs. More than one version for longer than a rollout takes: it is stuck.";
        config_warnings: IntGaugeVec = "carillon_config_warnings" ["reason"]
            "1 for each reason to change the configuration or Redis, 0 where it is well; the log has the remedy.";
        memory_limit: IntGauge = "carillon_process_memory_limit_bytes" []
            "What the control group may use before the kernel kills in it; 0: no limit. Compare with process_resident_memory_bytes.";
        runtime_workers: IntGauge = "carillon_runtime_workers" []
            "Threads that run tasks. Busy seconds per second near this number: more CPU is needed.";
        runtime_tasks: IntGauge = "carillon_runtime_tasks" []
            "Tasks that live: about one for each connection. Growth without connections: a leak.";
        runtime_queue: IntGauge = "carillon_runtime_queue_depth" []
            "Tasks that wait for any thread. Above 0 for long: the process has too little CPU.";
        runtime_busy: Counter = "carillon_runtime_busy_seconds_total" []
            "Seconds that threads spent running tasks, all together.";
        cpu: Counter = "process_cpu_seconds_total" []
            "CPU used, user and system.";
        open_fds: IntGauge = "process_open_fds" []
            "Open files; each connection is one.";
        max_fds: IntGauge = "process_max_fds" []
            "Files that may be open. When open ones reach it, nobody is accepted any more.";
        resident: IntGauge = "process_resident_memory_bytes" []
            "Memory in use. Growth without connections or traffic: a leak.";
        virtual_memory: IntGauge = "process_virtual_memory_bytes" []
            "Address space; says little about memory in use.";
        threads: IntGauge = "process_threads" []
            "Threads of the operating system.";
        start_time: Gauge = "process_start_time_seconds" []
            "When the process began, in Unix time. A recent one that nobody asked for: it crashed; see the log of the one before.";
    }
}

metrics! {
    /// What became of reading the configuration and `auth.dir` again.
    pub struct ReloadMetrics {
        reload_success: IntGauge = "carillon_config_reload_success" []
            "1 if the configuration and all of auth.dir were in order when they were last read, else 0: what a file said before stays, and the log names it.";
        reload_success_at: Gauge = "carillon_config_last_reload_success_timestamp_seconds" []
            "When the configuration and all of auth.dir were last read and in order.";
        reloads: IntCounterVec = "carillon_config_reloads_total" ["result"]
            "Times that the configuration and auth.dir were read again (changed, unchanged; faulty: a file was not in order).";
        need_restart: IntGauge = "carillon_config_need_restart" []
            "Settings that say something else in the configuration than what is in force, because they are read at the start alone. The log names them.";
    }
}

metrics! {
    /// Of the key sets that issuers publish.
    pub struct JwksMetrics {
        fetched_at: IntGaugeVec = "carillon_jwks_last_success_timestamp_seconds" ["issuer"]
            "When the key set of an issuer was last fetched. Older than auth.jwks_refresh: keys that the issuer added since are not known, and those that it took away still are.";
        fetches: IntCounterVec = "carillon_jwks_fetches_total" ["issuer", "result"]
            "Fetches of key sets (changed, unchanged; what kept one from coming: timeout, unreachable, ca_file, redirect, status, too_large, malformed, too_many_keys, no_keys).";
        keys: IntGaugeVec = "carillon_jwks_keys" ["issuer", "use"]
            "Keys of the set in force (usable; passed_over: of kinds, or for uses, that tokens are not verified with).";
    }
}

metrics! {
    /// What became of spans.
    pub struct TracingMetrics {
        spans: IntCounterVec = "carillon_tracing_spans_total" ["result"]
            "Finished spans (sent; failed: the collector did not take them; dropped: too many waited). Lost spans are gaps in traces, and nothing else.";
    }
}
