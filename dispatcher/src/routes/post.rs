//! What the routes that take notifications have in common.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use carillon_common::{
    auth::Service,
    ids::NotificationId,
    settings::DispatcherSettings,
    telemetry::spans::{Destination, Trace},
};
use http::request::Parts;
use tokio::time::Instant;

use super::caller::{Caller, Right};
use crate::{
    app::App,
    dispatch::Repeatable,
    edge::Arrival,
    error::ApiError,
    extract::{Fields, IdempotencyKey, ReadBody, fingerprint, refuse_query},
};

/// The right to call a route that takes notifications, and what that route is.
pub(crate) trait Posts: Right {
    /// Its name in the fingerprints of requests, which are stored: it never changes.
    const ROUTE: &'static str;
    const DESTINATION: Destination;
    /// Whether the fields may be in the query string, the body being empty.
    const IN_QUERY: bool;

    /// The largest body that it takes, in bytes.
    fn largest(settings: &DispatcherSettings) -> usize {
        settings.body_bytes
    }
}

/// A request to take a notification, of a caller that may make it; its body is not read yet.
pub(crate) struct Post<R> {
    caller: Caller<R>,
    trace: Option<Trace>,
    head: Parts,
    body: Body,
}

impl<R: Posts> FromRequest<Arc<App>> for Post<R> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let caller = Caller::of(&head, app)?;
        // Of strangers nothing is traced: they would fill the collector.
        let since = caller.arrival.at.into_std();
        let trace = app.spans.request(&head.headers, R::DESTINATION, since);
        Ok(Self {
            caller,
            trace,
            head,
            body,
        })
    }
}

impl<R: Posts> Post<R> {
    /// What the request is traced by.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.trace.clone()
    }

    /// Reads the whole request. Once: the body is then gone.
    pub(super) async fn read(&mut self, app: &App) -> Result<Posted<'_>, ApiError> {
        let Self {
            caller,
            trace,
            head,
            body,
        } = self;
        let (body, headers) = (std::mem::take(body), &head.headers);
        let key = IdempotencyKey::of(headers)?;
        if !R::IN_QUERY {
            refuse_query(&head.uri)?;
        }
        let (name, deadline) = (&*caller.name, caller.deadline);
        let limit = R::largest(&app.settings.dispatcher);
        let query = head.uri.query().filter(|query| !query.is_empty());
        let input = match query {
            Some(query) => {
                let bodies = &app.bodies;
                bodies.refuse(name, headers, body, limit, deadline).await?;
                Input::Query(query)
            }
            None => {
                let body = app.bodies.read_json(name, headers, body, limit, deadline);
                Input::Json(body.await?)
            }
        };
        Ok(Posted {
            caller: name,
            service: &caller.service,
            arrival: &caller.arrival,
            deadline,
            route: R::ROUTE,
            key,
            input,
            trace: trace.as_ref(),
        })
    }
}

/// A request to take a notification, read.
pub(super) struct Posted<'a> {
    /// The caller's name.
    pub(super) caller: &'a str,
    pub(super) service: &'a Service,
    pub(super) arrival: &'a Arrival,
    pub(super) deadline: Instant,
    route: &'static str,
    pub(super) key: Option<IdempotencyKey<'a>>,
    input: Input<'a>,
    trace: Option<&'a Trace>,
}

enum Input<'a> {
    Json(ReadBody),
    Query(&'a str),
}

impl Posted<'_> {
    pub(super) fn fields(&self) -> Result<Fields<'_>, ApiError> {
        match &self.input {
            Input::Json(body) => Fields::from_json(body),
            Input::Query(query) => Fields::from_query(query),
        }
    }

    /// How a repetition is recognised, where the caller gave a key.
    pub(super) fn repeatable(&self) -> Option<Repeatable<'_>> {
        let input: &[u8] = match &self.input {
            Input::Json(body) => body,
            Input::Query(query) => query.as_bytes(),
        };
        self.key.map(|key| Repeatable {
            caller: &self.service.identity,
            key,
            fingerprint: fingerprint(self.route, input),
        })
    }

    /// The same of a part of it: what is sent under this key, of which this is to be the same.
    pub(super) fn repeatable_part<'k>(
        &'k self,
        key: IdempotencyKey<'k>,
        input: &[u8],
    ) -> Repeatable<'k> {
        Repeatable {
            caller: &self.service.identity,
            key,
            fingerprint: fingerprint(self.route, input),
        }
    }

    /// What the request is traced by, where it is about several notifications.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.trace.cloned()
    }

    /// What the request is traced by; told which notification came of it.
    pub(super) fn trace_of(&self, id: NotificationId, body: &Bytes) -> Option<Trace> {
        let trace = self.trace?;
        trace.is_about(id, body.len(), self.caller);
        Some(trace.clone())
    }
}
