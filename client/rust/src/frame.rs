//! What a gateway sends: notifications, and what it says about them.

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A notification as it came.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Notification {
    /// Its identity: who sees one again knows it by this.
    pub id: String,
    /// The application's own type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text for people.
    #[serde(default)]
    pub content: Option<String>,
    /// Any JSON of the application's, as it was sent.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// When it was accepted, RFC 3339 in UTC.
    #[serde(default)]
    pub timestamp: Option<String>,
    /// The user whose inbox it is of; none for a channel's and for a broadcast.
    #[serde(default)]
    pub target_user: Option<String>,
    /// The channel; on a notification of the inbox a label only.
    #[serde(default)]
    pub channel: Option<String>,
    /// Its position, opaque.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Whether it had been stored before this connection asked for it.
    #[serde(default)]
    pub replayed: bool,
    #[serde(skip)]
    text: Utf8Bytes,
}

impl Notification {
    /// Whether it is of the user's own inbox; others are a channel's or everyone's.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.target_user.is_some()
    }

    /// The JSON text, as the gateway wrote it; empty where it did not come from one.
    #[must_use]
    pub fn json(&self) -> &str {
        self.text.as_str()
    }
}

/// What a gateway says beside notifications. Times are in milliseconds, as they are on the wire.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are the protocol's, described in docs/protocol.md"
)]
pub enum Control {
    /// The first on every connection: who it is of, and where it goes on.
    Welcome {
        #[serde(default)]
        user: String,
        #[serde(default)]
        session: Option<String>,
        #[serde(default)]
        cursor: Option<String>,
        #[serde(default)]
        ping_interval_ms: Option<u64>,
    },
    /// What was missed has been sent; from here on notifications come as they are accepted.
    Replayed,
    /// A channel is followed, from this position on.
    Subscribed {
        #[serde(default)]
        channel: String,
        #[serde(default)]
        cursor: Option<String>,
    },
    /// Something is missing for good, of the inbox or of a channel; it goes on from `resume`.
    Gap {
        #[serde(default)]
        channel: Option<String>,
        #[serde(default)]
        reason: String,
        #[serde(default)]
        resume: Option<String>,
    },
    /// A request was refused.
    Error {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    },
    /// The token ends at this time, RFC 3339.
    TokenExpiring {
        #[serde(default)]
        expires_at: String,
    },
    /// The gateway asks to move to another, after a time by chance within the spread.
    Reconnect {
        #[serde(default)]
        after_ms: u64,
        #[serde(default)]
        spread_ms: u64,
    },
    /// These were taken back: they are to be shown no longer.
    Retracted {
        #[serde(default)]
        ids: Vec<String>,
    },
    /// The answer to a ping of the client's own.
    Pong,
    /// What this version does not need to know.
    #[serde(other)]
    Other,
}

/// Either of the two: notifications have an `id`, control frames never do.
pub(crate) enum Frame {
    Notification(Box<Notification>),
    Control(Control),
}

impl Frame {
    /// None for what is neither: receivers ignore what they do not know.
    pub(crate) fn read(text: Utf8Bytes) -> Option<Self> {
        if let Ok(mut notification) = serde_json::from_str::<Box<Notification>>(&text) {
            notification.text = text;
            return Some(Self::Notification(notification));
        }
        serde_json::from_str(&text).ok().map(Self::Control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_notification_or_the_gateways_own() {
        let text = r#"{"id":"n","type":"welcome","content":"c","data":{"a":1.50},"new":1}"#;
        let Some(Frame::Notification(read)) = Frame::read(text.into()) else {
            panic!("a notification by its id");
        };
        assert_eq!((read.id.as_str(), read.kind.as_str()), ("n", "welcome"));
        assert_eq!(read.data.as_ref().unwrap().get(), r#"{"a":1.50}"#);
        assert_eq!((read.json(), read.is_personal()), (text, false));

        for (text, shown) in [
            (
                r#"{"type":"replayed","cursor":"1-1","count":0}"#,
                "Replayed",
            ),
            (r#"{"type":"later","content":7}"#, "Other"),
            (
                r#"{"type":"reconnect","after_ms":5}"#,
                "Reconnect { after_ms: 5, spread_ms: 0 }",
            ),
        ] {
            let Some(Frame::Control(read)) = Frame::read(text.into()) else {
                panic!("{text}");
            };
            assert_eq!(format!("{read:?}"), shown);
        }
        for text in ["", "[]", "{}", r#"{"type":5}"#] {
            assert!(Frame::read(text.into()).is_none(), "{text}");
        }
    }
}
