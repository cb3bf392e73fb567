//! What the routes that are asked with parameters have in common.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::caller::{Caller, Right};
use crate::{app::App, error::ApiError, extract::Fields};

/// A caller that has the right `R`, and the parameters of its query.
pub(crate) struct Question<R> {
    pub(crate) caller: Caller<R>,
    query: String,
}

impl<R: Right> FromRequestParts<Arc<App>> for Question<R> {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::of(head, app)?;
        let query = head.uri.query().unwrap_or_default().to_owned();
        Ok(Self { caller, query })
    }
}

impl<R> Question<R> {
    /// Its parameters, not yet looked at.
    pub(super) fn parameters(&self) -> Result<Fields<'_>, ApiError> {
        Fields::from_query(&self.query)
    }
}
