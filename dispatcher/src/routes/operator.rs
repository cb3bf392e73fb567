//! `POST /api/gateways/{id}/drain` and `POST /api/gateways/rebalance`: what operators have gateways do.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use carillon_common::{backend::Control, ids::GatewayId};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller::{Caller, may},
    words::{leave, live},
};
use crate::{
    app::App,
    contract::{self, Asking, OfDrains, OfGateway, OfOperators},
    dispatch::{Excess, excesses},
    error::ApiError,
    paths::{DRAIN, REBALANCE},
};

/// Who may call these.
pub(super) type Operator = Caller<may::Admin>;

/// Asks a gateway to drain
///
/// It moves its clients elsewhere and takes no new ones. Done when its `accepting` is false and its `users` are 0;
/// asking again changes nothing.
#[utoipa::path(
    post,
    path = DRAIN,
    tag = "gateways",
    params(Asking, OfGateway),
    responses(
        (status = 202, description = "The gateway will be told, within a second or so", body = Drain, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfDrains,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    operator: Operator,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    // What is not UTF-8 names no gateway.
    let Path(id) = id.map_err(|_| ApiError::GatewayUnknown)?;
    let outcome = ask_to_drain(&app, &operator, &id).await;
    let action = Action {
        name: "drain",
        gateway: Some(&id),
        ..Action::default()
    };
    action.log(&operator, outcome.as_ref().map(|_| "asked"));
    let id = outcome?;
    let answer = Drain {
        status: "ok",
        message: format!("the gateway {id} is asked to drain"),
        id,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Asks every gateway that has too many users to move those above the mean
///
/// Too many are more than 10 % above the mean of `users`. Asking again moves nobody twice.
#[utoipa::path(
    post,
    path = REBALANCE,
    tag = "gateways",
    params(Asking),
    responses(
        (status = 200, description = "They are balanced: nobody was asked, and `moving` is empty", body = Rebalance, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        (status = 202, description = "These will be told, within a second or so", body = Rebalance, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfOperators,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn rebalance(
    State(app): State<Arc<App>>,
    operator: Operator,
) -> Result<Response, ApiError> {
    let outcome = ask_to_move(&app, &operator).await;
    let moving = outcome.as_deref().unwrap_or_default();
    let users: u64 = moving.iter().map(|excess| excess.to_move).sum();
    let (status, message, done) = if moving.is_empty() {
        let message = "the gateways are balanced".to_owned();
        (StatusCode::OK, message, "balanced")
    } else {
        let message = format!("users that are asked to move: {users}");
        (StatusCode::ACCEPTED, message, "asked")
    };
    let action = Action {
        name: "rebalance",
        gateways: Some(moving.len()),
        users: Some(users),
        ..Action::default()
    };
    action.log(&operator, outcome.as_ref().map(|_| done));
    let answer = Rebalance {
        status: "ok",
        message,
        moving: outcome?,
    };
    Ok((status, Json(answer)).into_response())
}

async fn ask_to_drain(app: &App, operator: &Operator, id: &str) -> Result<GatewayId, ApiError> {
    let id = GatewayId::new(id).map_err(|_| ApiError::GatewayUnknown)?;
    let until = app.store_deadline(operator.deadline);
    let live = live(app, until).await?;
    if !live.iter().any(|gateway| gateway.name == id) {
        return Err(ApiError::GatewayUnknown);
    }
    leave(app, until, &id, &Control::Drain).await?;
    Ok(id)
}

async fn ask_to_move(app: &App, operator: &Operator) -> Result<Vec<Excess>, ApiError> {
    let until = app.store_deadline(operator.deadline);
    let moving = excesses(&live(app, until).await?);
    for excess in &moving {
        let users = excess.target();
        leave(app, until, &excess.id, &Control::Rebalance { users }).await?;
    }
    Ok(moving)
}

/// What an operator asked for, as the log has it.
#[derive(Default)]
pub(super) struct Action<'a> {
    pub(super) name: &'static str,
    pub(super) gateway: Option<&'a str>,
    pub(super) gateways: Option<usize>,
    pub(super) users: Option<u64>,
    pub(super) user: Option<&'a str>,
    pub(super) device: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) code: Option<u16>,
}

impl Action<'_> {
    /// Logs it with what came of it: a word, or the code of the problem.
    pub(super) fn log(&self, operator: &Operator, outcome: Result<&'static str, &ApiError>) {
        tracing::info!(
            key = &*operator.name,
            action = self.name,
            gateway = self.gateway,
            gateways = self.gateways,
            users = self.users,
            user = self.user,
            device = self.device,
            session = self.session,
            code = self.code,
            outcome = outcome.unwrap_or_else(ApiError::code),
            request_id = operator.arrival.request_id(),
            "an operator's call"
        );
    }
}

/// A gateway was asked to drain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Drain {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// For people.
    message: String,
    #[schema(value_type = contract::GatewayName)]
    id: GatewayId,
}

/// What was asked of which gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rebalance {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// For people.
    message: String,
    /// By name; empty when they are balanced.
    moving: Vec<Excess>,
}
