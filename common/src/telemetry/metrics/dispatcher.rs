//! What a dispatcher counts.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

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
            "Sends (routed, queued, dropped, scheduled, duplicate, refused, failed), by the API key's name (the first hundred; the others are other).";
        send_duration: HistogramVec = "carillon_dispatcher_send_duration_seconds" ["outcome"]
            "What the store took for a send, attempts after a failure included.";
        send_devices: Histogram = "carillon_dispatcher_send_devices" [] in COUNTS
            "Connected devices that a send was routed to.";
        scheduled_fired: IntCounterVec = "carillon_dispatcher_scheduled_fired_total" ["outcome"]
            "Scheduled notifications whose time came (routed, queued; expired: their ttl passed before they could be delivered; put_off: the inbox is full, they are tried again; failed: the store did not do it, they are tried again).";
        scheduled_lag: Histogram = "carillon_dispatcher_scheduled_lag_seconds" []
            "From when a scheduled notification was due to its delivery to the inbox, in the store's time. Above a second: too few dispatchers for what is due at once, or Redis is slow, or was away.";
        scheduled_cancelled: IntCounter = "carillon_dispatcher_scheduled_cancelled_total" []
            "Scheduled notifications that were cancelled.";
        auth_failures: IntCounterVec = "carillon_dispatcher_auth_failures_total" ["reason"]
            "Requests without a key, with a wrong one, or with one that lacks the scope.";
        rate_limited: IntCounterVec = "carillon_dispatcher_rate_limited_total" ["limit"]
            "Requests that were refused because they were one too many (key: of one service; user: for one user). See dispatcher.sends_per_key and sends_per_user.";
        allowance_alone: IntGauge = "carillon_dispatcher_allowance_alone" []
            "1 while the store lends this dispatcher nothing, so that it goes on with its share of every limit: the store is away, or slow.";
        allowance_accounts: IntGauge = "carillon_dispatcher_allowance_accounts" []
            "Services and users whose rates are counted here.";
        borrowed: IntCounterVec = "carillon_dispatcher_allowance_borrowed_total" ["result"]
            "Times that this dispatcher borrowed from the store what may be sent (answered, failed). Beside the sends: none waits for it.";
        allowance_forgotten: IntCounter = "carillon_dispatcher_allowance_forgotten_total" []
            "Accounts that were forgotten while they still counted, because too many were used at once; each may have a little more than its limit.";
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
