//! What a gateway counts.

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};

metrics! {
    /// What a gateway counts.
    pub struct GatewayMetrics {
        connections: IntGauge = "carillon_gateway_connections" []
            "Open connections. Compare with the limit, and between gateways: one that has many more is to be rebalanced.";
        connections_limit: IntGauge = "carillon_gateway_connections_limit" []
            "Connections that are taken; beyond it clients get 503. 0: this process is no gateway.";
        connections_opened: IntCounter = "carillon_gateway_connections_opened_total" []
            "Connections that were authenticated and registered. A jump without a rollout: clients reconnect.";
        connections_closed: IntCounterVec =
            "carillon_gateway_connections_closed_total" ["code", "initiator"]
            "Connections that ended, by close code (those of the protocol, else other) and by who began it (client, server, none). 1006: broken; 4102: did not read; see docs/protocol.md.";
        streams: IntGauge = "carillon_gateway_streams" []
            "Open event streams; they are among the connections. Many: networks or proxies let no WebSocket through.";
        streams_ended: IntCounterVec = "carillon_gateway_streams_ended_total" ["code"]
            "Event streams that ended, by close code; they are among the connections that ended. 4204: their clients come back to ack, the others mean what they do for sockets.";
        connection_duration: Histogram = "carillon_gateway_connection_duration_seconds" [] in LIVES
            "How long connections lived. Many of the same length: something between here and the client ends them.";
        handshakes_rejected: IntCounterVec =
            "carillon_gateway_handshakes_rejected_total" ["reason"]
            "Connection attempts that were refused. arrivals, connections, rate and store are ours to mend, the others the client's.";
        handshake_duration: Histogram = "carillon_gateway_handshake_duration_seconds" []
            "From the upgrade request to the answer that the client is connected. Slow: Redis is, or too many come at once.";
        notifications_written: IntCounterVec =
            "carillon_gateway_notifications_written_total" ["kind"]
            "Notifications written to a socket (live, replayed; expired ones are passed over). Many replayed: clients reconnect, or hints are lost.";
        bytes_written: IntCounter = "carillon_gateway_written_bytes_total" []
            "Bytes of frames written to sockets.";
        frames_received: IntCounterVec = "carillon_gateway_received_frames_total" ["kind"]
            "Frames of clients (text, pong, other). Many pongs per connection: ping_interval is short.";
        bytes_received: IntCounter = "carillon_gateway_received_bytes_total" []
            "Bytes of clients' texts.";
        acks: IntCounterVec = "carillon_gateway_acks_total" ["result"]
            "Acknowledgements (accepted; unknown: of a cursor that was not written there; refused by the store). Many unknown: a client keeps cursors wrongly.";
        gaps: IntCounterVec = "carillon_gateway_gaps_total" ["reason"]
            "Gaps that clients were told of: expired and too_many by the settings of inboxes, rewound after Redis lost data.";
        outbox_bytes: IntGauge = "carillon_gateway_outbox_bytes" []
            "Bytes that wait for connections, all together, a moment ago. Growth: clients read too slowly, or the process has too little CPU.";
        outbox_messages: IntGauge = "carillon_gateway_outbox_messages" []
            "Notifications and events that wait for connections, a moment ago.";
        outbox_fullest: Gauge = "carillon_gateway_outbox_fullest_ratio" []
            "How full the fullest outbox was, a moment ago, of socket.outbox_bytes. 1: it overflows.";
        outbox_overflow: IntCounterVec = "carillon_gateway_outbox_overflow_total" ["policy"]
            "Times that an outbox was full, by what was done about it. inbox: nothing is lost, the client reads it later.";
        subscriptions: IntGauge = "carillon_gateway_subscriptions" []
            "Memberships of connections in channels.";
        channels: IntGauge = "carillon_gateway_channels" []
            "Channels that the gateway follows, the one of broadcasts included.";
        fan_out: Histogram = "carillon_gateway_fanout_duration_seconds" []
            "How long it took to hand a channel's notification to all members' outboxes. The bus waits meanwhile.";
        resumes: IntCounterVec = "carillon_gateway_resumes_total" ["reason"]
            "Readings of an inbox (chain, channel, dirty, audit). A burst after Redis was away is right; a steady rate is lost hints.";
        bus_events: IntCounterVec = "carillon_gateway_bus_events_total" ["kind"]
            "Hints that came over the bus.";
        chain_breaks: IntCounter = "carillon_gateway_chain_breaks_total" []
            "Hints that did not follow what was delivered before; each makes the inbox be read. A steady rate: the bus loses hints.";
        strays: IntCounter = "carillon_gateway_stray_registrations_total" []
            "Registrations that no connection held, ended.";
        audit_repairs: IntCounter = "carillon_gateway_audit_repairs_total" []
            "Users that an audit found behind or not registered. Growth: hints are lost; deliveries come late, but come.";
        devices_forgotten: IntCounter = "carillon_gateway_devices_forgotten_total" []
            "Devices of which nothing is known any more, because their user had more than are remembered. Growth: a client takes a new name each time.";
        lease_lost: IntCounter = "carillon_gateway_lease_lost_total" []
            "Times that the gateway's lease ended before it was renewed: Redis was away, or the process stood still.";
        refused_frames: IntCounterVec = "carillon_gateway_refused_frames_total" ["code"]
            "Requests of clients that were answered with an error, by its code.";
        restored_gave_way: IntCounter =
            "carillon_gateway_restored_subscriptions_gave_way_total" []
            "Subscriptions that had come back by themselves and left to make room for newer ones.";
        rebalanced: IntCounter = "carillon_gateway_rebalanced_connections_total" []
            "Connections that were asked to move, for gateways to be balanced.";
        draining: IntGauge = "carillon_gateway_draining" []
            "1 while the gateway drains; how many are left is in carillon_gateway_connections.";
        drain_deadline: Gauge = "carillon_gateway_drain_deadline_timestamp_seconds" []
            "When the drain is to be over, in Unix time; 0 while nobody was asked to move. Connections after it: the drain is stuck.";
        delivery_latency: Histogram = "carillon_gateway_delivery_latency_seconds" []
            "From the acceptance of a notification (Redis' time) to its writing to a socket, replays left out. Slow: see the lag of the bus, then CPU.";
    }
}
