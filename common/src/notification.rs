//! The notification: what a service asks for, what is stored, what a client reads.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::ids::{ChannelName, Cursor, Millis, NotificationId, UserId};
use crate::telemetry::spans::TraceParent;

/// A notification as a client reads it, before it has a place in an inbox.
///
/// It is encoded once, when it is accepted; that text is stored and, but for the fields that
/// depend on the reader, is what every socket is given.
#[derive(Debug, Serialize)]
pub struct Notification<'a> {
    /// Identity; clients remove duplicates by it.
    pub id: NotificationId,
    /// The application's type, never one of the protocol's own.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Text for people.
    pub content: &'a str,
    /// Any JSON of the application's, passed on as it came.
    pub data: &'a RawValue,
    /// When it was accepted, RFC 3339 in UTC with milliseconds.
    pub timestamp: String,
    /// The user it is for; null for a channel's.
    pub target_user: Option<&'a UserId>,
    /// The channel; on a personal notification a label only.
    pub channel: Option<&'a ChannelName>,
}

impl Notification<'_> {
    /// The JSON text, an object.
    ///
    /// # Errors
    /// Never for the types above; serde_json's signature says so.
    pub fn encode(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }
}

/// RFC 3339 (section 5.6) in UTC with milliseconds, as in every frame and answer.
pub fn rfc3339(time: Millis) -> String {
    jiff::Timestamp::from_millisecond(time)
        .unwrap_or(jiff::Timestamp::MAX)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// The time that a text is by RFC 3339 (section 5.6), in any offset; `None` for another text, and before 1970.
pub fn from_rfc3339(text: &str) -> Option<Millis> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond()).filter(|ms| *ms >= 0)
}

/// A notification at its place in an inbox or a channel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its position.
    pub cursor: Cursor,
    /// Its identity.
    pub id: NotificationId,
    /// When it was stored, in Redis' time.
    pub stored_at: Millis,
    /// From when on it is never delivered, in Redis' time.
    pub expires_at: Millis,
    /// True when it stands only to keep the chain whole and is not delivered.
    pub tombstone: bool,
    /// The sender's span, where it is traced.
    pub trace: Option<Box<TraceParent>>,
    /// The JSON of [`Notification`]; of a tombstone empty, unless it [marks a loss](Self::is_loss).
    pub body: Bytes,
}

impl Frame {
    /// Whether a client may be given it at `now`.
    pub fn deliverable(&self, now: Millis) -> bool {
        !self.tombstone && self.expires_at > now
    }

    /// What it takes of a bound on memory, in bytes: its body, and about what stands around that.
    pub fn weight(&self) -> usize {
        self.body.len() + 160
    }

    /// Whether it stands where the store has lost something that it had accepted: whoever reads it may
    /// miss something, and is told.
    pub fn is_loss(&self) -> bool {
        self.tombstone && !self.body.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_simple_protocol_to_the_letter() {
        let user = UserId::new("alice").unwrap();
        let data = RawValue::from_string(r#"{"n":1.50}"#.to_owned()).unwrap();
        let notification = Notification {
            id: NotificationId::nil(),
            kind: "order.shipped",
            content: "On its way",
            data: &data,
            timestamp: rfc3339(1_767_225_600_000),
            target_user: Some(&user),
            channel: None,
        };
        assert_eq!(
            notification.encode().unwrap(),
            r#"{"id":"00000000-0000-0000-0000-000000000000","type":"order.shipped","content":"On its way","data":{"n":1.50},"timestamp":"2026-01-01T00:00:00.000Z","target_user":"alice","channel":null}"#
        );
    }
}
