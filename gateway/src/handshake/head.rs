//! A request's head, read from a socket: bounded, and looked at again only where there is more of it.

use std::{io, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::sleep};

use super::request::{Refusal, bad_request, too_large};

/// For a head; a longer one is refused.
const MOST: usize = 16 << 10;
/// Most handshakes need no more.
const FIRST: usize = 1 << 10;
/// One that comes in more pieces is only looked at so often: thousands that come byte by byte are not to
/// wake the gateway for each, nor all at one moment.
const PIECES: usize = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// A head, and what came after it.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    length: usize,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The client went.
    Gone,
    /// What came is none.
    Refused(Refusal),
}

impl Head {
    /// Up to the empty line.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Head and all.
    pub(crate) fn into_all(self) -> Vec<u8> {
        self.bytes
    }

    /// What came after it.
    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.length)
    }

    /// Reads one, in the time that the caller gives.
    ///
    /// # Errors
    /// The client went, sent what is no head, or too much of it.
    pub(crate) async fn read(stream: &mut TcpStream) -> Result<Self, Unread> {
        let mut bytes = Vec::with_capacity(FIRST);
        let (mut looked_at, mut pieces) = (0, 0);
        loop {
            if bytes.len() < bytes.capacity() {
                pieces += 1;
                if pieces > PIECES {
                    sleep(PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
                }
            } else {
                bytes.reserve_exact(bytes.len());
            }
            if stream.read_buf(&mut bytes).await.map_err(gone)? == 0 {
                return Err(Unread::Gone);
            }
            check_first(&bytes)?;
            if let Some(length) = end(&bytes, looked_at) {
                return Ok(Self { bytes, length });
            }
            if bytes.len() >= MOST {
                return Err(Unread::Refused(too_large(
                    "the request's head is longer than 16 KiB",
                )));
            }
            looked_at = bytes.len();
        }
    }
}

fn gone(_: io::Error) -> Unread {
    Unread::Gone
}

/// What does not begin like a request never becomes one; TLS and other protocols are told so at once.
fn check_first(bytes: &[u8]) -> Result<(), Unread> {
    let first = bytes.iter().find(|byte| !matches!(byte, b'\r' | b'\n'));
    if first.is_none_or(u8::is_ascii_alphabetic) {
        return Ok(());
    }
    let tls = first == Some(&0x16);
    Err(Unread::Refused(bad_request(if tls {
        "this port speaks HTTP without TLS: connect with ws:// or http://, or to the proxy that ends TLS"
    } else {
        "this is not an HTTP request"
    })))
}

/// Where the head ends, looking only at what is new since `looked_at`. Lines that end with LF alone are
/// found as well, to be refused.
fn end(bytes: &[u8], looked_at: usize) -> Option<usize> {
    let begin = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let from = looked_at.saturating_sub(3).max(begin);
    let mut lines = bytes[from..]
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n');
    let (mut before, _) = lines.next()?;
    for (at, _) in lines {
        let between = &bytes[from + before + 1..from + at];
        if between.is_empty() || between == b"\r" {
            return Some(from + at + 1);
        }
        before = at;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heads_end_is_found_however_it_is_cut() {
        for (text, length) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(27)),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", Some(27)),
            ("\r\nGET / HTTP/1.1\r\n\r\n", Some(20)),
            ("GET / HTTP/1.1\nHost: a\n\n", Some(24)),
            ("GET / HTTP/1.1\nHost: a\n\r\n", Some(25)),
            ("GET / HTTP/1.1\r\nHost: a\r\n", None),
            ("\r\n\r\n", None),
            ("", None),
        ] {
            let bytes = text.as_bytes();
            assert_eq!(end(bytes, 0), length, "{text:?}");
            let by_byte = (1..=bytes.len()).find_map(|to| end(&bytes[..to], to - 1));
            assert_eq!(by_byte, length, "{text:?}, byte by byte");
        }
    }

    #[test]
    fn what_is_no_request_is_told_so_at_once() {
        for (bytes, right) in [
            (&b"G"[..], true),
            (b"\r\n", true),
            (b"\r\nG", true),
            (b"\x16\x03\x01", false),
            (b"{", false),
            (b" GET", false),
            (b"\0", false),
        ] {
            assert_eq!(check_first(bytes).is_ok(), right, "{bytes:?}");
        }
    }
}
