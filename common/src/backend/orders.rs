//! What a store is asked to accept, and what it answers.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    ids::{ChannelName, CollapseKey, Cursor, Millis, NotificationId, UserId},
    telemetry::spans::{Trace, TraceParent},
};

/// A personal notification to be accepted.
#[derive(Debug, Clone)]
pub struct SendOrder {
    /// For whom.
    pub user: UserId,
    /// Its identity.
    pub id: NotificationId,
    /// The JSON of [`crate::notification::Notification`].
    pub body: Bytes,
    /// How long it may be delivered; zero: to whoever is connected now, stored nowhere.
    pub ttl: Duration,
    /// The last one of the same key is replaced by this: it is delivered to nobody any more.
    pub collapse_key: Option<CollapseKey>,
    /// When it is to be delivered; its `ttl`, which is above zero then, counts from there. `None`: now.
    pub due: Option<Millis>,
    /// Recognises a repetition.
    pub idempotency: Idempotency,
    /// What traces it; the envelope carries it on then.
    pub trace: Option<Trace>,
}

/// A channel's notification to be accepted.
#[derive(Debug, Clone)]
pub struct PublishOrder {
    /// To which channel; [`ChannelName::broadcast`] for everyone.
    pub channel: ChannelName,
    /// Its identity.
    pub id: NotificationId,
    /// The JSON of [`crate::notification::Notification`].
    pub body: Bytes,
    /// How long it may be delivered; also bounded by the log's own retention.
    pub ttl: Duration,
    /// How many entries the channel's log keeps.
    pub history: u32,
    /// How long the channel's log lasts after its newest entry.
    pub retention: Duration,
    /// Recognises a repetition.
    pub idempotency: Idempotency,
    /// What traces it; the envelope carries it on then.
    pub trace: Option<Trace>,
}

impl SendOrder {
    /// What the envelope carries of its trace.
    pub fn parent(&self) -> Option<Box<TraceParent>> {
        self.trace.as_ref().map(|trace| Box::new(trace.parent()))
    }
}

impl PublishOrder {
    /// What the envelope carries of its trace.
    pub fn parent(&self) -> Option<Box<TraceParent>> {
        self.trace.as_ref().map(|trace| Box::new(trace.parent()))
    }
}

/// How a repeated order is recognised.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The caller and its key, or the notification's id when the caller gave none.
    pub key: String,
    /// What the order is to versions that took the keys of all callers for one.
    pub former: Option<Former>,
    /// Of the request's body: another body under the same key is refused.
    pub body_hash: String,
    /// For how long.
    pub ttl: Duration,
}

/// An order as versions know it that take the keys of all callers for one, so that a retry across an update is
/// recognised on either side of it. To be removed in the release after the next.
#[derive(Debug, Clone)]
pub struct Former {
    /// The caller's key alone.
    pub key: String,
    /// The id that follows from it.
    pub id: NotificationId,
}

impl Idempotency {
    /// The id of what was accepted; `own` unless a former version accepted it.
    pub fn accepted_id(&self, own: NotificationId, former: bool) -> NotificationId {
        let accepted = self.former.as_ref().filter(|_| former);
        accepted.map_or(own, |accepted| accepted.id)
    }
}

/// An accepted personal notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its place; `None` for an ephemeral one, and for one that waits for its time.
    pub cursor: Option<Cursor>,
    /// When it is due, where it was accepted for later.
    pub due: Option<Millis>,
    /// Connected devices at that moment, on gateways whose lease held.
    pub devices: u32,
    /// Whether the user ever connected (as far back as the inbox remembers).
    pub user_seen: bool,
    /// Whether this repeats an order that was accepted before.
    pub repeated: bool,
    /// Whether a former version accepted that, by [`Former`].
    pub former: bool,
}

/// An accepted channel notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its place in the channel's log.
    pub cursor: Cursor,
    /// Whether this repeats an order that was accepted before.
    pub repeated: bool,
    /// Whether a former version accepted that, by [`Former`].
    pub former: bool,
}
