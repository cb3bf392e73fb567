//! `POST /api/notifications/broadcast`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use carillon_common::{
    backend::PublishOrder,
    ids::{Cursor, NotificationId},
    telemetry::spans::Destination,
};
use serde::Serialize;

use super::{
    accepted,
    caller::{may, may_broadcast},
    post::{Post, Posts},
};
use crate::{
    app::App,
    dispatch::{BroadcastRequest, deliver, publish_order},
    error::ApiError,
    traced::traced,
};

impl Posts for may::Broadcast {
    const ROUTE: &'static str = "POST /api/notifications/broadcast";
    const DESTINATION: Destination = Destination::Channel;
    const IN_QUERY: bool = true;
}

/// Publishes a notification to a channel's members, or to every user.
///
/// Scope `broadcast`. Header `Idempotency-Key` (optional) as for a send; keys are counted per
/// channel.
///
/// Request, as `application/json` or, with an empty body, as query parameters of the same names:
/// - `notification_type` (string, 1–128 bytes, none of the protocol's own types)
/// - `content` (string, may be empty)
/// - `channel` (string, optional): absent, everyone
/// - `data` (any JSON, in the query a text that is JSON; optional, `{}`)
/// - `ttl` (seconds, or a text such as `"10m"`; optional): above 0, at most the age of the
///   channel's log (`channels.ttl`, its namespace's, or `channels.broadcast_ttl`)
///
/// Answers: 200 [`BroadcastAnswer`]; problems 400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 507.
pub(crate) async fn broadcast(
    State(app): State<Arc<App>>,
    mut post: Post<may::Broadcast>,
) -> Result<Response, ApiError> {
    traced(post.trace(), accept(&app, &mut post)).await
}

async fn accept(app: &App, post: &mut Post<may::Broadcast>) -> Result<Response, ApiError> {
    let posted = post.read(app).await?;
    let fields = posted.fields()?;
    let request = BroadcastRequest::read(&fields, &app.settings)?;
    may_broadcast(posted.service, request.channel.as_ref())?;
    let settings = &app.settings.idempotency;
    let order = publish_order(&request, app.stamp(), posted.repeatable(), settings)?;
    let order = PublishOrder {
        trace: posted.trace_of(order.id, &order.body),
        ..order
    };

    let until = app.store_deadline(posted.deadline);
    let delivered = deliver(until, || app.backend.publish(&order)).await?;
    let replayed = delivered.answer.repeated && !delivered.after_doubt;
    let former = delivered.answer.former;
    let answer = BroadcastAnswer {
        status: "ok",
        message: match &request.channel {
            Some(_) => "published to the channel",
            None => "published to everyone",
        },
        id: order.idempotency.accepted_id(order.id, former),
        cursor: delivered.answer.cursor,
    };
    Ok(accepted(&answer, replayed))
}

/// A notification's place in its channel.
#[derive(Debug, Serialize)]
pub(crate) struct BroadcastAnswer {
    /// `ok`
    status: &'static str,
    /// For people.
    message: &'static str,
    /// The notification's identity, as clients see it.
    id: NotificationId,
    /// Its place in the channel's log.
    cursor: Cursor,
}
