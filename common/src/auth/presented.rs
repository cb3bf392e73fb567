//! The API key of a request, or what stood in its place.

use axum::http::{HeaderMap, header};

use super::{ApiKey, ApiKeys, CredentialKind, bearer};

/// What stood in the place of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Nothing at all.
    Nothing,
    /// More than one header, of which another on the way may have looked at another.
    Several,
    /// Another scheme of authorization, or none.
    OtherScheme,
    /// A JWT.
    Token,
    /// What the configuration holds of a key.
    KeyHash,
    /// Something else; a key that is not known, most likely.
    Unknown,
}

impl ApiKeys {
    /// The key that a request was made with.
    ///
    /// # Errors
    /// What stood in its place.
    pub fn of_request(&self, headers: &HeaderMap) -> Result<&ApiKey, Presented> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let header = match (values.next(), values.next()) {
            (Some(only), None) => only,
            (None, _) => return Err(Presented::Nothing),
            (Some(_), Some(_)) => return Err(Presented::Several),
        };
        let presented = header.to_str().ok().and_then(bearer);
        let presented = presented.ok_or(Presented::OtherScheme)?;
        self.authenticate(presented)
            .ok_or_else(|| match CredentialKind::of(presented) {
                Some(CredentialKind::Token) => Presented::Token,
                Some(CredentialKind::KeyHash) => Presented::KeyHash,
                Some(CredentialKind::ApiKey) | None => Presented::Unknown,
            })
    }
}
