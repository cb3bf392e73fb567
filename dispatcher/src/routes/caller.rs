//! What every route asks first: who calls, whether it may, and how long its request has.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use axum::extract::FromRequestParts;
use carillon_common::{
    auth::{Claims, Service, TokenError, Unproven},
    ids::{ChannelName, UserId},
    settings::Scope,
};
use http::{HeaderMap, request::Parts};
use tokio::time::Instant;

use crate::{app::App, edge::Arrival, error::ApiError, extract::refuse_query};

/// What a route asks of the service that calls it.
pub(crate) trait Right: Send + Sync {
    const SCOPE: Scope;
}

/// The rights, to be named in the types of a route's arguments.
pub(crate) mod may {
    use carillon_common::settings::Scope;

    pub(crate) enum Send {}
    pub(crate) enum SendBatch {}
    pub(crate) enum Broadcast {}
    pub(crate) enum Read {}
    pub(crate) enum Admin {}

    impl super::Right for Send {
        const SCOPE: Scope = Scope::Send;
    }

    impl super::Right for SendBatch {
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
    /// Its name: its API key's, or that of its token's issuer.
    pub(crate) name: Arc<str>,
    pub(crate) service: Service,
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
        let service = authorize(app, &head.headers, R::SCOPE)?;
        Ok(Self {
            name: service.name.clone(),
            service,
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

/// The user whose token a request came with.
pub(super) fn user_of(claims: &Claims) -> Result<UserId, ApiError> {
    let user = UserId::new(&claims.sub);
    user.map_err(|error| ApiError::Internal(error.to_string().into()))
}

/// What the bodies of a user's pages are counted by: it is none of the services.
pub(super) fn name_of(user: &str) -> String {
    format!("user {user}")
}

/// The instant at which a request's time is over, whoever makes it.
pub(super) fn deadline_of(head: &Parts, app: &App) -> Instant {
    let arrived = head.extensions.get::<Arrival>().map(|arrival| arrival.at);
    arrived.unwrap_or_else(Instant::now) + app.settings.dispatcher.request_timeout
}

/// The service that a request was made by, if it has this scope.
fn authorize(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Service, ApiError> {
    let now = app.stamp().now;
    let service = app.keyring.service(headers, now).map_err(refusal)?;
    has(&service, scope)?;
    Ok(service)
}

/// Why nobody is known to call.
pub(super) fn refusal(unproven: Unproven) -> ApiError {
    match unproven {
        Unproven::Nobody => ApiError::NoApiKeys,
        Unproven::Presented(presented) => ApiError::Unauthenticated(presented),
        Unproven::Token(TokenError::KeysAwaited) => ApiError::KeysAwaited,
        Unproven::Token(error) => ApiError::TokenRefused(error),
    }
}

/// Whether a service has this scope.
pub(super) fn has(service: &Service, scope: Scope) -> Result<(), ApiError> {
    match service.allows(scope) {
        true => Ok(()),
        false => Err(ApiError::InsufficientScope(scope)),
    }
}

/// Whether the service may send to this user, under the name of this channel where it has one.
///
/// # Errors
/// What it may not.
pub(super) fn may_send(
    service: &Service,
    user: &UserId,
    label: Option<&ChannelName>,
) -> Result<(), ApiError> {
    if !service.may_reach_user(user.as_str()) {
        return Err(ApiError::UserForbidden(user.clone()));
    }
    label.map_or(Ok(()), |channel| may_broadcast(service, Some(channel)))
}

/// Whether the service may send to this channel, or to everyone.
///
/// # Errors
/// What it may not.
pub(super) fn may_broadcast(
    service: &Service,
    channel: Option<&ChannelName>,
) -> Result<(), ApiError> {
    let may = match channel {
        Some(channel) => service.may_reach_channel(channel.as_str()),
        None => service.may_reach_everyone(),
    };
    match may {
        true => Ok(()),
        false => Err(ApiError::ChannelForbidden(channel.cloned())),
    }
}

/// Whether the service has to do with the user that its request is about.
///
/// # Errors
/// That it has not.
pub(super) fn may_reach_user(service: &Service, user: &UserId) -> Result<(), ApiError> {
    match service.may_reach_user(user.as_str()) {
        true => Ok(()),
        false => Err(ApiError::UserOutOfReach(user.clone())),
    }
}

/// Whether the service has to do with the channel that its request is about.
///
/// # Errors
/// That it has not.
pub(super) fn may_reach_channel(service: &Service, channel: &ChannelName) -> Result<(), ApiError> {
    match service.may_reach_channel(channel.as_str()) {
        true => Ok(()),
        false => Err(ApiError::ChannelOutOfReach(channel.clone())),
    }
}
