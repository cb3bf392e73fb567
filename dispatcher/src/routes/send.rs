//! `POST /api/notifications/send`

use std::{borrow::Cow, sync::Arc};

use axum::{extract::State, response::Response};
use carillon_common::{
    backend::{SendOrder, Sent},
    ids::{Cursor, NotificationId},
    protocol::schema::names,
    telemetry::spans::Destination,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    accepted,
    caller::{may, may_send},
    post::{Post, Posts},
};
use crate::{
    app::App,
    contract::{
        self, Data, OfSends, Posting, SendTtl, described, fields, optional, refer, required,
    },
    dispatch::{SendRequest, deliver, send_order},
    error::ApiError,
    paths::SEND,
    traced::traced,
};

impl Posts for may::Send {
    const ROUTE: &'static str = "POST /api/notifications/send";
    const DESTINATION: Destination = Destination::Inbox;
    const IN_QUERY: bool = false;
}

described! {
    /// What a send says; [`SendRequest::read`] reads it.
    SendFields: fields(vec![
        required("target_user", names::user()),
        required("notification_type", names::notification_type()),
        required("content", json!({ "type": "string", "description": "Text for people; may be empty" })),
        optional("channel", label()),
        optional("data", refer::<Data>()),
        optional("ttl", refer::<SendTtl>()),
    ]);
}

fn label() -> Value {
    let mut label = names::channel();
    label["description"] = "A label that clients read, nothing else".into();
    label
}

/// Sends a notification to a user
///
/// To the connected devices now, to every other device when it comes. With an `Idempotency-Key` it may be repeated:
/// the answer then has the first one's `id` and `cursor`.
#[utoipa::path(
    post,
    path = SEND,
    tag = "notifications",
    params(Posting),
    request_body(content = SendFields, description = "At most `dispatcher.body_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 200, description = "Accepted", body = SendAnswer, headers(
            ("Idempotent-Replayed" = String, description = "`true`, where an earlier request was repeated"),
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfSends,
    ),
    security(("api_key" = ["send"])),
)]
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
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SendAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// For people.
    #[schema(value_type = String)]
    message: Cow<'static, str>,
    /// The notification's identity, as clients see it.
    #[schema(value_type = contract::Id)]
    id: NotificationId,
    /// Its place in the user's inbox; null when it is stored nowhere.
    #[schema(value_type = Option<contract::Cursor>, required)]
    cursor: Option<Cursor>,
    outcome: Outcome,
    /// How many devices of the user are connected now.
    devices: u32,
    /// Whether the user ever connected, as far back as the inbox reaches.
    user_seen: bool,
}

/// Where a notification went.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
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
