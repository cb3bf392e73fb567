//! `Idempotency-Key`: the caller's own name for a request, under which it may be repeated.

use std::fmt::Write;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::error::ApiError;

const HEADER: &str = "idempotency-key";

/// 1–255 printable ASCII characters, taken literally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdempotencyKey<'a>(&'a str);

impl<'a> IdempotencyKey<'a> {
    /// The key of a request, if it has one.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        // `to_str` is true to printable ASCII, but for the tab.
        match (value.to_str(), values.next()) {
            (Ok(key), None) if Self::is_valid(key) => Ok(Some(Self(key))),
            _ => Err(ApiError::InvalidIdempotencyKey),
        }
    }

    /// The key that a field gives.
    pub(crate) fn of_field(text: &'a str) -> Option<Self> {
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (is_printable && Self::is_valid(text)).then_some(Self(text))
    }

    fn is_valid(key: &str) -> bool {
        (1..=255).contains(&key.len()) && !key.contains('\t')
    }

    /// The key's text.
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn of_text(key: &'a str) -> Self {
        Self(key)
    }
}

/// What tells a repetition from another request: SHA-256, in hex, of the route and its input.
pub(crate) fn fingerprint(route: &str, input: &[u8]) -> String {
    let digest = Sha256::new()
        .chain_update(route)
        .chain_update(b"\n")
        .chain_update(input)
        .finalize();
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
