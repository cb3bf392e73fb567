//! `[gateway]` and `[drain]`: the process that holds the sockets, and how it leaves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::error::SettingsError;
use super::network::Network;
use super::read::{settings, words};
use super::values::Auto;
use crate::http::origin;

/// Descriptors kept for everything that is not a client's connection.
const RESERVED_DESCRIPTORS: u64 = 1000;
/// Connections of a gateway that was left to choose.
const AUTO_CONNECTIONS: u64 = 20_000;

settings! {
    /// `[gateway]`: the listener and what it admits.
    pub struct GatewaySettings {
        /// Address of the public port.
        pub listen: SocketAddr,
        /// Path of the WebSocket endpoint.
        pub path: String,
        /// Name among the gateways; see [`gateway_name`](super::Settings::gateway_name).
        pub name: Option<String>,
        /// Most connections; see [`GatewaySettings::connection_limit`].
        pub max_connections: Auto<u32>,
        /// Handshakes per second.
        pub handshake_rate: u32,
        /// Handshakes at once beyond the rate.
        pub handshake_burst: u32,
        /// Handshakes per second of one user.
        pub per_user_handshake_rate: u32,
        /// Handshakes per second of one address that are refused with a close that says why.
        pub refusal_rate: u32,
        /// Proxies that each add their peer's address to `forwarded_header`.
        pub trusted_hops: u32,
        /// Where proxies connect from; nobody else is believed.
        pub trusted_proxies: Vec<Network>,
        /// The one header that is believed.
        pub forwarded_header: ForwardedHeader,
        /// Whether connections of `trusted_proxies` begin with the PROXY protocol.
        pub proxy_protocol: bool,
        /// From accept to the end of the upgrade.
        pub handshake_timeout: Duration,
        /// For the first frame to bring the token.
        pub auth_timeout: Duration,
        /// Age at which a connection is asked to move; zero is never.
        pub max_age: Duration,
        /// Part of `max_age` (0 to 1) by which connections differ.
        pub max_age_jitter: f64,
        /// Connections of one user on one gateway.
        pub per_user_connections: usize,
        /// Origins that browsers may come from, here and to the REST routes of pages; empty is any.
        pub origins: Vec<String>,
        /// Whether `?token=` is accepted.
        pub query_token: bool,
        /// How long a refused token is remembered for its address.
        pub refusal_window: Duration,
        /// Shortest hold of a repeated refusal.
        pub refusal_hold_min: Duration,
        /// Longest hold of a repeated refusal.
        pub refusal_hold_max: Duration,
        /// Most connections held so at once.
        pub refusal_holds: usize,
    }
}

impl GatewaySettings {
    /// The connection limit under a hard limit of `descriptors` open files. Left to choose, it is what
    /// fits; only a number that does not fit is a mistake.
    pub fn connection_limit(&self, descriptors: u64) -> Result<u32, SettingsError> {
        let fits = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        match self.max_connections {
            Auto::Value(asked) if u64::from(asked) > fits => Err(SettingsError::new(
                "gateway.max_connections",
                format!("{asked} connections do not fit into {descriptors} open files"),
                format!(
                    "raise the hard limit of open files to {} or set at most {fits}",
                    u64::from(asked) + RESERVED_DESCRIPTORS
                ),
            )),
            Auto::Value(asked) => Ok(asked),
            Auto::Auto => Ok(u32::try_from(fits.min(AUTO_CONNECTIONS)).unwrap_or(u32::MAX)),
        }
    }

    /// Whether what this peer says of its own peers is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|it| it.contains(peer))
    }

    /// Whether a browser at `origin` (the header's value) may connect.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.is_empty() || self.lists_origin(origin)
    }

    /// Whether a browser at `origin` may connect because it is listed.
    pub fn lists_origin(&self, origin: &str) -> bool {
        let mut listed = self.origins.iter();
        listed.any(|pattern| origin::covers(pattern, origin))
    }
}

/// The header in which proxies tell whose connection they carry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: a list, to which each proxy adds.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the same, in a standard's form.
    Forwarded,
    /// `X-Real-IP`: one address, which the last proxy writes.
    XRealIp,
}

words!(ForwardedHeader {
    XForwardedFor: "x-forwarded-for",
    Forwarded: "forwarded",
    XRealIp: "x-real-ip"
});

settings! {
    /// `[drain]`: from SIGTERM to the end, or to an empty gateway.
    pub struct DrainSettings {
        /// Time of not being ready before accepting stops.
        pub delay: Duration,
        /// The same, when an operator asks for the drain.
        pub asked_delay: Duration,
        /// Time over which connections are closed.
        pub window: Duration,
        /// Fewest connections closed per second.
        pub min_rate: u32,
        /// For the last close handshakes.
        pub close_grace: Duration,
    }
}

impl DrainSettings {
    /// Time over which `connections` are closed: the window, or less when that would be slower than
    /// `min_rate`.
    pub fn spread(&self, connections: usize) -> Duration {
        let at_min_rate = connections as f64 / f64::from(self.min_rate.max(1));
        self.window.min(Duration::from_secs_f64(at_min_rate))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn chosen_connection_limit_fits_and_an_explicit_one_must() {
        let mut gateway = Settings::default().gateway;
        for (descriptors, limit) in [(1_048_576, 20_000), (20_000, 19_000), (512, 1)] {
            assert_eq!(
                gateway.connection_limit(descriptors),
                Ok(limit),
                "{descriptors}"
            );
        }
        gateway.max_connections = Auto::Value(30_000);
        assert_eq!(gateway.connection_limit(31_000), Ok(30_000));
        let error = gateway.connection_limit(30_999).unwrap_err().to_string();
        assert!(error.contains("to 31000 or set at most 29999"), "{error}");
    }

    #[test]
    fn drain_takes_the_window_or_less() {
        let drain = Settings::default().drain;
        assert_eq!(drain.spread(0), Duration::ZERO);
        assert_eq!(drain.spread(200), Duration::from_secs(10));
        assert_eq!(drain.spread(20_000), Duration::from_secs(120));
    }

    #[test]
    fn origins_are_compared_whole() {
        let mut gateway = Settings::default().gateway;
        assert!(gateway.allows_origin("https://anywhere.example"));
        gateway.origins = vec!["https://app.example.com".into()];
        assert!(gateway.allows_origin("https://APP.example.com"));
        for other in [
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "null",
            "",
        ] {
            assert!(!gateway.allows_origin(other), "{other}");
        }
    }
}
