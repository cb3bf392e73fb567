//! `GET /api/notifications/online-count`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use carillon_common::settings::Scope;
use serde::Serialize;

use crate::{
    app::Service,
    dispatch::deliver,
    edge::Arrival,
    error::ApiError,
    extract::{authorize, refuse_query},
};

/// Counts the users that are connected, in the whole deployment; up to a second old.
///
/// Scope `read`. No parameters. Answers: 200 [`OnlineCount`]; problems 400, 401, 403, 500, 503.
pub(crate) async fn online_count(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<OnlineCount>, ApiError> {
    let deadline = service.deadline(Arrival::of(&request));
    authorize(&service.keyring, request.headers(), Scope::Read)?;
    refuse_query(request.uri())?;
    let count = deliver(service.store_deadline(deadline), || {
        service.backend.online_count()
    })
    .await?;
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
