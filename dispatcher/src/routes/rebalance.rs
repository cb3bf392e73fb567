//! `POST /api/gateways/rebalance`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use carillon_common::{backend::Control, settings::Scope};
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    app::Service,
    dispatch::{Excess, deliver, excesses},
    edge::{Arrival, RequestId},
    error::ApiError,
    extract::{authorize, refuse_query},
};

/// Asks every gateway that has too many users to move those above the mean. Asking again moves nobody
/// twice.
///
/// Scope `admin`. No parameters. Answers: 202 [`Rebalance`], 200 when nobody was asked; problems 400,
/// 401, 403, 500, 503.
pub(crate) async fn rebalance(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let deadline = service.deadline(Arrival::of(&request));
    let key = authorize(&service.keyring, request.headers(), Scope::Admin)?;
    refuse_query(request.uri())?;
    let outcome = ask_to_move(&service, deadline).await;
    let moving = outcome.as_deref().unwrap_or_default();
    let users: u64 = moving.iter().map(|excess| excess.to_move).sum();
    tracing::info!(
        key = &*key,
        action = "rebalance",
        gateways = moving.len(),
        users,
        outcome = outcome.as_ref().map_or_else(ApiError::code, |moving| {
            if moving.is_empty() {
                "balanced"
            } else {
                "asked"
            }
        }),
        request_id = RequestId::of(&request),
        "an operator's call"
    );
    let moving = outcome?;
    let (status, message) = if moving.is_empty() {
        (StatusCode::OK, "the gateways are balanced".to_owned())
    } else {
        let message = format!("users that are asked to move: {users}");
        (StatusCode::ACCEPTED, message)
    };
    let answer = Rebalance {
        status: "ok",
        message,
        moving,
    };
    Ok((status, Json(answer)).into_response())
}

async fn ask_to_move(service: &Service, deadline: Instant) -> Result<Vec<Excess>, ApiError> {
    let live = deliver(deadline, || service.backend.gateways()).await?;
    let moving = excesses(&live.answer);
    for excess in &moving {
        let word = Control::Rebalance {
            users: excess.target(),
        };
        deliver(deadline, || service.backend.control(&excess.id, &word)).await?;
    }
    Ok(moving)
}

/// What was asked of which gateway.
#[derive(Debug, Serialize)]
pub(crate) struct Rebalance {
    status: &'static str,
    message: String,
    /// By name; empty when they are balanced.
    moving: Vec<Excess>,
}
