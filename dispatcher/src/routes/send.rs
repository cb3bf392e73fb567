//! `POST /api/notifications/send`

use std::{borrow::Cow, sync::Arc};

use axum::{extract::State, response::Response};
use carillon_common::{
    backend::{SendOrder, Sent},
    ids::{Cursor, NotificationId, UserId},
    notification::rfc3339,
    protocol::schema::names,
    telemetry::spans::Destination,
};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    accepted, accepted_as,
    caller::{may, may_broadcast, may_send},
    post::{Post, Posted, Posts},
    several::{SeveralAnswer, accept_each, tell},
};
use crate::{
    app::App,
    contract::{
        self, CollapseKey, Data, DeliverAt, Field, OfSends, Posting, SendTtl, described, fields,
        optional, refer, required,
    },
    dispatch::{MOST_USERS, Receivers, SendRequest, deliver, send_order},
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
    SendFields: {
        let receivers = [optional("target_user", names::user()), optional("target_users", users())];
        let mut all = fields(receivers.into_iter().chain(said()).collect());
        // Null would be as good as absent, but then it is the other one.
        all["properties"]["target_user"] = names::user();
        all["properties"]["target_users"] = users();
        all["oneOf"] = json!([{ "required": ["target_user"] }, { "required": ["target_users"] }]);
        all
    };
}

/// What every notification to a user says, but to whom.
pub(super) fn said() -> Vec<Field> {
    vec![
        required("notification_type", names::notification_type()),
        required(
            "content",
            json!({ "type": "string", "description": "Text for people; may be empty" }),
        ),
        optional("channel", label()),
        optional("data", refer::<Data>()),
        optional("ttl", refer::<SendTtl>()),
        optional("collapse_key", refer::<CollapseKey>()),
        optional("deliver_at", refer::<DeliverAt>()),
    ]
}

fn users() -> Value {
    json!({
        "type": "array", "minItems": 1, "maxItems": MOST_USERS, "uniqueItems": true, "items": names::user(),
        "description": "In the place of `target_user`: the same to each of these, each by itself",
    })
}

fn label() -> Value {
    let mut label = names::channel();
    label["description"] = "A label that clients read, nothing else".into();
    label
}

