//! `POST /api/notifications/broadcast`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use carillon_common::{
    backend::PublishOrder,
    ids::{Cursor, NotificationId},
    protocol::schema::names,
    telemetry::spans::Destination,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    accepted,
    caller::{may, may_broadcast},
    post::{Post, Posts},
};
use crate::{
    app::App,
    contract::{
        self, BroadcastTtl, Data, Field, OfBroadcasts, Posting, described, fields, optional, query,
        refer, required,
    },
    dispatch::{BroadcastRequest, deliver, publish_order},
    error::ApiError,
    paths::BROADCAST,
    traced::traced,
};

impl Posts for may::Broadcast {
    const ROUTE: &'static str = "POST /api/notifications/broadcast";
    const DESTINATION: Destination = Destination::Channel;
    const IN_QUERY: bool = true;
}

described! {
    /// What a broadcast says; [`BroadcastRequest::read`] reads it.
    BroadcastFields: fields(said(refer::<Data>()));
}

/// The same as parameters of the query.
enum BroadcastQuery {}

impl IntoParams for BroadcastQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        query(said(
            json!({ "type": "string", "contentMediaType": "application/json", "description": "A text that is JSON" }),
        ))
    }
}

/// The fields, of which only `data` is written differently in each place.
fn said(data: Value) -> Vec<Field> {
    let mut channel = names::channel();
    channel["description"] = "Whose members it is for; absent: everyone".into();
    vec![
        required("notification_type", names::notification_type()),
        required(
            "content",
            json!({ "type": "string", "description": "Text for people; may be empty" }),
        ),
        optional("channel", channel),
        optional("data", data),
        optional("ttl", refer::<BroadcastTtl>()),
    ]
}

/// Publishes a notification to a channel's members, or to everyone
///
/// Who is reconnecting gets it from the channel's log. The fields are in a JSON body or, with an empty body, in the
/// query, under the same names.
#[utoipa::path(
    post,
    path = BROADCAST,
    tag = "notifications",
    params(Posting, BroadcastQuery),
    request_body(content = Option<BroadcastFields>, description = "At most `dispatcher.body_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 200, description = "Accepted", body = BroadcastAnswer, headers(
            ("Idempotent-Replayed" = String, description = "`true`, where an earlier request was repeated"),
            ("X-Request-Id" = String, description = "The request's name in the log"),
            ("RateLimit-Policy" = String, description = "The limits that there are, where there are any"),
            ("RateLimit" = String, description = "What is left of each"),
        )),
        OfBroadcasts,
    ),
    security(("api_key" = ["broadcast"])),
)]
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
    let told = app.allowance.take(posted.service, 1, &[])?;
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
    Ok(accepted(&answer, replayed, told))
}

/// A notification's place in its channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BroadcastAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// For people.
    message: &'static str,
    /// The notification's identity, as clients see it.
    #[schema(value_type = contract::Id)]
    id: NotificationId,
    /// Its place in the channel's log.
    #[schema(value_type = contract::Cursor)]
    cursor: Cursor,
}
