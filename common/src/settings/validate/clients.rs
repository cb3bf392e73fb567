//! How clients come: with which keys, and over event streams.

use std::time::Duration;

use super::Rules;
use crate::settings::{AuthSettings, Settings};

/// Most notifications that a stream may hold unacked: their positions are remembered.
const MAX_UNACKED: u32 = 1024;
/// The oldest that a key set may become.
const MAX_KEY_AGE: Duration = Duration::from_secs(86_400);
/// The shortest pause between two fetches of one.
const MIN_KEY_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time of one fetch.
const MAX_KEY_FETCH: Duration = Duration::from_secs(60);

impl Rules<'_> {
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

    pub(super) fn auth(&mut self, auth: &AuthSettings) {
        self.require(
            (auth.jwks_interval..=MAX_KEY_AGE).contains(&auth.jwks_refresh),
            "auth.jwks_refresh",
            "is shorter than auth.jwks_interval, or longer than a day",
            "choose at least auth.jwks_interval, and at most 1d: a key that its issuer took away is \
             accepted for so long",
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
