//! `DELETE /api/users/{user}`: forgetting a user.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{
    backend::{Control, Disconnection},
    ids::UserId,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller::{Caller, may, may_reach_user},
    words::leave_all,
};
use crate::{
    app::App,
    contract::{self, Asking, OfUsers},
    dispatch::deliver,
    error::ApiError,
    extract::UserInPath,
    paths::USER,
};

/// Forgets a user
///
/// Inbox, receipts, devices, kept subscriptions and what waits for its time go, and the user's connections are closed (4203). What idempotency
/// keys stand for lapses by itself, within a day. Channels' logs keep what was published to them.
#[utoipa::path(
    delete,
    path = USER,
    tag = "users",
    params(Asking, contract::OfUser),
    responses(
        (status = 200, description = "Nothing is kept of the user any more", body = EraseAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfUsers,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn erase(
    State(app): State<Arc<App>>,
    operator: Caller<may::Admin>,
    UserInPath(user): UserInPath,
) -> Result<Json<EraseAnswer>, ApiError> {
    let erased = forget(&app, &operator, &user).await;
    // Not the user's name: it is to be forgotten.
    tracing::info!(
        key = &*operator.name,
        action = "erase",
        outcome = erased.as_ref().map_or_else(ApiError::code, |_| "done"),
        request_id = operator.arrival.request_id(),
        "an operator's call"
    );
    erased.map(Json)
}

async fn forget(
    app: &App,
    operator: &Caller<may::Admin>,
    user: &UserId,
) -> Result<EraseAnswer, ApiError> {
    may_reach_user(&operator.service, user)?;
    let until = app.store_deadline(operator.deadline);
    let present = deliver(until, || app.backend.presence(user)).await?;
    let word = Control::Disconnect(Disconnection::of(user.clone()));
    leave_all(app, until, &word).await?;
    let erased = deliver(until, || app.backend.erase(user)).await?;
    Ok(EraseAnswer {
        status: "ok",
        erased: erased.answer || erased.after_doubt,
        connections: present.answer.len(),
    })
}

/// A user is forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EraseAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// Whether there was anything to forget.
    erased: bool,
    /// How many connections are being closed.
    connections: usize,
}
