//! Whose address a connection comes from, behind proxies: pure reading, no IO.
//!
//! One header is believed, the one that is configured, because a proxy replaces or continues that one alone and lets
//! the others through as its client wrote them. And only from a trusted peer. What is not as it should be is refused,
//! not guessed at.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use carillon_common::settings::{ForwardedHeader, GatewaySettings};
use http::{HeaderMap, HeaderName, header};

use super::request::{Refusal, bad_request};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What is wrong with a header.
type Malformed = &'static str;

/// The client's address, where as many proxies as are trusted each add the address of their own peer to the header.
/// What is further left was written by anyone, and is not looked at. Where there is less, or an address that is not
/// told ("unknown"), it is the peer's.
///
/// # Errors
/// The header is malformed.
pub(crate) fn client(
    peer: IpAddr,
    headers: &HeaderMap,
    settings: &GatewaySettings,
) -> Result<IpAddr, Refusal> {
    let Some(before_last) = settings.trusted_hops.checked_sub(1) else {
        return Ok(peer);
    };
    if !settings.trusts(peer) {
        return Ok(peer);
    }
    let hop = usize::try_from(before_last).unwrap_or(usize::MAX);
    let (name, found) = match settings.forwarded_header {
        ForwardedHeader::XForwardedFor => (X_FORWARDED_FOR, by_x_forwarded_for(headers, hop)),
        ForwardedHeader::Forwarded => (header::FORWARDED, by_forwarded(headers, hop)),
        ForwardedHeader::XRealIp => (X_REAL_IP, by_x_real_ip(headers)),
    };
    match found {
        Ok(address) => Ok(address.unwrap_or(peer).to_canonical()),
        Err(wrong) => Err(bad_request(format!(
            "the header {name}, which a proxy of this service writes, {wrong}"
        ))),
    }
}

/// A list of addresses, of which each proxy adds one at the end.
fn by_x_forwarded_for(headers: &HeaderMap, hop: usize) -> Result<Option<IpAddr>, Malformed> {
    let mut named = Vec::new();
    for line in lines(headers, &X_FORWARDED_FOR) {
        let items = line?.split(',').map(str::trim);
        named.extend(items.filter(|item| !item.is_empty()));
    }
    match named.iter().rev().nth(hop) {
        None | Some(&"unknown") => Ok(None),
        Some(text) => address(text).map(Some),
    }
}

/// One address, which the last proxy writes.
fn by_x_real_ip(headers: &HeaderMap) -> Result<Option<IpAddr>, Malformed> {
    let name = X_REAL_IP;
    let mut lines = lines(headers, &name);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err("is there more than once");
    }
    address(line?.trim()).map(Some)
}

/// RFC 7239.
fn by_forwarded(headers: &HeaderMap, hop: usize) -> Result<Option<IpAddr>, Malformed> {
    let mut nodes = Vec::new();
    for line in lines(headers, &header::FORWARDED) {
        Elements(line?).read(&mut nodes)?;
    }
    match nodes.into_iter().rev().nth(hop).flatten() {
        None => Ok(None),
        Some(text) => node(&text),
    }
}

fn lines<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Result<&'a str, Malformed>> {
    let lines = headers.get_all(name).into_iter();
    lines.map(|line| {
        line.to_str()
            .map_err(|_| "has other characters than ASCII has")
    })
}

/// As proxies write it: with or without a port, of IPv6 with or without brackets.
fn address(text: &str) -> Result<IpAddr, Malformed> {
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::from)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
    let bare = text.parse::<IpAddr>().ok();
    bare.or_else(bracketed)
        .or_else(with_port)
        .ok_or("has something else than an address where that of a client is to be")
}

/// A node (RFC 7239, section 6); none where it hides who it is.
fn node(text: &str) -> Result<Option<IpAddr>, Malformed> {
    const WRONG: Malformed = "has a `for` that is no node (RFC 7239 section 6)";
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(WRONG)?;
            let inner: Ipv6Addr = inner.parse().map_err(|_| WRONG)?;
            is_port(port).then_some(()).ok_or(WRONG)?;
            return Ok(Some(inner.into()));
        }
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    is_port(port).then_some(()).ok_or(WRONG)?;
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Ok(None);
    }
    let address: Ipv4Addr = name.parse().map_err(|_| WRONG)?;
    Ok(Some(address.into()))
}

/// Nothing, or a colon and a port, which may be hidden as well.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|it| it.is_ascii_digit());
    is_number || is_obfuscated(port)
}

/// RFC 7239, section 6.3.
fn is_obfuscated(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_part))
}

/// What is left to read of a line of `Forwarded`.
struct Elements<'a>(&'a str);

impl<'a> Elements<'a> {
    /// Adds the `for` of each element, in their order.
    fn read(mut self, nodes: &mut Vec<Option<Cow<'a, str>>>) -> Result<(), Malformed> {
        loop {
            self.skip_spaces();
            if self.0.is_empty() {
                return Ok(());
            }
            if self.takes(',') {
                continue;
            }
            let node = self.element()?;
            nodes.push(node);
            self.skip_spaces();
            if !self.0.is_empty() && !self.takes(',') {
                return Err("has something between its elements that is no comma");
            }
        }
    }

    /// Pairs with semicolons between them.
    fn element(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        let mut node = None;
        loop {
            self.skip_spaces();
            if !self.0.is_empty() && !self.0.starts_with([',', ';']) {
                let name = self.token()?;
                if !self.takes('=') {
                    return Err("has a parameter without a value");
                }
                let value = self.value()?;
                if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
                    return Err("has an element with two `for`");
                }
                self.skip_spaces();
            }
            if !self.takes(';') {
                return Ok(node);
            }
        }
    }

    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if !self.takes('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(value.into());
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        Err("has a quote that does not end")
    }

    /// RFC 9110, section 5.6.2.
    fn token(&mut self) -> Result<&'a str, Malformed> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_part(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        match token {
            "" => Err("has a character that must be within quotes"),
            token => Ok(token),
        }
    }

    fn takes(&mut self, character: char) -> bool {
        let rest = self.0.strip_prefix(character);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }
}

#[cfg(test)]
mod tests;
