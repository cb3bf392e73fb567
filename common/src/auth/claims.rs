//! What a token says (RFC 7519 §4.1), read once and judged against a time.

use std::{fmt, time::Duration};

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

use super::token::{TokenError, is_object};
use super::{ChannelPattern, Warrant, issuer::Issuer};

/// Last millisecond of the year 9999. What lies beyond it is no date in seconds, but one in milliseconds, by
/// the usual slip, and would make a token valid for ever.
const END_OF_TIME_MS: i64 = 253_402_300_799_999;
const BEYOND_TIME: &str = "beyond the year 9999";
/// Longest user id and token id, in bytes.
const MAX_ID_BYTES: usize = 255;
/// Most channel patterns of a token.
const MAX_CHANNELS: usize = 256;

/// What of a verified token is kept with its connection; small on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's id, 1–255 bytes.
    pub sub: Box<str>,
    /// When the token ends (Unix time in ms), without leeway.
    pub exp_ms: i64,
    /// When it was issued (Unix time in ms); [`UNDATED`] where it does not say.
    pub iat_ms: i64,
    /// The token's own id, 1–255 bytes.
    pub jti: Option<Box<str>>,
    /// Channels that it opens beyond the public ones.
    pub channels: Box<[ChannelPattern]>,
    /// By what it was accepted ([`Verifier::stands`](super::Verifier::stands)); none where a service vouched for the
    /// client instead ([`Ticket`](super::Ticket)).
    pub warrant: Option<Warrant>,
}

/// Of a token that does not say when it was issued: it is taken for the oldest, as it cannot show that it is newer than
/// anything.
pub const UNDATED: i64 = i64::MIN;

/// What the times of a token are judged by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenTimes {
    /// Tolerated difference of clocks.
    pub leeway: Duration,
    /// From `iat` to `exp`, or from now where there is no `iat`; zero for any.
    pub max_lifetime: Duration,
}

impl TokenTimes {
    fn leeway_ms(self) -> i64 {
        i64::try_from(self.leeway.as_millis()).unwrap_or(i64::MAX)
    }

    fn allow(self, from_ms: i64, to_ms: i64) -> bool {
        let most = i64::try_from(self.max_lifetime.as_millis()).unwrap_or(i64::MAX);
        most == 0 || to_ms.saturating_sub(from_ms) <= most.saturating_add(self.leeway_ms())
    }
}

/// The payload as it stands in the token.
#[derive(serde::Deserialize)]
pub(super) struct Payload {
    pub(super) sub: Option<Box<str>>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    pub(super) jti: Option<Box<str>>,
    pub(super) iss: Option<Box<str>>,
    aud: Option<Audience>,
    pub(super) channels: Option<Vec<Box<str>>>,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Audience {
    One(Box<str>),
    Many(Vec<Box<str>>),
}

impl Audience {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => **one == *audience,
            Self::Many(many) => many.iter().any(|one| **one == *audience),
        }
    }
}

/// Seconds since 1970, whole or not (RFC 7519 §2), kept in milliseconds.
#[derive(Clone, Copy)]
struct NumericDate(i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl Visitor<'_> for Seconds {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<NumericDate, E> {
                let ms = seconds.saturating_mul(1000).max(0);
                if ms > END_OF_TIME_MS {
                    return Err(E::custom(BEYOND_TIME));
                }
                Ok(NumericDate(ms))
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
                if !seconds.is_finite() {
                    return Err(E::custom("not a number"));
                }
                // `as` saturates, which is what is wanted of dates long past.
                let ms = ((seconds * 1000.0) as i64).max(0);
                if ms > END_OF_TIME_MS {
                    return Err(E::custom(BEYOND_TIME));
                }
                Ok(NumericDate(ms))
            }
        }

        deserializer
            .deserialize_any(Seconds)
            .map_err(D::Error::custom)
    }
}

