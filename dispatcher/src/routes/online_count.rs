//! `GET /api/notifications/online-count`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::{Caller, may};
use crate::{
    app::App,
    contract::{Asking, OfReads},
    dispatch::deliver,
    error::ApiError,
    paths::ONLINE_COUNT,
};

/// Counts the users that are connected
///
/// Distinct users with at least one connection, in the whole deployment; up to a second old.
#[utoipa::path(
    get,
    path = ONLINE_COUNT,
    tag = "notifications",
    params(Asking),
    responses(
        (status = 200, description = "The count", body = OnlineCount, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfReads,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn online_count(
    State(app): State<Arc<App>>,
    caller: Caller<may::Read>,
) -> Result<Json<OnlineCount>, ApiError> {
    let until = app.store_deadline(caller.deadline);
    let count = deliver(until, || app.backend.online_count()).await?;
    Ok(Json(OnlineCount {
        online_count: count.answer,
    }))
}

/// Who is there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnlineCount {
    /// Distinct users with at least one connection.
    online_count: u64,
}
