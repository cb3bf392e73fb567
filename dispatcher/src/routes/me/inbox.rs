//! `GET /api/me/notifications`

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{backend::ReadState, ids::Cursor, notification::Frame};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;

use super::client::Client;
use crate::{
    app::App,
    contract::{self, Asking, OfMyInbox, StoredNotification, described},
    error::ApiError,
    paths::MY_INBOX,
    routes::{
        history::written,
        inbox::{Asked, Paging, page},
    },
};

described! {
    /// A notification of one's own.
    MyNotification: {
        let mut own = serde_json::to_value(StoredNotification::schema()).unwrap_or_default();
        if let Some(required) = own["required"].as_array_mut() {
            required.push("read".into());
        }
        own["properties"]["read"] =
            json!({ "type": "boolean", "description": "Whether the user has read it, on whichever device" });
        own
    };
}

/// Lists the user's own inbox
///
/// What may still be delivered, and the newest `inbox.keep` that every device has acked; of each, whether it was read.
/// Nothing is acked or read by it.
#[utoipa::path(
    get,
    path = MY_INBOX,
    tag = "me",
    params(Asking, Paging),
    responses(
        (status = 200, description = "A page of the inbox", body = MyInbox, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfMyInbox,
    ),
    security(("token" = [])),
)]
pub(crate) async fn my_inbox(
    State(app): State<Arc<App>>,
    client: Client,
) -> Result<Json<MyInbox>, ApiError> {
    let fields = client.parameters()?;
    let asked = Asked::read(&fields)?;
    let until = app.store_deadline(client.deadline);
    let page = page(&app, &client.user, asked, until, told).await?;
    Ok(Json(MyInbox {
        notifications: page.notifications,
        next: page.next,
    }))
}

/// A page of the user's own inbox.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MyInbox {
    /// In the order asked for.
    #[schema(value_type = Vec<MyNotification>)]
    notifications: Vec<Box<RawValue>>,
    /// What to ask `after` for the next page; null when this was the last. A page may have fewer than `limit`.
    #[schema(value_type = Option<contract::Cursor>, required)]
    next: Option<Cursor>,
}

/// As it is stored, and whether it was read.
fn told(frame: &Frame, read: &ReadState) -> Result<Box<RawValue>, ApiError> {
    let stored = written(frame)?;
    let members = stored.get().strip_suffix('}');
    let members =
        members.ok_or_else(|| ApiError::Internal("a notification is no object".into()))?;
    let text = format!("{members},\"read\":{}}}", read.includes(frame.cursor));
    RawValue::from_string(text).map_err(|error| ApiError::Internal(error.to_string().into()))
}
