//! `POST /api/notifications/broadcast`

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use carillon_common::{
    backend::PublishOrder,
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
    dispatch::{BroadcastRequest, Repeatable, deliver, publish_order},
    edge::Arrival,
    error::ApiError,
    extract::{Fields, IdempotencyKey, authorize, fingerprint},
    traced::traced,
};

const ROUTE: &str = "POST /api/notifications/broadcast";

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
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let arrived = Arrival::of(&request);
    let (head, body) = request.into_parts();
    let caller = authorize(&service.keyring, &head.headers, Scope::Broadcast)?;
    let trace = service
        .spans
        .request(&head.headers, Destination::Channel, arrived.into_std());
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
    let bodies = &service.bodies;
    let (text, input, fields);
    match head.uri.query().filter(|query| !query.is_empty()) {
        Some(query) => {
            bodies.refuse(caller, &head.headers, body, deadline).await?;
            input = query.as_bytes();
            fields = Fields::from_query(query)?;
        }
        None => {
            text = bodies
                .read_json(caller, &head.headers, body, deadline)
                .await?;
            input = &text;
            fields = Fields::from_json(input)?;
        }
    }

    let request = BroadcastRequest::read(&fields, &service.settings)?;
    let repeatable = key.map(|key| Repeatable {
        caller,
        key,
        fingerprint: fingerprint(ROUTE, input),
    });
    let order = PublishOrder {
        trace,
        ..publish_order(
            &request,
            service.stamp(),
            repeatable,
            &service.settings.idempotency,
        )?
    };
    if let Some(trace) = &order.trace {
        trace.is_about(order.id, order.body.len(), caller);
    }

    let delivered = deliver(service.store_deadline(deadline), || {
        service.backend.publish(&order)
    })
    .await?;
    let answer = BroadcastAnswer {
        status: "ok",
        message: match &request.channel {
            Some(_) => "published to the channel",
            None => "published to everyone",
        },
        id: order
            .idempotency
            .accepted_id(order.id, delivered.answer.former),
        cursor: delivered.answer.cursor,
    };
    Ok(accepted(
        &answer,
        delivered.answer.repeated && !delivered.after_doubt,
    ))
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
