//! Tokens of our own making, for the command line and for tests. Production tokens come from the
//! operator's issuer.

use jsonwebtoken::{AlgorithmFamily, EncodingKey, Header};
use serde::Serialize;

use super::key::algorithm;
use crate::settings::{IssuerSettings, TokenAlgorithm};

/// What a new token says; times are Unix times in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewToken<'a> {
    /// The user's id.
    pub sub: &'a str,
    /// When it ends.
    pub exp: i64,
    /// When it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// When it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Its own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<&'a str>,
    /// Names and globs of channels that it opens.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub channels: &'a [&'a str],
}

/// Why a token could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The issuer has only a public key, or none of its algorithms uses a secret.
    #[error("the issuer has no secret to sign with: choose one with an HS… algorithm")]
    NoSecret,
    /// The cryptographic library refused.
    #[error("the token could not be signed")]
    Signing,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(flatten)]
    token: &'a NewToken<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Signs `token` with the secret of `issuer`, with the `iss`, `aud` and `kid` that it demands.
pub fn mint(issuer: &IssuerSettings, token: &NewToken<'_>) -> Result<String, MintError> {
    let hmac = |it: &TokenAlgorithm| algorithm(*it).family() == AlgorithmFamily::Hmac;
    let chosen = issuer
        .algorithms
        .iter()
        .copied()
        .find(hmac)
        .ok_or(MintError::NoSecret)?;
    let secret = issuer.secret.as_ref().ok_or(MintError::NoSecret)?;
    let mut header = Header::new(algorithm(chosen));
    header.kid.clone_from(&issuer.kid);
    let (iss, aud) = (issuer.issuer.as_deref(), issuer.audience.as_deref());
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&header, &Payload { token, iss, aud }, &key)
        .map_err(|_| MintError::Signing)
}

impl IssuerSettings {
    /// An issuer that signs with HS256 and `secret`, and demands nothing else.
    pub fn hs256(name: &str, secret: &str) -> Self {
        Self {
            name: name.to_owned(),
            algorithms: vec![TokenAlgorithm::Hs256],
            secret: Some(super::Secret::new(secret.to_owned())),
            secret_file: None,
            public_key: None,
            public_key_file: None,
            jwks_url: None,
            jwks_ca_file: None,
            issuer: None,
            audience: None,
            kid: None,
            max_lifetime: None,
            scopes: None,
            users: None,
            channels: None,
        }
    }
}
