//! How a response begins whose body is a stream.

use std::time::Duration;

use carillon_common::protocol::CloseCode;

use super::events::Events;

/// Whoever has a token may read, from wherever: nothing that a browser adds by itself counts, unless a cookie may hold the
/// token. Which origins may is settled before.
pub(crate) const CORS: &str =
    "access-control-allow-origin: *\r\naccess-control-expose-headers: retry-after\r\n";

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In chunks (RFC 9112, section 7.1).
    Chunked,
    /// With the connection: HTTP/1.0 has no chunks.
    ToTheEnd,
}

impl Framing {
    /// That a client of this version understands.
    pub(crate) fn of(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_10 => Self::ToTheEnd,
            _ => Self::Chunked,
        }
    }
}

/// The head of a response, with its first bytes: when the client comes back, should the stream break.
pub(crate) fn head(framing: Framing, retry: Duration, cors: &str) -> Vec<u8> {
    let mut first = Events::default();
    first.retry(retry);
    first.unheard();
    with_head(framing, cors, first)
}

/// A whole response that says no more than why there is no stream now, and when to come back. With another status than
/// 200 a browser would never (HTML standard, section 9.2.3).
pub(crate) fn told_to_wait(
    framing: Framing,
    code: CloseCode,
    after: Duration,
    cors: &str,
) -> Vec<u8> {
    let mut only = Events::default();
    only.disconnect(code, code.reason(), after);
    with_head(framing, cors, only)
}

/// Nobody on the way is to keep it, to gather it (nginx) or to take it for something else.
fn with_head(framing: Framing, cors: &str, events: Events) -> Vec<u8> {
    let chunked = match framing {
        Framing::Chunked => "transfer-encoding: chunked\r\n",
        Framing::ToTheEnd => "",
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
         x-accel-buffering: no\r\nx-content-type-options: nosniff\r\n{cors}{chunked}connection: close\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&events.into_bytes(framing));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_begins_with_its_head_and_when_to_come_back() {
        let retry = Duration::from_millis(1_500);
        let text = String::from_utf8(head(Framing::Chunked, retry, CORS)).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"));
        assert!(
            text.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\r\n\r\n0000000d\r\nretry: 1500\n\n\r\n"),
            "{text}"
        );
        let text = String::from_utf8(head(Framing::ToTheEnd, retry, CORS)).unwrap();
        assert!(!text.contains("chunked") && text.ends_with("\r\n\r\nretry: 1500\n\n"));
    }

    #[test]
    fn who_is_to_wait_is_told_in_a_whole_response() {
        let after = Duration::from_secs(4);
        let text = told_to_wait(Framing::Chunked, CloseCode::Overloaded, after, CORS);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n0\r\n\r\n"));
        assert!(text.contains("retry: 4000\nevent: disconnect\n"), "{text}");
    }
}
