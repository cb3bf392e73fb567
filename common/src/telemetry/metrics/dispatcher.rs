//! What a dispatcher counts.

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

metrics! {
    /// What a dispatcher counts.
    pub struct DispatcherMetrics {
        http_requests: IntCounterVec = "carillon_dispatcher_http_requests_total" ["route", "code"]
            "Requests, by route (its pattern, not its path) and status. 5xx are ours to mend; 507: an inbox or Redis is full.";
        http_duration: HistogramVec = "carillon_dispatcher_http_request_duration_seconds" ["route"]
            "From a request's head to its answer. Slow while sends are fast: callers send their bodies slowly.";
        http_in_flight: IntGauge = "carillon_dispatcher_http_requests_in_flight" []
            "Requests under way. Near the limit: Redis is slow, or more dispatchers are needed.";
        http_limit: IntGauge = "carillon_dispatcher_http_requests_limit" []
            "Requests that may be under way; beyond it callers get 503. 0: this process is no dispatcher.";
        problems: IntCounterVec = "carillon_dispatcher_problems_total" ["code"]
            "Requests that were answered with a problem, by its code (docs/api.md).";
        sends: IntCounterVec = "carillon_dispatcher_sends_total" ["outcome", "sender"]
            "Sends (routed, queued, dropped, duplicate, refused, failed), by the API key's name (the first hundred; the others are other).";
        send_duration: HistogramVec = "carillon_dispatcher_send_duration_seconds" ["outcome"]
            "What the store took for a send, attempts after a failure included.";
        send_devices: Histogram = "carillon_dispatcher_send_devices" [] in COUNTS
            "Connected devices that a send was routed to.";
        auth_failures: IntCounterVec = "carillon_dispatcher_auth_failures_total" ["reason"]
            "Requests without a key, with a wrong one, or with one that lacks the scope.";
        pod_watch: IntGauge = "carillon_dispatcher_pod_watch" []
            "1 while the gateway pods are watched; 0 with kubernetes.watch: the dead are reaped when their leases end.";
        reaped: IntCounterVec = "carillon_dispatcher_reaped_gateways_total" ["cause"]
            "Gateways that were reaped because their pod was seen dead (deleted, terminated). terminated: it crashed.";
    }
}

metrics! {
    /// What the canary finds.
    pub struct CanaryMetrics {
        success: IntGaugeVec = "carillon_canary_success" []
            "1 if the canary's last notification came round (dispatcher, Redis, gateway, socket), 0 if not: the dispatcher's log says what was missing. Only the dispatcher whose turn it is tells it.";
        roundtrip: Histogram = "carillon_canary_roundtrip_seconds" []
            "From giving the canary's notification to the store to its arrival at its socket. What users see, without their networks.";
    }
}
