//! What a proxy says before everything else of whose connection it carries on: the PROXY protocol, versions 1 and 2
//! (haproxy's doc/proxy-protocol.txt). It is read where it is expected and nowhere else, because whoever may choose
//! whether to send it could name any address.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{head::Unread, request::bad_request};

/// How version 2 begins (section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins (section 2.1).
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its CR LF included.
const LINE: usize = 107;
/// For the addresses of version 2 and what may follow them; proxies send some hundred bytes at most.
const MOST: usize = 4 << 10;

/// What is wrong with a header.
type Malformed = &'static str;

/// Reads the header and nothing after it, in the time that the caller gives. None: the connection is the proxy's own,
/// such as a look at whether this service is well, or one whose address it does not tell.
///
/// # Errors
/// The peer went, or sent something else.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<IpAddr>, Unread> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await.map_err(gone)?;
    let read = if start == SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(gone)?;
        match length(head) {
            Ok(length) => {
                let mut rest = vec![0; length];
                stream.read_exact(&mut rest).await.map_err(gone)?;
                binary(head, &rest)
            }
            Err(wrong) => Err(wrong),
        }
    } else if start.starts_with(WORD) {
        match line(stream, &start).await? {
            Some(line) => text(&line),
            None => Err("its line does not end within 107 bytes"),
        }
    } else {
        Err("there is none")
    };
    read.map_err(|wrong| {
        Unread::Refused(bad_request(format!(
            "this peer is one of gateway.trusted_proxies, and gateway.proxy_protocol is set, so its connections begin \
             with a PROXY protocol header: {wrong}"
        )))
    })
}

fn gone(_: io::Error) -> Unread {
    Unread::Gone
}

