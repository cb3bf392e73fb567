//! Events as text: all that one wake-up brings, in one chunk.

use std::time::Duration;

use carillon_common::protocol::{CloseCode, ServerFrame};

use super::Framing;
use crate::connection::Wire;

/// What stands around an event's data, at most.
const AROUND: usize = 48;
/// Where a chunk's length is put in (RFC 9112, section 7.1); zeros before it are allowed.
const CHUNK_HEAD: &[u8; 10] = b"00000000\r\n";
const CHUNK_END: &[u8] = b"\r\n";
/// After the last chunk.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// For a client that is to come back at once; spread, for not all to come together.
const SOON: std::ops::Range<u64> = 50..500;
/// For one that is of no use: another of its kind has taken its place, or it is not wanted. A browser cannot be told
/// never.
const NOT_SOON: Duration = Duration::from_secs(3_600);

/// Events in the order in which they are to be written.
#[derive(Debug, Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    is_last: bool,
}

impl Wire for Events {
    fn with_capacity(payloads: impl Iterator<Item = usize>) -> Self {
        let bytes: usize = payloads.map(|payload| AROUND + payload).sum();
        Self {
            bytes: Vec::with_capacity(bytes),
            is_last: false,
        }
    }

    /// Without a name, so that a page's `onmessage` is given it.
    fn notification(&mut self, text: &str) {
        self.data(text);
    }

    fn control(&mut self, kind: &'static str, text: &str) {
        self.field("event", kind);
        self.data(text);
    }

    /// Of the event that follows.
    fn position(&mut self, id: &str) {
        self.field("id", id);
    }

    /// A comment, which keeps proxies from taking the stream for dead.
    fn ping(&mut self, _: &str) {
        self.begin();
        self.bytes.extend_from_slice(b":\n\n");
    }
}

impl Events {
    /// When the client comes back after the stream has ended.
    pub(super) fn retry(&mut self, after: Duration) {
        self.field("retry", &after.as_millis().to_string());
    }

    /// Ends an event that has no data: no page hears of it.
    pub(super) fn unheard(&mut self) {
        self.bytes.push(b'\n');
    }

    /// The last event: why the stream ends, and when its client comes back, where nothing else says that.
    pub(super) fn disconnect(&mut self, code: CloseCode, reason: &str, otherwise: Duration) {
        let after = match code {
            CloseCode::Draining
            | CloseCode::Rebalance
            | CloseCode::TokenExpired
            | CloseCode::Disconnected
            | CloseCode::Unacked => Duration::from_millis(rand::random_range(SOON)),
            CloseCode::Replaced | CloseCode::Unauthenticated | CloseCode::Forbidden => NOT_SOON,
            _ => otherwise,
        };
        self.retry(after);
        let frame = ServerFrame::Disconnect {
            code: code.code(),
            reason,
            retry_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        };
        self.control(frame.kind(), &frame.encode());
        self.is_last = true;
    }

    fn begin(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(CHUNK_HEAD);
        }
    }

    /// `value` is one line.
    fn field(&mut self, name: &str, value: &str) {
        self.begin();
        for part in [name, ": ", value, "\n"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    /// The event's data, and its end. A line's end within it is one of the JSON between two of its parts, and may be
    /// any: a field ends with the line.
    fn data(&mut self, text: &str) {
        for line in text.split(['\n', '\r']) {
            self.field("data", line);
        }
        self.bytes.push(b'\n');
    }

    /// What is to be written of the response's body.
    pub(super) fn into_bytes(mut self, framing: Framing) -> Vec<u8> {
        if self.bytes.is_empty() {
            return self.bytes;
        }
        match framing {
            Framing::ToTheEnd => drop(self.bytes.drain(..CHUNK_HEAD.len())),
            Framing::Chunked => {
                let length = self.bytes.len() - CHUNK_HEAD.len();
                let head = format!("{length:08x}\r\n");
                self.bytes[..CHUNK_HEAD.len()].copy_from_slice(head.as_bytes());
                self.bytes.extend_from_slice(CHUNK_END);
                if self.is_last {
                    self.bytes.extend_from_slice(LAST_CHUNK);
                }
            }
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(events: Events, framing: Framing) -> String {
        String::from_utf8(events.into_bytes(framing)).unwrap()
    }

    #[test]
    fn notifications_have_no_name_and_control_frames_have_theirs() {
        let mut events = Events::default();
        events.control("welcome", r#"{"type":"welcome"}"#);
        events.position("1-2.3-4");
        events.notification(r#"{"id":"n"}"#);
        events.ping("");
        assert_eq!(
            text(events, Framing::ToTheEnd),
            "event: welcome\ndata: {\"type\":\"welcome\"}\n\nid: 1-2.3-4\ndata: {\"id\":\"n\"}\n\n:\n\n"
        );
        assert_eq!(text(Events::default(), Framing::Chunked), "");
    }

    #[test]
    fn a_line_within_the_data_begins_no_field() {
        let mut events = Events::default();
        events.notification("{\"id\":\"n\",\n\"data\":\r\n1}");
        assert_eq!(
            text(events, Framing::ToTheEnd),
            "data: {\"id\":\"n\",\ndata: \"data\":\ndata: \ndata: 1}\n\n"
        );
    }

    #[test]
    fn a_chunk_has_its_length_and_the_last_is_followed_by_an_empty_one() {
        let mut events = Events::default();
        events.notification(&"x".repeat(300));
        let chunk = text(events, Framing::Chunked);
        assert!(chunk.starts_with("00000134\r\ndata: x") && chunk.ends_with("x\n\n\r\n"));
        let mut events = Events::default();
        events.disconnect(CloseCode::Replaced, "a \"new\" tab", Duration::from_secs(2));
        let chunk = text(events, Framing::Chunked);
        assert!(
            chunk.contains("retry: 3600000\nevent: disconnect\n"),
            "{chunk}"
        );
        assert!(
            chunk.contains(r#""code":4009,"reason":"a \"new\" tab","#),
            "{chunk}"
        );
        assert!(chunk.ends_with("\n\n\r\n0\r\n\r\n"), "{chunk}");
    }

    #[test]
    fn who_is_to_come_back_comes_back_soon() {
        let wait = Duration::from_millis(2_345);
        for (code, soon) in [
            (CloseCode::Draining, true),
            (CloseCode::Unacked, true),
            (CloseCode::Overloaded, false),
            (CloseCode::GoingAway, false),
        ] {
            let mut events = Events::default();
            events.disconnect(code, code.reason(), wait);
            let text = text(events, Framing::ToTheEnd);
            let told = text.strip_prefix("retry: ").unwrap().split('\n').next();
            let told: u64 = told.unwrap().parse().unwrap();
            assert_eq!(SOON.contains(&told), soon, "{code:?}: {told}");
            assert!(soon || told == 2_345);
        }
    }
}