/// Sends a notification to a user
///
/// To the connected devices now, to every other device when it comes. With an `Idempotency-Key` it may be repeated:
/// the answer then has the first one's `id` and `cursor`. To several users (`target_users`) it is sent to each by itself,
/// and the answer has what became of each; the key then holds for each user, so that the same may be sent again to those
/// alone to whom it was not. With `deliver_at` it waits until then (at most 30 days), and may be listed and cancelled.
#[utoipa::path(
    post,
    path = SEND,
    tag = "notifications",
    params(Posting),
    request_body(content = SendFields, description = "At most `dispatcher.body_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 200, description = "Accepted; with `target_users`, what became of each", body = SendAnswers, headers(
            ("Idempotent-Replayed" = String, description = "`true`, where an earlier request was repeated"),
            ("X-Request-Id" = String, description = "The request's name in the log"),
            ("RateLimit-Policy" = String, description = "The limits that there are, where there are any"),
            ("RateLimit" = String, description = "What is left of each"),
        )),
        (status = 202, description = "Accepted for later: `deliver_at` says when it will be delivered", body = SendAnswer, headers(
            ("Idempotent-Replayed" = String, description = "`true`, where an earlier request was repeated"),
            ("X-Request-Id" = String, description = "The request's name in the log"),
            ("RateLimit-Policy" = String, description = "The limits that there are, where there are any"),
            ("RateLimit" = String, description = "What is left of each"),
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
    match &request.to {
        Receivers::One(user) => to_one(app, &posted, user, &request).await,
        Receivers::Several(users) => {
            let same = fields.but("target_users");
            // On the heap, so that requests to one user are not larger for those to several.
            Box::pin(to_several(app, &posted, users, &request, &same)).await
        }
    }
}

async fn to_one(
    app: &App,
    posted: &Posted<'_>,
    user: &UserId,
    request: &SendRequest<'_>,
) -> Result<Response, ApiError> {
    may_send(posted.service, user, request.label.as_ref())?;
    let told = app.allowance.take(posted.service, 1, &[user])?;
    let settings = &app.settings.idempotency;
    let order = send_order(user, request, app.stamp(), posted.repeatable(), settings)?;
    let order = SendOrder {
        trace: posted.trace_of(order.id, &order.body),
        ..order
    };
    let until = app.store_deadline(posted.deadline);
    let Accepted { answer, replayed } = accept_one(app, posted.caller, until, &order).await?;
    let status = match answer.outcome {
        Outcome::Scheduled => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let answer = SendAnswers::One(answer);
    Ok(accepted_as(status, &answer, replayed, told))
}

/// `same`: what tells this request from others under the same key, whoever it is for.
async fn to_several(
    app: &App,
    posted: &Posted<'_>,
    users: &[UserId],
    request: &SendRequest<'_>,
    same: &[u8],
) -> Result<Response, ApiError> {
    if let Some(label) = &request.label {
        may_broadcast(posted.service, Some(label))?;
    }
    let repeatable = posted.key.map(|key| posted.repeatable_part(key, same));
    let plan = |at: usize| -> Result<SendOrder, ApiError> {
        let user = &users[at];
        may_send(posted.service, user, None)?;
        let settings = &app.settings.idempotency;
        let order = send_order(user, request, app.stamp(), repeatable.clone(), settings)?;
        let trace = posted.trace();
        Ok(SendOrder { trace, ..order })
    };
    let each = (0..users.len()).map(|at| vec![at]).collect();
    let answered = accept_each(app, posted, each, &plan).await;
    let place = |at: usize, pointer: &str| match pointer {
        "/target_user" => format!("/target_users/{at}"),
        pointer => pointer.to_owned(),
    };
    let users = users.iter().cloned().map(Some).collect();
    let answer = tell(app, posted, users, answered, place);
    let told = app.allowance.standing(posted.service);
    Ok(accepted(&SendAnswers::Several(answer), false, told))
}

/// An accepted notification.
pub(super) struct Accepted {
    pub(super) answer: SendAnswer,
    /// Whether the caller repeated an earlier request.
    pub(super) replayed: bool,
}

/// Has a notification accepted, until `until`, and counts it.
pub(super) async fn accept_one(
    app: &App,
    caller: &str,
    until: Instant,
    order: &SendOrder,
) -> Result<Accepted, ApiError> {
    let start = Instant::now();
    let delivered = deliver(until, || app.backend.send(order)).await;
    let answer = delivered.as_ref().map(|delivered| &delivered.answer);
    app.counters.send(caller, answer, start.elapsed());
    let delivered = delivered?;
    let former = delivered.answer.former;
    let id = order.idempotency.accepted_id(order.id, former);
    Ok(Accepted {
        answer: SendAnswer::new(id, &delivered.answer),
        replayed: delivered.answer.repeated && !delivered.after_doubt,
    })
}

/// What a send is answered: to one user, or to several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SendAnswers {
    One(SendAnswer),
    Several(SeveralAnswer),
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
    /// Its place in the user's inbox; null when it is stored nowhere, or waits for its time.
    #[schema(value_type = Option<contract::Cursor>, required)]
    cursor: Option<Cursor>,
    outcome: Outcome,
    /// How many devices of the user are connected now.
    devices: u32,
    /// Whether the user ever connected, as far back as the inbox reaches.
    user_seen: bool,
    /// When it will be delivered, where it is scheduled.
    #[schema(value_type = contract::Time)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
}

/// Where a notification went.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// To the devices that are connected; the inbox keeps it for the others.
    Routed,
    /// Into the inbox alone.
    Queued,
    /// Nowhere: nobody is connected, and with a ttl of 0 it is not stored.
    Dropped,
    /// Nowhere yet: it waits for its time.
    Scheduled,
}

impl SendAnswer {
    fn new(id: NotificationId, sent: &Sent) -> Self {
        let deliver_at = sent.due.map(rfc3339);
        let (outcome, message) = match (sent.devices, sent.cursor) {
            _ if sent.due.is_some() => (
                Outcome::Scheduled,
                format!(
                    "it waits until {}",
                    deliver_at.as_deref().unwrap_or_default()
                )
                .into(),
            ),
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
            deliver_at,
        }
    }
}
