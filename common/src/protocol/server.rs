//! Frames that the gateway sends.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::{ErrorCode, Ref, SUBPROTOCOL};
use crate::{
    backend::{Gap, ReadChange, Waiting},
    ids::{ChannelName, Cursor, DeviceId, Millis, NotificationId, SessionId, UserId},
    notification::{Frame, rfc3339},
};

/// Limits as a `welcome` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SocketLimits {
    /// Largest frame a client may send.
    pub frame_bytes: usize,
    /// Channels per connection.
    pub channels: usize,
    /// Frames per second a client may send.
    pub frames_per_second: u32,
    /// Unacked notifications per user.
    pub inbox: u32,
}

/// A control frame. None ever has a top-level `id`; notifications always do.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are the protocol's, described in docs/protocol.md"
)]
pub enum ServerFrame<'a> {
    Pong {
        timestamp: String,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
    },
    Subscribed {
        channel: &'a ChannelName,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<Cursor>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
    },
    Unsubscribed {
        channel: &'a ChannelName,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
    },
    Welcome {
        protocol: &'static str,
        session: &'a SessionId,
        user: &'a UserId,
        device: Option<&'a DeviceId>,
        cursor: Cursor,
        recovered: bool,
        ping_interval_ms: u64,
        token_expires_at: String,
        limits: SocketLimits,
    },
    Authenticated {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        expires_at: String,
    },
    TokenExpiring {
        expires_at: String,
    },
    Replayed {
        cursor: Cursor,
        count: u64,
    },
    Gap {
        channel: Option<&'a ChannelName>,
        reason: Gap,
        resume: Cursor,
    },
    Error {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        code: ErrorCode,
        message: &'a str,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a ChannelName>,
    },
    Retracted {
        ids: &'a [NotificationId],
    },
    Changed {
        what: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<Cursor>,
        #[serde(skip_serializing_if = "Option::is_none")]
        notification: Option<NotificationId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        up_to: Option<Cursor>,
    },
    Reconnect {
        reason: &'static str,
        after_ms: u64,
        spread_ms: u64,
        deadline_ms: u64,
    },
    Disconnect {
        code: u16,
        reason: &'a str,
        retry_ms: u64,
    },
}

impl From<ReadChange> for ServerFrame<'_> {
    fn from(change: ReadChange) -> Self {
        let (one, up_to) = match change {
            ReadChange::One { cursor, id } => (Some((cursor, id)), None),
            ReadChange::UpTo(cursor) => (None, Some(cursor)),
        };
        Self::Changed {
            what: "read",
            cursor: one.map(|(cursor, _)| cursor),
            notification: one.map(|(_, id)| id),
            up_to,
        }
    }
}

impl ServerFrame<'_> {
    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pong { .. } => "pong",
            Self::Subscribed { .. } => "subscribed",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Welcome { .. } => "welcome",
            Self::Authenticated { .. } => "authenticated",
            Self::TokenExpiring { .. } => "token_expiring",
            Self::Replayed { .. } => "replayed",
            Self::Gap { .. } => "gap",
            Self::Error { .. } => "error",
            Self::Retracted { .. } => "retracted",
            Self::Changed { .. } => "changed",
            Self::Reconnect { .. } => "reconnect",
            Self::Disconnect { .. } => "disconnect",
        }
    }

    /// The JSON text.
    pub fn encode(&self) -> String {
        #[expect(
            clippy::expect_used,
            reason = "these types have no value that JSON cannot hold"
        )]
        serde_json::to_string(self).expect("a control frame is always JSON")
    }

    /// `subprotocol` as a welcome names it.
    pub const PROTOCOL: &'static str = SUBPROTOCOL;
}

/// A notification as `carillon.v1` writes it: the stored text, its place added.
pub fn notification_v1(frame: &Frame, replayed: bool) -> Bytes {
    let mut text = opened(&frame.body, 160);
    if frame.cursor != Cursor::ZERO {
        text.put_slice(b",\"cursor\":\"");
        text.put_slice(frame.cursor.to_string().as_bytes());
        text.put_u8(b'"');
    }
    put_time(&mut text, "expires_at", frame.expires_at);
    if replayed {
        put_time(&mut text, "stored_at", frame.stored_at);
        text.put_slice(b",\"replayed\":true");
    }
    text.put_u8(b'}');
    text.freeze()
}

/// A notification as the simple protocol writes it: the stored text, and when it is replayed from
/// the inbox, the time it was stored.
pub fn notification_simple(frame: &Frame, replayed: bool) -> Bytes {
    if !replayed {
        return frame.body.clone();
    }
    let mut text = opened(&frame.body, 48);
    put_time(&mut text, "stored_at", frame.stored_at);
    text.put_u8(b'}');
    text.freeze()
}

/// A notification as it stands in an inbox: the stored text, its place and its times added.
pub fn notification_kept(frame: &Frame) -> Bytes {
    let mut text = opened(&frame.body, 160);
    text.put_slice(b",\"cursor\":\"");
    text.put_slice(frame.cursor.to_string().as_bytes());
    text.put_u8(b'"');
    put_time(&mut text, "stored_at", frame.stored_at);
    put_time(&mut text, "expires_at", frame.expires_at);
    text.put_u8(b'}');
    text.freeze()
}

