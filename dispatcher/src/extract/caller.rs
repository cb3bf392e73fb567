//! Who calls, and whether it may.

use std::sync::Arc;

use carillon_common::{
    auth::{CredentialKind, Keyring, bearer},
    settings::Scope,
};
use http::{HeaderMap, header};

use crate::error::{ApiError, Presented};

/// Lets a caller pass whose API key has this scope; answers with the key's name.
pub(crate) fn authorize(
    keyring: &Keyring,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Arc<str>, ApiError> {
    let credentials = keyring.current();
    let keys = &credentials.api_keys;
    if keys.is_empty() {
        return Err(ApiError::NoApiKeys);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let header = match (values.next(), values.next()) {
        (Some(only), None) => only,
        (None, _) => return Err(ApiError::Unauthenticated(Presented::Nothing)),
        (Some(_), Some(_)) => return Err(ApiError::Unauthenticated(Presented::Several)),
    };
    let presented = header
        .to_str()
        .ok()
        .and_then(bearer)
        .ok_or(ApiError::Unauthenticated(Presented::OtherScheme))?;
    let key = keys
        .authenticate(presented)
        .ok_or_else(|| ApiError::Unauthenticated(instead_of_a_key(presented)))?;
    if key.allows(scope) {
        Ok(key.name.clone())
    } else {
        Err(ApiError::InsufficientScope(scope))
    }
}

/// What was shown by a caller whose key is not known.
fn instead_of_a_key(presented: &str) -> Presented {
    match CredentialKind::of(presented) {
        Some(CredentialKind::Token) => Presented::Token,
        Some(CredentialKind::KeyHash) => Presented::KeyHash,
        Some(CredentialKind::ApiKey) | None => Presented::Unknown,
    }
}
