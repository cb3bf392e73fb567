//! Networks, as addresses with a prefix (RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::IpAddr;

use super::error::Origin;
use super::read::{Leaf, leaves, text};
use super::tree::Raw;

/// All addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    /// How many bits of it are the same in all.
    bits: u32,
}

impl Network {
    /// `10.0.0.0/8`, or one address. None where that is none, or has bits beyond its prefix: a typing error, mostly.
    fn read(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().ok()?;
        let most = width(first);
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|it| it.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        let network = Self { first, bits };
        (bits <= most && masked(first, bits) == masked(first, most)).then_some(network)
    }

    /// Whether it is one of them. An address of IPv4 that is written as one of IPv6 (RFC 4291 §2.5.5.2) is that of
    /// IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.first)
            && masked(address, self.bits) == masked(self.first, self.bits)
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first bits of an address, and nothing of the others.
fn masked(address: IpAddr, bits: u32) -> u128 {
    let whole = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    match bits {
        0 => 0,
        bits => whole & (u128::MAX << (128 - bits)),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl Leaf for Network {
    const EXPECTED: &'static str =
        "networks such as \"10.0.0.0/8\" or \"fd00::/8\", without bits beyond the prefix";

    fn from_raw(raw: &Raw, _: &Origin) -> Option<Self> {
        Self::read(text(raw)?.trim())
    }
}

leaves!(Vec<Network>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::a00:1"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.1.2.3", "2001:db8::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("fc00::/7", "fdff::1", "fe00::1"),
            ("::1/128", "::1", "::2"),
            ("2001:db8:0:1::/64", "2001:db8:0:1:ffff::", "2001:db8:0:2::"),
        ] {
            let read = Network::read(network).unwrap();
            assert!(
                read.contains(inside.parse().unwrap()),
                "{network}: {inside}"
            );
            assert!(
                !read.contains(outside.parse().unwrap()),
                "{network}: {outside}"
            );
        }
        let text = Network::read("fd00::/8").unwrap().to_string();
        assert_eq!(text, "fd00::/8");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::1/129",
            "fd00::1/8",
            "localhost",
            "10.0.0.0 /8",
            "010.0.0.0/8",
        ] {
            assert_eq!(Network::read(text), None, "{text}");
        }
    }
}