/// A notification that waits for its time: the text as it will be stored, its times and its key added.
pub fn notification_waiting(waiting: &Waiting) -> Bytes {
    let mut text = opened(&waiting.body, 200);
    put_time(&mut text, "deliver_at", waiting.due);
    put_time(&mut text, "accepted_at", waiting.accepted_at);
    put_time(&mut text, "expires_at", waiting.expires_at());
    text.put_slice(b",\"collapse_key\":");
    match &waiting.collapse_key {
        Some(key) => {
            text.put_u8(b'"');
            text.put_slice(key.as_str().as_bytes());
            text.put_u8(b'"');
        }
        None => text.put_slice(b"null"),
    }
    text.put_u8(b'}');
    text.freeze()
}

/// The object without its closing brace. We encoded it ourselves and it is never empty.
fn opened(body: &Bytes, room: usize) -> BytesMut {
    let mut text = BytesMut::with_capacity(body.len() + room);
    text.put_slice(body.strip_suffix(b"}").unwrap_or(body));
    text
}

fn put_time(text: &mut BytesMut, name: &str, time: Millis) {
    text.put_slice(b",\"");
    text.put_slice(name.as_bytes());
    text.put_slice(b"\":\"");
    text.put_slice(rfc3339(time).as_bytes());
    text.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            cursor: Cursor { seq: 5, nonce: 9 },
            id: NotificationId::nil(),
            stored_at: 1_767_225_600_000,
            expires_at: 1_767_225_660_000,
            tombstone: false,
            trace: None,
            body: Bytes::from_static(br#"{"id":"n","type":"t"}"#),
        }
    }

    #[test]
    fn a_live_notification_is_the_stored_text_to_a_simple_client() {
        assert_eq!(notification_simple(&frame(), false), frame().body);
    }

    #[test]
    fn a_replayed_one_says_when_it_was_stored() {
        assert_eq!(
            notification_simple(&frame(), true),
            r#"{"id":"n","type":"t","stored_at":"2026-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(
            notification_v1(&frame(), true),
            r#"{"id":"n","type":"t","cursor":"5-9","expires_at":"2026-01-01T00:01:00.000Z","stored_at":"2026-01-01T00:00:00.000Z","replayed":true}"#
        );
        assert_eq!(
            notification_kept(&frame()),
            r#"{"id":"n","type":"t","cursor":"5-9","stored_at":"2026-01-01T00:00:00.000Z","expires_at":"2026-01-01T00:01:00.000Z"}"#
        );
    }

    #[test]
    fn control_frames_have_no_id() {
        let user = UserId::new("alice").unwrap();
        let session = SessionId::new("s").unwrap();
        let frame = ServerFrame::Welcome {
            protocol: ServerFrame::PROTOCOL,
            session: &session,
            user: &user,
            device: None,
            cursor: Cursor::ZERO,
            recovered: true,
            ping_interval_ms: 25_000,
            token_expires_at: rfc3339(0),
            limits: SocketLimits {
                frame_bytes: 1,
                channels: 1,
                frames_per_second: 1,
                inbox: 1,
            },
        };
        let value: serde_json::Value = serde_json::from_str(&frame.encode()).unwrap();
        assert_eq!(value["type"], "welcome");
        assert!(value.get("id").is_none());
    }

    #[test]
    fn a_frames_kind_is_its_type() {
        let channel = ChannelName::new("orders").unwrap();
        let expires_at = || rfc3339(0);
        let (reference, cursor) = (None, Cursor::ZERO);
        for frame in [
            ServerFrame::Pong {
                timestamp: rfc3339(0),
                reference,
            },
            ServerFrame::Subscribed {
                channel: &channel,
                reference,
                cursor: None,
                recovered: None,
            },
            ServerFrame::Unsubscribed {
                channel: &channel,
                reference,
                code: None,
            },
            ServerFrame::Authenticated {
                reference,
                expires_at: expires_at(),
            },
            ServerFrame::TokenExpiring {
                expires_at: expires_at(),
            },
            ServerFrame::Replayed { cursor, count: 1 },
            ServerFrame::Gap {
                channel: None,
                reason: Gap::Expired,
                resume: cursor,
            },
            ServerFrame::Error {
                reference,
                code: ErrorCode::Unavailable,
                message: "",
                retryable: true,
                channel: None,
            },
            ServerFrame::Retracted {
                ids: &[NotificationId::nil()],
            },
            ReadChange::UpTo(Cursor::ZERO).into(),
            ServerFrame::Reconnect {
                reason: "draining",
                after_ms: 0,
                spread_ms: 0,
                deadline_ms: 0,
            },
            ServerFrame::Disconnect {
                code: 4204,
                reason: "unacked",
                retry_ms: 0,
            },
        ] {
            let value: serde_json::Value = serde_json::from_str(&frame.encode()).unwrap();
            assert_eq!(value["type"], frame.kind());
        }
    }
}
