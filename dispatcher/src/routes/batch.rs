//! `POST /api/notifications/batch`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use carillon_common::{
    backend::SendOrder, errors::ProblemKind, protocol::schema::names, settings::DispatcherSettings,
    telemetry::spans::Destination,
};
use serde_json::{json, value::RawValue};

use super::{
    accepted,
    caller::{may, may_send},
    post::{Post, Posted, Posts},
    send::said,
    several::{Answered, SeveralAnswer, accept_each, by_user, tell},
};
use crate::{
    app::App,
    contract::{OfBatches, PostingSeveral, described, fields, optional, refer, required},
    dispatch::{BatchItem, send_order},
    error::ApiError,
    extract::{FieldReader, Fields, IdempotencyKey},
    paths::BATCH,
    traced::traced,
};

/// Notifications that one request may have.
const MOST: usize = 100;

impl Posts for may::SendBatch {
    const ROUTE: &'static str = "POST /api/notifications/batch";
    const DESTINATION: Destination = Destination::Inbox;
    const IN_QUERY: bool = false;

    fn largest(settings: &DispatcherSettings) -> usize {
        settings.batch_bytes
    }
}

described! {
    /// What a batch says; [`notifications`] reads it.
    BatchFields: fields(vec![required("notifications", json!({
        "type": "array", "minItems": 1, "maxItems": MOST, "items": refer::<BatchNotification>(),
    }))]);
    /// One of a batch; [`BatchItem::read`] reads it.
    BatchNotification: {
        let mut all = vec![required("target_user", names::user())];
        all.extend(said());
        all.push(optional("idempotency_key", json!({
            "type": "string", "pattern": "^[ -~]{1,255}$", "examples": ["order-4711-shipped"],
            "description": "What the header `Idempotency-Key` is to a send: the caller's own name for this notification",
        })));
        fields(all)
    };
}

/// Sends up to a hundred notifications, each to a user of its own
///
/// Each is accepted or not by itself, and has its result; those to one user are accepted in their order. Under
/// idempotency keys the same may be sent again, all of it or what was not accepted alone.
#[utoipa::path(
    post,
    path = BATCH,
    tag = "notifications",
    params(PostingSeveral),
    request_body(content = BatchFields, description = "At most `dispatcher.batch_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 200, description = "Of each notification, what became of it", body = SeveralAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
            ("RateLimit-Policy" = String, description = "The limit of this service, where there is one"),
            ("RateLimit" = String, description = "What is left of it"),
        )),
        OfBatches,
    ),
    security(("api_key" = ["send"])),
)]
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    mut post: Post<may::SendBatch>,
) -> Result<Response, ApiError> {
    traced(post.trace(), accept(&app, &mut post)).await
}

async fn accept(app: &App, post: &mut Post<may::SendBatch>) -> Result<Response, ApiError> {
    let posted = post.read(app).await?;
    if posted.key.is_some() {
        return Err(ApiError::IdempotencyKeyOfBatch);
    }
    let fields = posted.fields()?;
    let texts = notifications(&fields)?;
    let members: Vec<_> = texts.iter().map(|text| Fields::of_item(text)).collect();
    let items = members.iter().map(|members| read(app, &posted, members));
    let items: Vec<_> = items.collect();

    let plan = |at: usize| -> Result<SendOrder, ApiError> {
        let BatchItem { request, key } = items[at].as_ref().map_err(Clone::clone)?;
        let key = key.as_deref().and_then(IdempotencyKey::of_field);
        let repeatable = key.map(|key| posted.repeatable_part(key, texts[at].get().as_bytes()));
        let settings = &app.settings.idempotency;
        let order = send_order(&request.to, request, app.stamp(), repeatable, settings)?;
        let trace = posted.trace();
        Ok(SendOrder { trace, ..order })
    };
    let user =
        |item: &Result<BatchItem<'_>, ApiError>| Some(item.as_ref().ok()?.request.to.clone());
    let users: Vec<_> = items.iter().map(user).collect();
    let named = users.iter().enumerate();
    let groups = by_user(named.filter_map(|(at, user)| Some((at, user.as_ref()?))));
    let mut answered = accept_each(app, &posted, groups, &plan).await;
    let unread = items.iter().enumerate();
    answered.extend(unread.filter_map(|(at, item)| -> Option<Answered> {
        let error = item.as_ref().err()?;
        Some((at, Err(error.clone())))
    }));
    let place = |at: usize, pointer: &str| format!("/notifications/{at}{pointer}");
    let answer = tell(app, &posted, users, answered, place);
    let told = app.allowance.standing(posted.service);
    Ok(accepted(&answer, false, told))
}

/// The notifications of a batch, not yet looked at.
fn notifications<'f>(fields: &'f Fields<'f>) -> Result<Vec<&'f RawValue>, ApiError> {
    const NAME: &str = "notifications";
    let mut reader = FieldReader::new(fields);
    let items = reader.list(NAME, MOST);
    if !reader.has(NAME) {
        let detail = format!("{NAME} is missing");
        reader.refuse(ProblemKind::MissingField, NAME, detail);
    }
    let errors = reader.finish();
    match items {
        Some(items) if errors.is_empty() => Ok(items),
        _ => Err(ApiError::InvalidFields(errors)),
    }
}

/// One notification, if it is one that the caller may send.
fn read<'a>(
    app: &App,
    posted: &Posted<'_>,
    members: &'a Result<Fields<'a>, ApiError>,
) -> Result<BatchItem<'a>, ApiError> {
    let members = members.as_ref().map_err(Clone::clone)?;
    let item = BatchItem::read(members, &app.settings)?;
    let request = &item.request;
    may_send(posted.service, &request.to, request.label.as_ref())?;
    Ok(item)
}
