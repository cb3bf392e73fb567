//! What the stores count: each brings its own metrics.

use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

metrics! {
    /// What the Redis store counts, in either service.
    pub struct RedisMetrics {
        up: IntGauge = "carillon_redis_up" []
            "1 if the last call was answered, 0 if Redis could not be reached or did not answer. 0 everywhere: Redis is down; 0 in some: the way to it is.";
        calls: IntCounter = "carillon_redis_calls_total" []
            "Calls, pipelines and group commits asked for.";
        call_duration: HistogramVec = "carillon_redis_call_duration_seconds" ["call"] in CALLS
            "What calls took, by function or command; failed ones are in it. All slow: Redis or the network; one slow: that work.";
        errors: IntCounterVec = "carillon_redis_errors_total" ["kind"]
            "Calls that failed, by what kept them from being served: see docs/operations.md for the kinds.";
        redirects: IntCounter = "carillon_redis_redirects_total" []
            "MOVED and ASK answers that were followed. A steady rate: slots are moving.";
        connects: IntCounter = "carillon_redis_connects_total" []
            "Connections that were opened; more than the first few were made again after they broke.";
        connect_failures: IntCounter = "carillon_redis_connect_failures_total" []
            "Attempts to open a connection that failed.";
        topology_changes: IntCounter = "carillon_redis_topology_changes_total" []
            "Failovers and moved slots that were followed.";
        topology_failures: IntCounter = "carillon_redis_topology_failures_total" []
            "Attempts to learn the primaries that failed.";
        commits: IntCounter = "carillon_redis_group_commits_total" []
            "Group commits, each with one WAIT.";
        committed: IntCounter = "carillon_redis_group_committed_total" []
            "Calls in those group commits. Many in each: replicas confirm slowly.";
        messages: IntCounter = "carillon_redis_bus_messages_total" []
            "Messages that came over the bus, probes left out.";
        bus_lag: Histogram = "carillon_redis_bus_lag_seconds" []
            "From publishing a probe on the bus to its return. Slow: Redis is busy, or this process is late to read.";
        rebuilds: IntCounter = "carillon_redis_bus_rebuilds_total" []
            "Connections of the bus that were given up and made again. Often: the network, or Redis drops a slow subscriber.";
        dirty: IntCounter = "carillon_redis_bus_doubts_total" []
            "Times that messages of the bus may have been missed; each makes inboxes be read.";
        refused: IntCounter = "carillon_redis_bus_refused_total" []
            "Subscriptions that Redis refused, for now or for good.";
        probes: IntCounter = "carillon_redis_probes_total" []
            "Probes of the bus that were sent.";
        probes_lost: IntCounter = "carillon_redis_probes_lost_total" []
            "Probes of the bus that did not come back: until it is made again, notifications came late.";
        rewound: IntCounter = "carillon_redis_histories_rewound_total" []
            "Partitions that came back without what they had accepted, and were marked; devices that may miss something are told. Any growth is lost data.";
        reaped_sessions: IntCounter = "carillon_redis_reaped_sessions_total" []
            "Users whose connections to a dead gateway this process ended.";
        clock_offset: Gauge = "carillon_redis_clock_offset_seconds" []
            "Redis' clock minus our own. Beyond 1, either way: a clock is wrong, and so are latencies.";
    }
}

metrics! {
    /// What the in-memory store holds.
    pub struct MemoryMetrics {
        bytes: IntGauge = "carillon_memory_store_bytes" []
            "Bytes of stored notifications.";
        users: IntGauge = "carillon_memory_store_users" []
            "Users that something is kept for.";
        channels: IntGauge = "carillon_memory_store_channels" []
            "Channels that something is kept for.";
    }
}
