//! Verification of client tokens: JWTs (RFC 7519) signed by one of the configured keys.
//!
//! The rules that keep forgeries out (RFC 8725): a key serves only the algorithms that it was
//! configured with, so the token cannot choose how it is verified; there is no `none`; nothing of the
//! payload is believed before the signature is right.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use super::claims::{Claims, Payload, TokenTimes};
use super::key::Key;
use super::kind::CredentialKind;
use super::warrant::Warrant;
use crate::settings::{IssuerSettings, SettingsError};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// Why a token was refused. Tells what to do about it; never holds a part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("no token was sent: pass it as ?token=, in an Authorization header or as subprotocol")]
    Missing,
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than 8 KiB: put less into it")]
    TooLarge,
    /// A service's key in its place.
    #[error("this is an API key, which services show to a dispatcher: a client needs a signed JWT")]
    ApiKey,
    /// Not a JWT in compact form.
    #[error("the token is not a signed JWT: {0}")]
    Malformed(&'static str),
    /// No configured key serves its `alg`.
    #[error("the token's algorithm is not accepted: sign it with one that its issuer lists")]
    Algorithm,
    /// No configured key has its `kid` or `iss`.
    #[error("no key is known for the token's kid and iss: check the issuer's settings")]
    Key,
    /// Not signed by a configured key.
    #[error("the token's signature is wrong: sign it with the key that the server knows")]
    Signature,
    /// `exp` has passed.
    #[error("the token has expired: get a new one and connect again")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet: check the clock of its issuer")]
    NotYetValid,
    /// A claim is missing or wrong.
    #[error("the token cannot be accepted: {0}")]
    Claim(&'static str),
}

impl TokenError {
    /// The stable code that clients branch on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLarge => "token_too_large",
            Self::ApiKey => "token_is_api_key",
            Self::Malformed(_) => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Key => "token_key",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Claim(_) => "token_claim",
        }
    }
}

/// Verifies tokens against the configured keys.
pub struct Verifier {
    keys: Vec<Key>,
    times: TokenTimes,
}

/// The protected header, as far as it matters (RFC 7515 §4.1).
#[derive(serde::Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<Box<str>>,
    crit: Option<serde::de::IgnoredAny>,
}

impl Verifier {
    /// Parses every key. Reports all keys that are wrong; no key at all is no mistake, it only refuses
    /// every token.
    pub fn new(issuers: &[IssuerSettings], times: TokenTimes) -> Result<Self, Vec<SettingsError>> {
        Ok(Self {
            keys: Self::parse(issuers)?,
            times,
        })
    }

    /// One that knows no key.
    pub(crate) fn none(times: TokenTimes) -> Self {
        Self {
            keys: Vec::new(),
            times,
        }
    }

    /// The keys of `issuers`, or all that is wrong with them.
    pub(crate) fn parse(issuers: &[IssuerSettings]) -> Result<Vec<Key>, Vec<SettingsError>> {
        let mut keys = Vec::with_capacity(issuers.len());
        let mut errors = Vec::new();
        for (index, issuer) in issuers.iter().enumerate() {
            match Key::new(issuer, &format!("auth.issuers.{index}")) {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(error),
            }
        }
        match errors.is_empty() {
            true => Ok(keys),
            false => Err(errors),
        }
    }

    /// Knows these keys as well.
    pub(crate) fn add(&mut self, keys: Vec<Key>) {
        self.keys.extend(keys);
    }

    /// Whether a token that was accepted by this is signed with a key that is known here. When it
    /// ends is not asked.
    pub fn stands(&self, warrant: &Warrant) -> bool {
        self.keys.iter().any(|key| key.stands_for(warrant))
    }

    /// Whether every token that `other` accepted by its key stands here, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let is_covered = |key: &Key| self.keys.iter().any(|ours| ours.covers(key));
        other.keys.iter().all(is_covered)
    }

    /// What the keys are called that `other` does not know, or knows otherwise.
    pub(crate) fn beyond(&self, other: &Self) -> impl Iterator<Item = String> {
        let is_there = |key: &Key| other.keys.iter().any(|it| it.is_same(key));
        let missing = self.keys.iter().filter(move |key| !is_there(key));
        missing.map(Key::label)
    }

    /// Whether it knows no key, so that every token will be refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys it knows.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The claims of `token`, if it is signed by a configured key and valid at `now_ms` (Unix time in
    /// ms, in the backend's time, so that all gateways agree).
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        if CredentialKind::of(token) == Some(CredentialKind::ApiKey) {
            return Err(TokenError::ApiKey);
        }
        let not_compact = TokenError::Malformed("it needs three parts with dots between them");
        let (message, signature) = token.rsplit_once('.').ok_or(not_compact)?;
        let (header, payload) = message.split_once('.').ok_or(not_compact)?;

        let header = decode(header)?;
        let header: Header<'_> = Some(&*header)
            .filter(|json| is_object(json))
            .and_then(|json| serde_json::from_slice(json).ok())
            .ok_or_else(|| TokenError::Malformed(wrong_header(&header)))?;
        if header.crit.is_some() {
            // RFC 7515 §4.1.11: extensions that are not understood must be refused.
            return Err(TokenError::Malformed("it demands an extension (crit)"));
        }
        let algorithm: Algorithm = header.alg.parse().map_err(|_| TokenError::Algorithm)?;
        let payload = Payload::parse(&decode(payload)?)?;

        let signed = Signed {
            message,
            signature,
            algorithm,
            kid: header.kid.as_deref(),
        };
        let key = self.signing_key(&signed, payload.iss.as_deref())?;
        payload.judge(key, algorithm, now_ms, self.times)
    }

    /// The key that the token is signed with. Keys with the token's `kid` are tried alone; where none
    /// has it, those without one of their own are.
    fn signing_key(&self, token: &Signed<'_>, iss: Option<&str>) -> Result<&Key, TokenError> {
        let serving = || self.keys.iter().filter(|key| key.serves(token.algorithm));
        let mut error = if serving().next().is_some() {
            TokenError::Key
        } else {
            TokenError::Algorithm
        };
        let named = |key: &&Key| token.kid.is_some() && key.kid.as_deref() == token.kid;
        let fitting =
            || serving().filter(|key| key.issuer.is_none() || key.issuer.as_deref() == iss);
        let known = fitting().any(|key| named(&key));
        for key in fitting() {
            let candidate = if known {
                named(&key)
            } else {
                token.kid.is_none() || key.kid.is_none()
            };
            if candidate && key.signed(token.message, token.signature, token.algorithm) {
                return Ok(key);
            }
            if candidate {
                error = TokenError::Signature;
            }
        }
        Err(error)
    }
}

/// The parts of a token that its signature is about.
struct Signed<'a> {
    message: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: Option<&'a str>,
}

/// What is wrong with a header; asked only when something is.
fn wrong_header(json: &[u8]) -> &'static str {
    let mut json = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, Header<'_>>(&mut json).err();
    match error.map(|error| error.path().to_string()).as_deref() {
        Some("alg") => "its header's alg must be a text",
        Some("kid") => "its header's kid must be a text",
        _ => "its header is not a JSON object with an alg",
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed("it is not base64url"))
}

/// Whether `json` begins as an object: structs would be read from arrays, too.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}