impl Payload {
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenError> {
        if !is_object(json) {
            return Err(TokenError::Malformed("its payload is not a JSON object"));
        }
        serde_json::from_slice(json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => TokenError::Claim(wrong_claim(json)),
            _ => TokenError::Malformed("its payload is not a JSON object"),
        })
    }

    /// Judges a payload whose signature by a key of `issuer` is right, at `now_ms`. What its claims are
    /// for, beyond these, is its reader's business.
    pub(super) fn check(
        &self,
        issuer: &Issuer,
        now_ms: i64,
        times: TokenTimes,
    ) -> Result<(), TokenError> {
        let sub =
            (self.sub.as_ref()).ok_or(TokenError::Claim("sub is missing; it names the user"))?;
        let exp = self
            .exp
            .ok_or(TokenError::Claim("exp is missing; tokens must end"))?;
        let fits = |id: &str| (1..=MAX_ID_BYTES).contains(&id.len());
        if !fits(sub) {
            return Err(TokenError::Claim("sub must have 1 to 255 bytes"));
        }
        if !self.jti.as_deref().is_none_or(fits) {
            return Err(TokenError::Claim("jti must have 1 to 255 bytes"));
        }
        self.check_audience(issuer.audience.as_deref())?;
        self.check_times(exp, issuer.max_lifetime, now_ms, times)
    }

    /// RFC 7519 §4.1.3: whoever is not named in `aud` must refuse the token.
    fn check_audience(&self, ours: Option<&str>) -> Result<(), TokenError> {
        match (&self.aud, ours) {
            (None, None) => Ok(()),
            (Some(aud), Some(audience)) if aud.includes(audience) => Ok(()),
            (Some(_), Some(_)) => Err(TokenError::Claim("aud names another service")),
            (None, Some(_)) => Err(TokenError::Claim("aud is missing")),
            (Some(_), None) => Err(TokenError::Claim(
                "aud is set, but this service has no audience: set the issuer's `audience`",
            )),
        }
    }

    fn check_times(
        &self,
        exp: NumericDate,
        max_lifetime: Option<Duration>,
        now_ms: i64,
        times: TokenTimes,
    ) -> Result<(), TokenError> {
        let leeway_ms = times.leeway_ms();
        if exp.0.saturating_add(leeway_ms) <= now_ms {
            return Err(TokenError::Expired);
        }
        let latest = now_ms.saturating_add(leeway_ms);
        if [self.nbf, self.iat]
            .into_iter()
            .flatten()
            .any(|time| time.0 > latest)
        {
            return Err(TokenError::NotYetValid);
        }
        let bound = TokenTimes {
            max_lifetime: max_lifetime.unwrap_or(times.max_lifetime),
            ..times
        };
        match bound.allow(self.iat.map_or(now_ms, |iat| iat.0), exp.0) {
            true => Ok(()),
            false => Err(TokenError::Claim(match max_lifetime {
                Some(_) => {
                    "exp is later than the issuer's max_lifetime allows: issue tokens for a shorter time"
                }
                None => {
                    "exp is later than auth.max_lifetime allows: issue tokens for a shorter time"
                }
            })),
        }
    }

    /// When it was issued, as [`Claims::iat_ms`] has it.
    pub(super) fn issued_ms(&self) -> i64 {
        self.iat.map_or(UNDATED, |iat| iat.0)
    }

    /// What is kept of a client's token that was checked.
    pub(super) fn into_claims(self, warrant: Warrant) -> Result<Claims, TokenError> {
        Ok(Claims {
            // Checked: they are there.
            sub: self.sub.unwrap_or_default(),
            exp_ms: self.exp.map_or(0, |exp| exp.0),
            iat_ms: self.iat.map_or(UNDATED, |iat| iat.0),
            jti: self.jti,
            warrant: Some(warrant),
            channels: channels(self.channels.unwrap_or_default())?,
        })
    }
}

fn channels(patterns: Vec<Box<str>>) -> Result<Box<[ChannelPattern]>, TokenError> {
    if patterns.len() > MAX_CHANNELS {
        return Err(TokenError::Claim(
            "channels may have at most 256 entries; use globs",
        ));
    }
    let patterns = patterns.iter().map(|pattern| ChannelPattern::new(pattern));
    patterns.collect::<Option<_>>().ok_or(TokenError::Claim(
        "channels must be names or globs of 1 to 255 letters, digits and _ . : * -",
    ))
}

/// Which claim has the wrong type; asked only when one has.
fn wrong_claim(json: &[u8]) -> &'static str {
    let mut json = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, Payload>(&mut json).err();
    let (path, beyond) = error
        .map(|error| {
            (
                error.path().to_string(),
                error.inner().to_string().contains(BEYOND_TIME),
            )
        })
        .unwrap_or_default();
    match path.split(['.', '[']).next() {
        Some("exp") if beyond => {
            "exp must be in seconds since 1970, and this would be in milliseconds"
        }
        Some("nbf") if beyond => {
            "nbf must be in seconds since 1970, and this would be in milliseconds"
        }
        Some("iat") if beyond => {
            "iat must be in seconds since 1970, and this would be in milliseconds"
        }
        Some("sub") => "sub must be a text",
        Some("exp") => "exp must be a number of seconds since 1970",
        Some("nbf") => "nbf must be a number of seconds since 1970",
        Some("iat") => "iat must be a number of seconds since 1970",
        Some("jti") => "jti must be a text",
        Some("iss") => "iss must be a text",
        Some("aud") => "aud must be a text or a list of texts",
        Some("channels") => "channels must be a list of texts",
        _ => "the payload must be an object that names each claim once",
    }
}
