//! What one subscriber connection pushes, sorted inside the connection's own task.

use std::collections::HashSet;
use std::sync::OnceLock;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{BusMessage, DirtyReason, OnEvent};
use crate::telemetry::RedisMetrics;

/// The receiving end of one subscriber connection. Nothing in it blocks.
pub(super) struct Pushes {
    on_event: OnEvent,
    /// Ends the names of this connection's probe channels, and only theirs.
    pub(super) probe_id: String,
    /// The number of the last probe that came back.
    pub(super) probe_seen: watch::Sender<u64>,
    /// The connection is of no more use; `reason` says why.
    pub(super) broken: CancellationToken,
    reason: OnceLock<DirtyReason>,
    expected: Mutex<Expected>,
    /// Channels that the server took away.
    lost: Mutex<Vec<Bytes>>,
    pub(super) some_lost: Notify,
}

/// What the connection's task is waiting for.
#[derive(Default)]
struct Expected {
    replies: bool,
    leaving: HashSet<Bytes>,
}

impl Pushes {
    pub(super) fn new(on_event: OnEvent) -> Self {
        Self {
            on_event,
            probe_id: format!("{:016x}", rand::random::<u64>()),
            probe_seen: watch::Sender::new(0),
            broken: CancellationToken::new(),
            reason: OnceLock::new(),
            expected: Mutex::default(),
            lost: Mutex::default(),
            some_lost: Notify::new(),
        }
    }

    /// Takes one push message in.
    pub(super) fn receive(&self, info: PushInfo, stats: &RedisMetrics) {
        let mut data = info.data.into_iter();
        match info.kind {
            PushKind::SMessage => {
                if let (Some(channel), Some(payload)) = (bytes(data.next()), bytes(data.next())) {
                    self.message(channel, payload, stats);
                }
            }
            PushKind::SUnsubscribe => {
                if let Some(channel) = bytes(data.next()) {
                    self.unsubscribed(channel);
                }
            }
            PushKind::Disconnection => self.break_off(DirtyReason::Disconnected),
            _ => {}
        }
    }

    fn message(&self, channel: Bytes, payload: Bytes, stats: &RedisMetrics) {
        if channel.ends_with(self.probe_id.as_bytes()) {
            let number = std::str::from_utf8(&payload)
                .ok()
                .and_then(|text| text.parse().ok());
            self.probe_seen.send_if_modified(|seen| match number {
                Some(number) if number > *seen => {
                    *seen = number;
                    true
                }
                _ => false,
            });
            return;
        }
        stats.messages.inc();
        (self.on_event)(BusMessage::Message { channel, payload });
    }

    /// Redis says that a subscription is over: because we asked, or because the slot moved away.
    ///
    /// The client library takes any such push for the answer to its oldest pending command. So if
    /// it comes unasked while an answer is due, the answers are out of step from then on.
    fn unsubscribed(&self, channel: Bytes) {
        let mut expected = self.expected.lock();
        if expected.leaving.remove(&channel) {
            return;
        }
        if expected.replies {
            self.break_off(DirtyReason::Unsubscribed);
            return;
        }
        drop(expected);
        self.lost.lock().push(channel);
        self.some_lost.notify_one();
    }

    /// Announces that commands go out, unsubscribing `leaving`.
    pub(super) fn expect(&self, leaving: impl IntoIterator<Item = Bytes>) {
        *self.expected.lock() = Expected {
            replies: true,
            leaving: leaving.into_iter().collect(),
        };
    }

    /// All answers are in.
    pub(super) fn expect_nothing(&self) {
        *self.expected.lock() = Expected::default();
    }

    pub(super) fn take_lost(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.lost.lock())
    }

    /// Gives the connection up for `reason`, unless it has been before.
    pub(super) fn break_off(&self, reason: DirtyReason) {
        self.reason.get_or_init(|| reason);
        self.broken.cancel();
    }

    pub(super) fn reason(&self) -> DirtyReason {
        self.reason
            .get()
            .copied()
            .unwrap_or(DirtyReason::Disconnected)
    }
}

fn bytes(value: Option<Value>) -> Option<Bytes> {
    match value? {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn push(kind: PushKind, data: &[&str]) -> PushInfo {
        let data = data
            .iter()
            .map(|text| Value::BulkString(text.as_bytes().to_vec()))
            .collect();
        PushInfo { kind, data }
    }

    #[test]
    fn unsubscriptions_are_asked_for_lost_or_out_of_step() {
        let stats = RedisMetrics::new();
        let pushes = Pushes::new(Arc::new(|_| {}));
        let unsubscribe = |name| pushes.receive(push(PushKind::SUnsubscribe, &[name]), &stats);

        pushes.expect([Bytes::from_static(b"a")]);
        unsubscribe("a");
        pushes.expect_nothing();
        assert!(pushes.take_lost().is_empty());

        unsubscribe("b");
        assert_eq!(pushes.take_lost(), ["b"]);
        assert!(!pushes.broken.is_cancelled());

        pushes.expect([]);
        unsubscribe("c");
        assert!(pushes.broken.is_cancelled());
        assert_eq!(pushes.reason(), DirtyReason::Unsubscribed);
    }

    #[test]
    fn probes_are_not_events() {
        let stats = RedisMetrics::new();
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        let pushes = Pushes::new(Arc::new(move |event| sink.lock().push(event)));
        let probe = format!("p{{0}}:probe:{}", pushes.probe_id);
        pushes.receive(push(PushKind::SMessage, &[&probe, "4"]), &stats);
        pushes.receive(push(PushKind::SMessage, &[&probe, "3"]), &stats);
        assert_eq!(*pushes.probe_seen.borrow(), 4);
        pushes.receive(push(PushKind::SMessage, &["ch", "hello"]), &stats);
        let expected = BusMessage::Message {
            channel: "ch".into(),
            payload: "hello".into(),
        };
        assert_eq!(*events.lock(), [expected]);
        assert_eq!(stats.messages.get(), 1);
    }
}
