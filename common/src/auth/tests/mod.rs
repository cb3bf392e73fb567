//! Tokens as clients send them: good ones of every algorithm, and forgeries.
//!
//! `fixtures/tokens.txt` holds tokens for alice until 2 000 000 000 s, signed by OpenSSL with keys that
//! were thrown away; the public halves lie beside it.

mod claims;
mod hostile;
mod keys;
mod revoked;
mod services;
mod warrants;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::settings::{IssuerSettings, TokenAlgorithm};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Unix time of the tests, in seconds.
const NOW: i64 = 1_900_000_000;
const TIMES: TokenTimes = TokenTimes {
    leeway: Duration::from_secs(30),
    max_lifetime: Duration::ZERO,
};

const RSA: &str = include_str!("../fixtures/rsa.pub.pem");
const RSA_1024: &str = include_str!("../fixtures/rsa1024.pub.pem");
const P256: &str = include_str!("../fixtures/p256.pub.pem");
const P384: &str = include_str!("../fixtures/p384.pub.pem");
const ED25519: &str = include_str!("../fixtures/ed25519.pub.pem");
const TOKENS: &str = include_str!("../fixtures/tokens.txt");

fn hs256() -> IssuerSettings {
    IssuerSettings::hs256("test", SECRET)
}

fn asymmetric(pem: &str, algorithms: &[TokenAlgorithm]) -> IssuerSettings {
    let (secret, public_key) = (None, Some(pem.to_owned()));
    IssuerSettings {
        secret,
        public_key,
        algorithms: algorithms.to_vec(),
        ..hs256()
    }
}

fn verifier(issuers: &[IssuerSettings]) -> Verifier {
    Verifier::new(issuers, TIMES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// Any header and payload, signed with HMAC-SHA-256 whatever the header says.
fn signed(header: &Value, payload: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let algorithm = jsonwebtoken::Algorithm::HS256;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn hs256_token(payload: &Value) -> String {
    signed(&json!({"alg": "HS256"}), payload, SECRET.as_bytes())
}

/// The code of the answer, or `ok`.
fn code(issuers: &[IssuerSettings], token: &str) -> &'static str {
    verifier(issuers)
        .verify(token, NOW * 1000)
        .map_or_else(|error| error.code(), |_| "ok")
}

fn fixture(algorithm: &str) -> &'static str {
    let mut lines = TOKENS.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == algorithm).unwrap().1
}

#[test]
fn bearer_credentials_are_found() {
    assert_eq!(bearer("Bearer abc"), Some("abc"));
    assert_eq!(bearer("bearer  abc "), Some("abc"));
    for other in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
        assert_eq!(bearer(other), None, "{other:?}");
    }
}
