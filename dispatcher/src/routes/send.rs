//! `POST /api/notifications/send`

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use carillon_common::{
    backend::{SendOrder, Sent},
    ids::{Cursor, NotificationId},
    settings::Scope,
    telemetry::spans::{Destination, Trace},
};
use http::request::Parts;
use serde::Serialize;
use tokio::time::Instant;

use super::accepted;
use crate::{
    app::Service,
    dispatch::{Repeatable, SendRequest, deliver, send_order},
    edge::Arrival,
    error::ApiError,
    extract::{Fields, IdempotencyKey, authorize, fingerprint, refuse_query},
    traced::traced,
};

/// Sends a notification to a user: to the connected devices now, to the others when they come.
///
/// Scope `send`. Header `Idempotency-Key` (optional): a repetition within `idempotency.ttl` is
/// answered with the first one's id and cursor, and `Idempotent-Replayed: true`.
///
/// Request (`application/json`):
/// - `target_user` (string, 1–255 bytes)
/// - `notification_type` (string, 1–128 bytes, none of the protocol's own types)
/// - `content` (string, may be empty)
/// - `channel` (string, optional): a label on the notification, nothing else
/// - `data` (any JSON, optional, `{}`): passed on as it is written
/// - `ttl` (seconds, or a text such as `"10m"`; optional, `inbox.ttl`, which is also the most):
///   how long it may be delivered. 0: to whoever is connected now, stored nowhere
///
/// Answers: 200 [`SendAnswer`]; problems 400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503, 507.
pub(crate) async fn send(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let arrived = Arrival::of(&request);
    let (head, body) = request.into_parts();
    let caller = authorize(&service.keyring, &head.headers, Scope::Send)?;
    // Of strangers nothing is traced: they would fill the collector.
    let trace = service
        .spans
        .request(&head.headers, Destination::Inbox, arrived.into_std());
    let deadline = service.deadline(arrived);
    let work = accept(&service, &caller, &head, body, deadline, trace.clone());
    traced(trace, work).await
}

async fn accept(
    service: &Service,
    caller: &str,
    head: &Parts,
    body: Body,
    deadline: Instant,
    trace: Option<Trace>,
) -> Result<Response, ApiError> {
    let key = IdempotencyKey::of(&head.headers)?;
    refuse_query(&head.uri)?;
    let bodies = &service.bodies;
    let body = bodies
        .read_json(caller, &head.headers, body, deadline)
        .await?;

    let fields = Fields::from_json(&body)?;
    let request = SendRequest::read(&fields, &service.settings)?;
    let repeatable = key.map(|key| Repeatable {
        caller,
        key,
        fingerprint: fingerprint("POST /api/notifications/send", &body),
    });
    let order = SendOrder {
        trace,
        ..send_order(
            &request,
            service.stamp(),
            repeatable,
            &service.settings.idempotency,
        )?
    };
    if let Some(trace) = &order.trace {
        trace.is_about(order.id, order.body.len(), caller);
    }

    let start = Instant::now();
    let delivered = deliver(service.store_deadline(deadline), || {
        service.backend.send(&order)
    })
    .await;
    let answer = delivered.as_ref().map(|delivered| &delivered.answer);
    let took = start.elapsed();
    service.counters.send(caller, answer, took);
    let delivered = delivered?;
    let replayed = delivered.answer.repeated && !delivered.after_doubt;
    let former = delivered.answer.former;
    let id = order.idempotency.accepted_id(order.id, former);
    Ok(accepted(&SendAnswer::new(id, &delivered.answer), replayed))
}

/// What became of a notification.
#[derive(Debug, Serialize)]
pub(crate) struct SendAnswer {
    /// `ok`
    status: &'static str,
    /// For people.
    message: Cow<'static, str>,
    /// The notification's identity, as clients see it.
    id: NotificationId,
    /// Its place in the user's inbox; null when it is stored nowhere.
    cursor: Option<Cursor>,
    outcome: Outcome,
    /// How many devices of the user are connected now.
    devices: u32,
    /// Whether the user ever connected, as far back as the inbox reaches.
    user_seen: bool,
}

/// Where a notification went.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// To the devices that are connected; the inbox keeps it for the others.
    Routed,
    /// Into the inbox alone.
    Queued,
    /// Nowhere: nobody is connected, and with a ttl of 0 it is not stored.
    Dropped,
}

impl SendAnswer {
    fn new(id: NotificationId, sent: &Sent) -> Self {
        let (outcome, message) = match (sent.devices, sent.cursor) {
            (0, None) => (
                Outcome::Dropped,
                "the user is not connected, and with a ttl of 0 nothing is stored".into(),
            ),
            (0, Some(_)) => (
                Outcome::Queued,
                "the user is not connected; the notification waits in the inbox".into(),
            ),
            (1, _) => (Outcome::Routed, "routed to 1 connected device".into()),
            (n, _) => (
                Outcome::Routed,
                format!("routed to {n} connected devices").into(),
            ),
        };
        Self {
            status: "ok",
            message,
            id,
            cursor: sent.cursor,
            outcome,
            devices: sent.devices,
            user_seen: sent.user_seen,
        }
    }
}
