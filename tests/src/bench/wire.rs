//! The little of HTTP/1.1 and WebSocket that the load client and the floor speak.

/// A text frame's opcode (RFC 6455 section 5.2).
pub const TEXT: u8 = 1;
/// A close frame's.
pub const CLOSE: u8 = 8;
/// A ping's.
pub const PING: u8 = 9;
/// A pong's.
pub const PONG: u8 = 10;

/// An upgrade request for `target` (path and query), for `carillon.v1` or the simple protocol.
#[must_use]
pub fn upgrade(target: &str, v1: bool) -> Vec<u8> {
    let protocol = if v1 {
        "Sec-WebSocket-Protocol: carillon.v1\r\n"
    } else {
        ""
    };
    format!(
        "GET {target} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    )
    .into_bytes()
}

/// A JSON POST over a connection that stays open.
#[must_use]
pub fn post(target: &str, key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A server's text frame.
#[must_use]
pub fn server_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = header(TEXT, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

/// A client's frame; masked with zeros, which leaves the payload as it is.
#[must_use]
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), 0x80);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn header(opcode: u8, length: usize, mask: u8) -> Vec<u8> {
    let mut header = Vec::with_capacity(length + 8);
    header.push(0x80 | opcode);
    match u8::try_from(length) {
        Ok(length @ ..=125) => header.push(mask | length),
        _ => {
            header.push(mask | 126);
            header.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    header
}

/// A server's frame at the start of `bytes`: opcode, payload, and the length of the whole.
#[must_use]
pub fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (head, length) = match bytes {
        [_, length @ ..=125, ..] => (2, usize::from(*length)),
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 127, rest @ ..] => (
            10,
            usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?,
        ),
        _ => return None,
    };
    let payload = bytes.get(head..head + length)?;
    Some((bytes[0] & 0x0f, payload, head + length))
}

/// A complete HTTP message at the start of `bytes`: its head and its whole length. Bodies have a
/// `Content-Length` or are empty.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let whole = end + length.unwrap_or(0_usize);
    (bytes.len() >= whole).then_some((head, whole))
}

/// What stands between `before` and the next quotation mark.
#[must_use]
pub fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let from = text.find(before)? + before.len();
    let rest = &text[from..];
    Some(&rest[..rest.find('"')?])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_are_written() {
        for length in [0, 125, 126, 3_000] {
            let payload = vec![b'x'; length];
            let mut bytes = server_text(&payload);
            let whole = bytes.len();
            assert_eq!(frame(&bytes[..whole - 1]).map(|it| it.2), None, "{length}");
            bytes.push(0x89);
            assert_eq!(frame(&bytes), Some((TEXT, &payload[..], whole)));
        }
    }

    #[test]
    fn messages_end_where_their_length_says() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP";
        assert_eq!(message(bytes).map(|it| it.1), Some(bytes.len() - 4));
        assert_eq!(message(&bytes[..bytes.len() - 5]), None);
        assert_eq!(message(b"HTTP/1.1 101 S\r\n\r\n").map(|it| it.1), Some(18));
    }

    #[test]
    fn values_are_found_by_what_is_before_them() {
        assert_eq!(quoted(r#"{"cursor":"1-2"}"#, r#""cursor":""#), Some("1-2"));
        assert_eq!(quoted("{}", "x"), None);
    }
}
