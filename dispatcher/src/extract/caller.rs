//! Who calls, and whether it may.

use carillon_common::{
    auth::{ApiKey, ApiKeys, bearer},
    settings::Scope,
};
use http::{HeaderMap, header};

use crate::error::ApiError;

/// Lets a caller pass whose API key has this scope; answers with the key.
pub(crate) fn authorize<'a>(
    keys: &'a ApiKeys,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<&'a ApiKey, ApiError> {
    if keys.is_empty() {
        return Err(ApiError::NoApiKeys);
    }
    let presented = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.to_str().ok()?))
        .ok_or(ApiError::Unauthenticated { presented: false })?;
    let key = keys
        .authenticate(presented)
        .ok_or(ApiError::Unauthenticated { presented: true })?;
    if key.allows(scope) {
        Ok(key)
    } else {
        Err(ApiError::InsufficientScope(scope))
    }
}
