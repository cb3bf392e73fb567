//! `GET /api/notifications/online-count`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::caller::{Caller, may};
use crate::{app::App, dispatch::deliver, error::ApiError};

/// Counts the users that are connected, in the whole deployment; up to a second old.
///
/// Scope `read`. No parameters. Answers: 200 [`OnlineCount`]; problems 400, 401, 403, 500, 503.
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
#[derive(Debug, Serialize)]
pub(crate) struct OnlineCount {
    /// Distinct users with at least one connection.
    online_count: u64,
}
