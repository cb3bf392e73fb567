//! Whose address a connection comes from, behind proxies.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, where `hops` proxies before this gateway each add the address of their own peer
/// to `X-Forwarded-For`. What is further left was written by anyone, and is not believed.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, hops: u32) -> IpAddr {
    let Some(before_last) = hops.checked_sub(1) else {
        return peer;
    };
    let lines = headers.get_all(X_FORWARDED_FOR);
    let mut named: Vec<_> = lines
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    named.reverse();
    let named = usize::try_from(before_last)
        .ok()
        .and_then(|it| named.get(it));
    named.and_then(|text| read(text)).unwrap_or(peer)
}

/// An address with or without a port, with or without brackets.
fn read(text: &str) -> Option<IpAddr> {
    let socket = || text.parse::<std::net::SocketAddr>().ok().map(|it| it.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let peer: IpAddr = [10, 0, 0, 9].into();
        for (lines, hops, client) in [
            (&["6.6.6.6"][..], 0, "10.0.0.9"),
            (&["6.6.6.6"], 1, "6.6.6.6"),
            (&["1.2.3.4, 6.6.6.6"], 1, "6.6.6.6"),
            (&["1.2.3.4, 6.6.6.6"], 2, "1.2.3.4"),
            (&["1.2.3.4", "6.6.6.6 , 7.7.7.7"], 2, "6.6.6.6"),
            (&["1.2.3.4"], 2, "10.0.0.9"),
            (&["6.6.6.6:4711"], 1, "6.6.6.6"),
            (&["[2001:db8::1]"], 1, "2001:db8::1"),
            (&["[2001:db8::1]:80"], 1, "2001:db8::1"),
            (&["unknown"], 1, "10.0.0.9"),
            (&[], 1, "10.0.0.9"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, line.parse().unwrap());
            }
            let found = super::client(peer, &headers, hops);
            assert_eq!(found.to_string(), client, "{lines:?} {hops}");
        }
    }
}
