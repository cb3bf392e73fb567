//! `POST /api/notifications/send`

use std::{borrow::Cow, sync::Arc};

use axum::{extract::State, response::Response};
use carillon_common::{
    backend::{SendOrder, Sent},
    ids::{Cursor, NotificationId},
    telemetry::spans::Destination,
};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    accepted,
    caller::{may, may_send},
    post::{Post, Posts},
};
use crate::{
    app::App,
    dispatch::{SendRequest, deliver, send_order},
    error::ApiError,
    traced::traced,
};

impl Posts for may::Send {
    const ROUTE: &'static str = "POST /api/notifications/send";
    const DESTINATION: Destination = Destination::Inbox;
    const IN_QUERY: bool = false;
}

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
    State(app): State<Arc<App>>,
    mut post: Post<may::Send>,
) -> Result<Response, ApiError> {
    traced(post.trace(), accept(&app, &mut post)).await
}

async fn accept(app: &App, post: &mut Post<may::Send>) -> Result<Response, ApiError> {
    let posted = post.read(app).await?;
    let fields = posted.fields()?;
    let request = SendRequest::read(&fields, &app.settings)?;
    may_send(posted.service, &request.user, request.label.as_ref())?;
    let settings = &app.settings.idempotency;
    let order = send_order(&request, app.stamp(), posted.repeatable(), settings)?;
    let order = SendOrder {
        trace: posted.trace_of(order.id, &order.body),
        ..order
    };

    let start = Instant::now();
    let until = app.store_deadline(posted.deadline);
    let delivered = deliver(until, || app.backend.send(&order)).await;
    let answer = delivered.as_ref().map(|delivered| &delivered.answer);
    app.counters.send(posted.caller, answer, start.elapsed());
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
