//! Who calls, and whether it may.

use carillon_common::{
    auth::{ApiKeys, bearer},
    settings::Scope,
};
use http::{HeaderMap, header};

use crate::error::ApiError;

/// Lets a caller pass whose API key has this scope.
pub(crate) fn authorize(keys: &ApiKeys, headers: &HeaderMap, scope: Scope) -> Result<(), ApiError> {
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
        Ok(())
    } else {
        Err(ApiError::InsufficientScope(scope))
    }
}
