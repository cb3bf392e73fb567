//! Who asks: the user whose token it is.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use carillon_common::{
    auth::{Caller, Claims, Presented, Unproven},
    ids::UserId,
};
use http::request::Parts;
use tokio::time::Instant;

use crate::{
    app::App,
    error::ApiError,
    extract::Fields,
    routes::caller::{deadline_of, refusal, user_of},
};

/// A user's page, and the parameters of its query.
pub(crate) struct Client {
    pub(super) user: UserId,
    pub(super) claims: Claims,
    /// The instant at which its request's time is over.
    pub(super) deadline: Instant,
    query: String,
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let known = app.keyring.caller(&head.headers, app.stamp().now);
        let claims = match known.map_err(unproven)? {
            Caller::Client(claims) => claims,
            Caller::Service(_) => return Err(ApiError::UserTokenNeeded),
        };
        let user = user_of(&claims)?;
        app.count_request(&user)?;
        Ok(Self {
            user,
            claims,
            deadline: deadline_of(head, app),
            query: head.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

impl Client {
    /// Its parameters, not yet looked at.
    pub(super) fn parameters(&self) -> Result<Fields<'_>, ApiError> {
        Fields::from_query(&self.query)
    }
}

/// Of a service it would be a key that is missing, here it is a token.
fn unproven(unproven: Unproven) -> ApiError {
    match unproven {
        Unproven::Nobody | Unproven::Presented(Presented::Nothing) => ApiError::UserTokenMissing,
        other => refusal(other),
    }
}
