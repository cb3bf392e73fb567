//! What every route asks first: who calls, whether it may, and how long its request has.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use axum::extract::FromRequestParts;
use carillon_common::{auth::Keyring, settings::Scope};
use http::{HeaderMap, request::Parts};
use tokio::time::Instant;

use crate::{app::App, edge::Arrival, error::ApiError, extract::refuse_query};

/// What a route asks of the API key that it is called with.
pub(crate) trait Right: Send + Sync {
    const SCOPE: Scope;
}

/// The rights, to be named in the types of a route's arguments.
pub(crate) mod may {
    use carillon_common::settings::Scope;

    pub(crate) enum Send {}
    pub(crate) enum Broadcast {}
    pub(crate) enum Read {}
    pub(crate) enum Admin {}

    impl super::Right for Send {
        const SCOPE: Scope = Scope::Send;
    }

    impl super::Right for Broadcast {
        const SCOPE: Scope = Scope::Broadcast;
    }

    impl super::Right for Read {
        const SCOPE: Scope = Scope::Read;
    }

    impl super::Right for Admin {
        const SCOPE: Scope = Scope::Admin;
    }
}

/// A caller that has the right `R`. As an argument of a route, one that gave no query parameters either.
pub(crate) struct Caller<R> {
    /// The name of its API key.
    pub(crate) name: Arc<str>,
    pub(crate) arrival: Arrival,
    /// The instant at which its request's time is over.
    pub(crate) deadline: Instant,
    right: PhantomData<R>,
}

impl<R: Right> Caller<R> {
    /// The caller of a request, whatever its query is.
    pub(super) fn of(head: &Parts, app: &App) -> Result<Self, ApiError> {
        let arrival = head.extensions.get::<Arrival>().cloned();
        let arrival = arrival.ok_or(ApiError::Internal(Cow::Borrowed(
            "a request reached its route past the edge",
        )))?;
        Ok(Self {
            name: authorize(&app.keyring, &head.headers, R::SCOPE)?,
            deadline: arrival.at + app.settings.dispatcher.request_timeout,
            arrival,
            right: PhantomData,
        })
    }
}

impl<R: Right> FromRequestParts<Arc<App>> for Caller<R> {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Self::of(head, app)?;
        refuse_query(&head.uri)?;
        Ok(caller)
    }
}

/// The name of the API key that a request was made with, if it has this scope.
fn authorize(keyring: &Keyring, headers: &HeaderMap, scope: Scope) -> Result<Arc<str>, ApiError> {
    let credentials = keyring.current();
    let keys = &credentials.api_keys;
    if keys.is_empty() {
        return Err(ApiError::NoApiKeys);
    }
    let key = keys
        .of_request(headers)
        .map_err(ApiError::Unauthenticated)?;
    if key.allows(scope) {
        Ok(key.name.clone())
    } else {
        Err(ApiError::InsufficientScope(scope))
    }
}
