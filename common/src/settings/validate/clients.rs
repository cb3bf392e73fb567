//! How clients come: with which keys, by way of which proxies, and over event streams.

use std::time::Duration;

use super::Rules;
use crate::http::origin;
use crate::settings::{AuthSettings, ForwardedHeader, GatewaySettings, Settings};

/// Most notifications that a stream may hold unacked: their positions are remembered.
const MAX_UNACKED: u32 = 1024;
/// The oldest that a key set may become.
const MAX_KEY_AGE: Duration = Duration::from_secs(86_400);
/// The shortest pause between two fetches of one.
const MIN_KEY_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time of one fetch.
const MAX_KEY_FETCH: Duration = Duration::from_secs(60);

/// The shortest that a revocation may last.
const MIN_REVOCATION: Duration = Duration::from_secs(60);
/// The longest: ten years.
const MAX_REVOCATION: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Each takes about 200 bytes, in every process.
const MAX_REVOCATIONS: usize = 100_000;
/// A ticket is for the connection at hand.
const MAX_TICKET: Duration = Duration::from_secs(300);
/// Each is two keys in Redis.
const MAX_TICKETS: usize = 1000;

/// RFC 9110 section 5.6.2, of which a cookie's name is made (RFC 6265bis section 4.1.1).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Rules<'_> {
    pub(super) fn proxies(&mut self, gateway: &GatewaySettings) {
        self.require(
            gateway.trusted_hops <= 1 || gateway.forwarded_header != ForwardedHeader::XRealIp,
            "gateway.trusted_hops",
            "x-real-ip tells of one hop alone",
            "choose 0 or 1, or another gateway.forwarded_header",
        );
        self.require(
            !(gateway.proxy_protocol || gateway.trusted_hops > 0)
                || !gateway.trusted_proxies.is_empty(),
            "gateway.trusted_proxies",
            "is empty, so no proxy would be believed",
            "name the networks that your proxies connect from, such as \"10.0.0.0/8\"",
        );
    }

    pub(super) fn sse(&mut self, settings: &Settings) {
        let sse = &settings.sse;
        self.require(
            sse.path.starts_with('/') && !sse.path.contains(['?', '#', ' ']),
            "sse.path",
            format!("{:?} is not a path", sse.path),
            "start it with `/`, without a query",
        );
        self.require(
            sse.path != settings.gateway.path,
            "sse.path",
            "is the path of the WebSockets",
            "give streams a path of their own",
        );
        self.require(
            (1..=MAX_UNACKED).contains(&sse.unacked),
            "sse.unacked",
            format!("{} is out of range", sse.unacked),
            "choose 1 to 1024",
        );
    }

    /// Which pages may come. A browser adds a cookie by itself, so that with one the page's origin is all that tells the
    /// operator's pages from others.
    pub(super) fn origins(&mut self, settings: &Settings) {
        for pattern in &settings.gateway.origins {
            if let Err(wrong) = origin::check(pattern) {
                let problem = format!("{pattern:?} {}", wrong.problem);
                self.require(false, "gateway.origins", problem, wrong.remedy);
            }
        }
        let Some(cookie) = &settings.auth.cookie else {
            return;
        };
        self.require(
            !cookie.is_empty() && cookie.bytes().all(is_token_byte),
            "auth.cookie",
            format!("{cookie:?} is not a cookie's name"),
            "choose letters, digits, `-` and `_`, such as `__Host-carillon`",
        );
        self.require(
            !settings.gateway.origins.is_empty(),
            "auth.cookie",
            "is set while gateway.origins is empty: browsers send a cookie whichever page asks, so that any page could \
             connect as the user who looks at it",
            "list the origins of your own pages in gateway.origins, or leave auth.cookie out",
        );
        self.require(
            !settings.gateway.origins.iter().any(|it| it == origin::NULL),
            "gateway.origins",
            "has \"null\" beside auth.cookie, and any page can have that origin",
            "leave \"null\" out, or auth.cookie",
        );
    }

    pub(super) fn auth(&mut self, auth: &AuthSettings) {
        self.require(
            (auth.jwks_interval..=MAX_KEY_AGE).contains(&auth.jwks_refresh),
            "auth.jwks_refresh",
            "is shorter than auth.jwks_interval, or longer than a day",
            "choose at least auth.jwks_interval, and at most 1d: a key that its issuer took away is \
             accepted for so long",
        );
        self.require(
            (MIN_REVOCATION..=MAX_REVOCATION).contains(&auth.revocation_ttl),
            "auth.revocation_ttl",
            "is too short, or longer than ten years",
            "choose the longest that a token of your issuers may last",
        );
        self.require(
            (1..=MAX_REVOCATIONS).contains(&auth.max_revocations),
            "auth.max_revocations",
            format!("{} is out of range", auth.max_revocations),
            "choose 1 to 100000: every process keeps all of them in memory",
        );
        self.require(
            (Duration::from_secs(1)..=MAX_TICKET).contains(&auth.ticket_ttl),
            "auth.ticket_ttl",
            "is shorter than a second, or longer than five minutes",
            "choose as long as a page may take from asking for a ticket to connecting",
        );
        self.require(
            (1..=MAX_TICKETS).contains(&auth.tickets_per_user),
            "auth.tickets_per_user",
            format!("{} is out of range", auth.tickets_per_user),
            "choose 1 to 1000",
        );
        self.require(
            auth.ticket_session >= Duration::from_secs(1),
            "auth.ticket_session",
            "is shorter than a second",
            "choose how long a connection may last before its client asks for another ticket",
        );
        self.require(
            auth.jwks_interval >= MIN_KEY_INTERVAL,
            "auth.jwks_interval",
            "would let strangers who name keys that do not exist have them fetched without a pause",
            "choose 1s or more",
        );
        self.require(
            (Duration::from_millis(1)..=MAX_KEY_FETCH).contains(&auth.jwks_timeout),
            "auth.jwks_timeout",
            "is no time for an answer",
            "choose some time, and at most 1m",
        );
    }
}
