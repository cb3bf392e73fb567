//! What the routes that are asked with parameters have in common.

use std::{fmt, str::FromStr, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::caller::{Caller, Right};
use crate::{
    app::App,
    error::ApiError,
    extract::{FieldReader, Fields},
};

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

/// After which place a page begins, and how many it may hold: `after` and `limit`, and nothing else.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn page_of<T: FromStr<Err: fmt::Display>>(
    parameters: &Fields<'_>,
    usual: u32,
    most: u32,
) -> Result<(Option<T>, u32), ApiError> {
    let mut reader = FieldReader::new(parameters);
    let after = reader.written("after");
    let limit = reader.number("limit", 1..=most).unwrap_or(usual);
    reader.all_right()?;
    Ok((after, limit))
}
