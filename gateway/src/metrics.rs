//! What the gateway tells of itself: its counters, looked up once, and its spans.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use carillon_common::{
    backend::{BusEvent, LEASE_LOST},
    ids::Millis,
    settings::OverflowPolicy,
    telemetry::{GatewayMetrics, Spans},
};
use prometheus::IntCounter;
use tokio_tungstenite::tungstenite::Message;

use crate::{busiest::Busiest, session::Note};

/// Counts what the gateway does.
#[derive(Clone)]
pub(crate) struct Counters {
    /// By name, for what is rare.
    pub all: GatewayMetrics,
    /// Who has the most of it.
    pub busiest: Arc<Busiest>,
    /// Of traced notifications.
    pub spans: Spans,
    live: IntCounter,
    replayed: IntCounter,
    foreign_acks: IntCounter,
    acks: IntCounter,
    texts: IntCounter,
    pongs: IntCounter,
}

/// What waits in the outboxes of connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Notifications and events.
    pub messages: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Bytes in the fullest one.
    pub most: usize,
}

impl Counters {
    /// Counts into these, and traces with those.
    pub(crate) fn new(all: GatewayMetrics, spans: Spans) -> Self {
        // There before the first: an alert on their growth needs a zero to grow from.
        for reason in ["connections", "rate", "store"] {
            all.handshakes_rejected.with_label_values(&[reason]);
        }
        for labels in [["4102", "server"], ["1006", "none"]] {
            all.connections_closed.with_label_values(&labels);
        }
        Self {
            live: all.notifications_written.with_label_values(&["live"]),
            replayed: all.notifications_written.with_label_values(&["replayed"]),
            foreign_acks: all.acks.with_label_values(&["unknown"]),
            acks: all.acks.with_label_values(&["accepted"]),
            texts: all.frames_received.with_label_values(&["text"]),
            pongs: all.frames_received.with_label_values(&["pong"]),
            busiest: Arc::new(Busiest::new()),
            all,
            spans,
        }
    }

    /// A frame of a client.
    pub(crate) fn received(&self, frame: &Message) {
        match frame {
            Message::Text(text) => {
                self.texts.inc();
                self.all.bytes_received.inc_by(text.len() as u64);
            }
            Message::Pong(_) => self.pongs.inc(),
            _ => self.all.frames_received.with_label_values(&["other"]).inc(),
        }
    }

    /// What waits for connections, of `bound` bytes that may wait for each.
    pub(crate) fn waiting(&self, waiting: Waiting, bound: usize) {
        self.all.outbox_messages.set(gauge(waiting.messages));
        self.all.outbox_bytes.set(gauge(waiting.bytes));
        let fullest = waiting.most as f64 / bound.max(1) as f64;
        self.all.outbox_fullest.set(fullest);
    }

    /// Channels that are followed, and memberships in them.
    pub(crate) fn followed(&self, channels: usize, subscriptions: usize) {
        self.all.channels.set(gauge(channels));
        self.all.subscriptions.set(gauge(subscriptions));
    }

    /// Every connection is to be gone in so long.
    pub(crate) fn drains_within(&self, time: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let deadline = now.unwrap_or_default() + time;
        self.all.drain_deadline.set(deadline.as_secs_f64());
    }

    /// A hint that does not continue the chain.
    pub(crate) fn chain_break(&self, kind: &str) {
        self.all.chain_breaks.inc();
        self.all.resumes.with_label_values(&[kind]).inc();
    }

    /// Hints that found a mailbox full.
    pub(crate) fn overflow(&self, policy: OverflowPolicy, count: u64) {
        if count > 0 {
            let policy = match policy {
                OverflowPolicy::Disconnect => "disconnect",
                OverflowPolicy::DropOldest => "drop_oldest",
                OverflowPolicy::Latest => "latest",
            };
            self.all
                .outbox_overflow
                .with_label_values(&[policy])
                .inc_by(count);
        }
    }

    /// Personal hints that found a mailbox full; they stay in the inbox.
    pub(crate) fn behind(&self, count: usize) {
        if count > 0 {
            self.all
                .outbox_overflow
                .with_label_values(&["inbox"])
                .inc_by(count as u64);
        }
    }

    /// A hint or a control message from the bus.
    pub(crate) fn bus_event(&self, event: &BusEvent) {
        let kind = match event {
            BusEvent::Inbox { .. } => "inbox",
            BusEvent::Ephemeral { .. } => "fleeting",
            BusEvent::Retracted { .. } => "retracted",
            BusEvent::Read { .. } => "read",
            BusEvent::Assigned { .. } => "assigned",
            BusEvent::Unassigned { .. } => "unassigned",
            BusEvent::Channel { .. } => "channel",
            BusEvent::Replaced { .. } => "replaced",
            BusEvent::Dirty { .. } => "dirty",
            BusEvent::Control(_) => "control",
            BusEvent::Isolated => "isolated",
        };
        self.all.bus_events.with_label_values(&[kind]).inc();
        if matches!(event, BusEvent::Dirty { reason } if *reason == LEASE_LOST) {
            self.all.lease_lost.inc();
        }
    }

    /// A question who is on a channel that is not answered, because too many wait.
    pub(crate) fn roll_call_passed_over(&self) {
        let kind = ["roll_call_passed_over"];
        self.all.bus_events.with_label_values(&kind).inc();
    }

    /// The store was told of an ack, and took it or refused it for good.
    pub(crate) fn acked(&self, taken: bool) {
        if taken {
            self.acks.inc();
        } else {
            self.all.acks.with_label_values(&["refused"]).inc();
        }
    }

    /// Something that a session noted.
    pub(crate) fn note(&self, note: Note, now: Millis) {
        match note {
            Note::Written { replayed: true, .. } => self.replayed.inc(),
            Note::Written {
                replayed: false,
                stored_at,
            } => {
                self.live.inc();
                let seconds = Duration::from_millis((now - stored_at).max(0) as u64);
                self.all.delivery_latency.observe(seconds.as_secs_f64());
            }
            Note::ChainBreak => self.chain_break("chain"),
            Note::Gap(reason) => self.all.gaps.with_label_values(&[reason.as_str()]).inc(),
            Note::Expired => self
                .all
                .notifications_written
                .with_label_values(&["expired"])
                .inc(),
            Note::ForeignAck => self.foreign_acks.inc(),
            Note::AuditRepair => {
                self.all.audit_repairs.inc();
                self.all.resumes.with_label_values(&["audit"]).inc();
            }
            Note::GaveWay => self.all.restored_gave_way.inc(),
            Note::Refused(code) => {
                let code = code.as_str();
                self.all.refused_frames.with_label_values(&[code]).inc();
            }
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
