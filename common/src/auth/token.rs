//! Tokens in their compact form (RFC 7515 §7.1), and why one is refused.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::IgnoredAny;

use super::kind::CredentialKind;

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
    /// It was taken back before its end.
    #[error("the token was revoked: get a new one, if your service still gives you any")]
    Revoked,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet: check the clock of its issuer")]
    NotYetValid,
    /// The keys of its issuer are being fetched: all of them, or the one that it names.
    #[error("the keys of the token's issuer are being fetched: try again in a moment")]
    KeysAwaited,
    /// A claim is missing or wrong.
    #[error("the token cannot be accepted: {0}")]
    Claim(&'static str),
}

impl TokenError {
    /// The one code after which the same token may be accepted.
    pub const KEYS_AWAITED: &'static str = "token_keys_awaited";
    /// How long it is best waited for then.
    pub const AWAIT: Duration = Duration::from_secs(5);

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
            Self::Revoked => "token_revoked",
            Self::NotYetValid => "token_not_yet_valid",
            Self::KeysAwaited => Self::KEYS_AWAITED,
            Self::Claim(_) => "token_claim",
        }
    }
}

/// The protected header, as far as it matters (RFC 7515 §4.1).
#[derive(serde::Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<Box<str>>,
    typ: Option<Box<str>>,
    crit: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
}

/// A token taken apart. Nothing of it is believed before its signature is right.
pub(super) struct Compact<'a> {
    /// What the signature is about.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    /// The claims' JSON.
    pub(super) payload: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart, and refuses what no key could make good.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
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
        header.check()?;
        Ok(Self {
            message,
            signature,
            algorithm: header.alg.parse().map_err(|_| TokenError::Algorithm)?,
            kid: header.kid,
            payload: decode(payload)?,
        })
    }
}

impl Header<'_> {
    fn check(&self) -> Result<(), TokenError> {
        if self.crit.is_some() {
            // RFC 7515 §4.1.11: extensions that are not understood must be refused.
            return Err(TokenError::Malformed("it demands an extension (crit)"));
        }
        if self.jwk.is_some() || self.jku.is_some() || self.x5u.is_some() {
            // RFC 8725 §3.10: a token does not choose the key that it is verified with.
            let why = "it brings a key of its own, or names where one is (jwk, jku, x5u)";
            return Err(TokenError::Malformed(why));
        }
        let is_ours = self.typ.as_deref().is_none_or(is_access_token);
        // RFC 8725 §3.11: one that says what else it is, such as a logout token, is none for here.
        let why = "its header's typ is that of another kind of token than JWT and at+jwt";
        is_ours.then_some(()).ok_or(TokenError::Malformed(why))
    }
}

/// RFC 7519 §5.1 and RFC 9068 §2.1; `application/` may be left out (RFC 7515 §4.1.9).
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(
        typ.strip_prefix("application/").unwrap_or(&typ),
        "jwt" | "at+jwt"
    )
}

/// What is wrong with a header; asked only when something is.
fn wrong_header(json: &[u8]) -> &'static str {
    let mut json = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, Header<'_>>(&mut json).err();
    match error.map(|error| error.path().to_string()).as_deref() {
        Some("alg") => "its header's alg must be a text",
        Some("kid") => "its header's kid must be a text",
        Some("typ") => "its header's typ must be a text",
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