/// The rest of a line, up to its end; none where that is too far. What comes after it is left where it is.
async fn line(stream: &mut TcpStream, start: &[u8]) -> Result<Option<Vec<u8>>, Unread> {
    let mut line = start.to_vec();
    let mut next = [0; LINE];
    while line.len() < LINE {
        let room = LINE - line.len();
        let seen = stream.peek(&mut next[..room]).await.map_err(gone)?;
        let end = next[..seen].iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(seen, |end| end + 1);
        if taken == 0 {
            return Err(Unread::Gone);
        }
        stream.read_exact(&mut next[..taken]).await.map_err(gone)?;
        line.extend_from_slice(&next[..taken]);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// Version 1: `PROXY TCP4 source destination port port`.
fn text(line: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    const WRONG: Malformed = "its line is not of version 1";
    let line = line
        .strip_suffix(b"\r\n")
        .ok_or("its line ends without CR LF")?;
    let line = str::from_utf8(line).map_err(|_| WRONG)?;
    let mut parts = line.split(' ');
    let (word, family) = (parts.next(), parts.next());
    if word != Some("PROXY") {
        return Err(WRONG);
    }
    // Whatever follows is passed over, as it is to be.
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let parts: Vec<_> = parts.collect();
    let [source, destination, from, to] = parts[..] else {
        return Err(WRONG);
    };
    if !is_port(from) || !is_port(to) {
        return Err("a port in it is none");
    }
    let is_v6 = match family {
        Some("TCP4") => false,
        Some("TCP6") => true,
        _ => return Err("it is neither of TCP4 nor of TCP6"),
    };
    let address = |text: &str| {
        let address: IpAddr = text.parse().ok()?;
        (address.is_ipv6() == is_v6).then_some(address)
    };
    let (source, destination) = (address(source), address(destination));
    match source.zip(destination) {
        Some((source, _)) => Ok(Some(source.to_canonical())),
        None => Err("an address in it is none of its family"),
    }
}

/// From 0 to 65535, without zeros before it.
fn is_port(text: &str) -> bool {
    let is_plain = text == "0" || !text.starts_with('0');
    is_plain && text.bytes().all(|it| it.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// How much follows the first 16 bytes of version 2.
fn length(head: [u8; 4]) -> Result<usize, Malformed> {
    let [version_and_command, _, high, low] = head;
    if version_and_command >> 4 != 2 {
        return Err("it is of another version than 1 and 2");
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    match length <= MOST {
        true => Ok(length),
        false => Err("it is longer than 4 KiB"),
    }
}

/// Version 2: what follows the signature, and the addresses, after which there may be more.
fn binary(head: [u8; 4], rest: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    const SHORT: Malformed = "it is too short for its addresses";
    let [version_and_command, family_and_protocol, ..] = head;
    match version_and_command & 0xf {
        // LOCAL: the proxy's own, whatever follows.
        0 => return Ok(None),
        1 => {}
        _ => return Err("its command is neither LOCAL nor PROXY"),
    }
    if family_and_protocol & 0xf > 2 {
        return Err("its protocol is none that there is");
    }
    match family_and_protocol >> 4 {
        0 => Ok(None),
        1 => {
            let addresses: &[u8; 12] = rest.first_chunk().ok_or(SHORT)?;
            let [a, b, c, d, ..] = *addresses;
            Ok(Some(Ipv4Addr::new(a, b, c, d).into()))
        }
        2 => {
            let _addresses: &[u8; 36] = rest.first_chunk().ok_or(SHORT)?;
            let source: &[u8; 16] = rest.first_chunk().ok_or(SHORT)?;
            Ok(Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical()))
        }
        3 if rest.len() >= 216 => Ok(None),
        3 => Err(SHORT),
        _ => Err("its family of addresses is none that there is"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    /// What comes of these bytes, and what is left on the socket after the header.
    async fn read_of(pieces: &[&[u8]]) -> (Result<Option<IpAddr>, String>, Vec<u8>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let sending = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(read(&mut server), sending);
        let read = read.map_err(|unread| match unread {
            Unread::Gone => "gone".to_owned(),
            Unread::Refused(refusal) => refusal.problem.detail.unwrap(),
        });
        let mut left = Vec::new();
        server.read_to_end(&mut left).await.unwrap();
        (read, left)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test]
    async fn version_1_is_read_by_the_letter() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
                Ok(address("192.0.2.7")),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 0 65535\r\n",
                Ok(address("192.0.2.7")),
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n",
                Ok(address("2001:db8::1")),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n",
                Ok(address("192.0.2.7")),
            ),
            ("PROXY UNKNOWN\r\n", Ok(None)),
            ("PROXY UNKNOWN ffff:: what ever\r\n", Ok(None)),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\n",
                Err("without CR LF"),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
                Err("not of version 1"),
            ),
            (
                "PROXY TCP4 192.0.2.7  10.0.0.1 1 2\r\n",
                Err("not of version 1"),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
                Err("not of version 1"),
            ),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n", Err("a port")),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n", Err("a port")),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n", Err("a port")),
            (
                "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
                Err("an address"),
            ),
            ("PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n", Err("an address")),
            ("PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n", Err("an address")),
            ("PROXY TCP4 192.0.2.7 nowhere 1 2\r\n", Err("an address")),
            (
                "PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
                Err("neither of TCP4"),
            ),
            (
                "PROXY tcp4 192.0.2.7 10.0.0.1 1 2\r\n",
                Err("neither of TCP4"),
            ),
            (
                "proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
                Err("there is none"),
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Err("there is none")),
            (
                &*format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)),
                Err("within 107 bytes"),
            ),
            ("PROXY TCP4 192.0.2.7", Err("gone")),
            ("PROXY", Err("gone")),
        ] {
            let whole = line.as_bytes();
            let bytes: Vec<_> = whole.chunks(1).collect();
            for pieces in [vec![whole], bytes] {
                let (read, _) = read_of(&pieces).await;
                match (&expected, &read) {
                    (Ok(address), Ok(read)) => assert_eq!(read, address, "{line:?}"),
                    (Err(part), Err(told)) => assert!(told.contains(part), "{line:?}: {told}"),
                    _ => panic!("{line:?}: {read:?}, not {expected:?}"),
                }
            }
        }
    }

    fn version_2(start: [u8; 2], length: usize, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(length).unwrap().to_be_bytes();
        [&SIGNATURE[..], &start, &length, rest].concat()
    }

    #[tokio::test]
    async fn version_2_is_read_by_the_letter() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 4, 1, 0xbb];
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let v6 = [&source.octets()[..], &[0; 20]].concat();
        let longer = [&v4[..], &[4, 0, 2, 1, 2]].concat();
        for (start, length, rest, expected) in [
            ([0x21, 0x11], 12, &v4[..], Ok(address("192.0.2.7"))),
            ([0x21, 0x12], 12, &v4, Ok(address("192.0.2.7"))),
            ([0x21, 0x11], 17, &longer, Ok(address("192.0.2.7"))),
            ([0x21, 0x21], 36, &v6, Ok(address("2001:db8::1"))),
            ([0x21, 0x31], 216, &[b'/'; 216], Ok(None)),
            ([0x21, 0x00], 0, &[], Ok(None)),
            ([0x20, 0x00], 0, &[], Ok(None)),
            ([0x20, 0x11], 12, &v4, Ok(None)),
            ([0x20, 0xff], 3, &[1, 2, 3], Ok(None)),
            ([0x11, 0x11], 12, &v4, Err("another version")),
            ([0x22, 0x11], 12, &v4, Err("neither LOCAL")),
            ([0x21, 0x13], 12, &v4, Err("its protocol")),
            ([0x21, 0x41], 12, &v4, Err("its family")),
            ([0x21, 0x11], 11, &v4[..11], Err("too short")),
            ([0x21, 0x21], 12, &v4, Err("too short")),
            ([0x21, 0x31], 12, &v4, Err("too short")),
            ([0x21, 0x11], 4097, &[0; 4097], Err("longer than 4 KiB")),
            ([0x21, 0x11], 12, &v4[..7], Err("gone")),
        ] {
            let whole = version_2(start, length, rest);
            let (read, _) = read_of(&[&whole]).await;
            match (&expected, &read) {
                (Ok(address), Ok(read)) => assert_eq!(read, address, "{start:?} {length}"),
                (Err(part), Err(told)) => assert!(told.contains(part), "{start:?}: {told}"),
                _ => panic!("{start:?} {length}: {read:?}, not {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_comes_after_it_is_left() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let line: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n";
        let binary = version_2([0x20, 0], 0, &[]);
        for header in [line, &binary, b"PROXY UNKNOWN\r\n"] {
            let whole = [header, request].concat();
            let bytes: Vec<_> = whole.chunks(1).collect();
            for pieces in [vec![&whole[..]], bytes] {
                let (read, left) = read_of(&pieces).await;
                assert!(read.is_ok(), "{read:?}");
                assert_eq!(left, request);
            }
        }
    }
}
