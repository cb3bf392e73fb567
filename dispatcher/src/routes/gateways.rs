//! `GET /api/gateways` and `POST /api/gateways/{id}/drain`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use carillon_common::{backend::Control, ids::GatewayId, settings::Scope};
use http::StatusCode;
use serde::Serialize;

use crate::{
    app::Service,
    dispatch::deliver,
    edge::{Arrival, RequestId},
    error::ApiError,
    extract::{authorize, refuse_query},
};

/// The gateways whose lease holds.
///
/// Scope `read`. No parameters. Answers: 200 [`Gateways`]; problems 400, 401, 403, 500, 503.
pub(crate) async fn gateways(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<Gateways>, ApiError> {
    let deadline = service.deadline(Arrival::of(&request));
    authorize(&service.keyring, request.headers(), Scope::Read)?;
    refuse_query(request.uri())?;
    let live = deliver(deadline, || service.backend.gateways()).await?;
    let gateways = live.answer.into_iter().map(|gateway| Gateway {
        pod: service.pods.of(&gateway.name),
        generation: gateway.generation,
        users: gateway.users,
        draining: gateway.draining,
        accepting: gateway.accepting,
        id: gateway.name,
    });
    Ok(Json(Gateways {
        gateways: gateways.collect(),
    }))
}

/// Asks a gateway to drain. It is done when the gateway lets nobody in and has no user any more; asking
/// again changes nothing.
///
/// Scope `admin`. No parameters. Answers: 202 [`Asked`]; problems 400, 401, 403, 404, 500, 503.
pub(crate) async fn drain(
    State(service): State<Arc<Service>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let deadline = service.deadline(Arrival::of(&request));
    let key = authorize(&service.keyring, request.headers(), Scope::Admin)?;
    refuse_query(request.uri())?;
    // What is not UTF-8 names no gateway.
    let Path(id) = id.map_err(|_| ApiError::GatewayUnknown)?;
    let outcome = ask_to_drain(&service, &id, deadline).await;
    tracing::info!(
        key = &*key,
        action = "drain",
        gateway = id,
        outcome = outcome.as_ref().map_or_else(ApiError::code, |_| "asked"),
        request_id = RequestId::of(&request),
        "an operator's call"
    );
    let id = outcome?;
    let asked = Asked {
        status: "ok",
        message: format!("the gateway {id} is asked to drain"),
        id,
    };
    Ok((StatusCode::ACCEPTED, Json(asked)).into_response())
}

async fn ask_to_drain(
    service: &Service,
    id: &str,
    deadline: tokio::time::Instant,
) -> Result<GatewayId, ApiError> {
    let id = GatewayId::new(id).map_err(|_| ApiError::GatewayUnknown)?;
    let live = deliver(deadline, || service.backend.gateways()).await?;
    if !live.answer.iter().any(|gateway| gateway.name == id) {
        return Err(ApiError::GatewayUnknown);
    }
    deliver(deadline, || service.backend.control(&id, &Control::Drain)).await?;
    Ok(id)
}

/// All gateways, by name.
#[derive(Debug, Serialize)]
pub(crate) struct Gateways {
    gateways: Vec<Gateway>,
}

/// A gateway.
#[derive(Debug, Serialize)]
pub(crate) struct Gateway {
    /// Its name in the deployment.
    id: GatewayId,
    /// Its lease's; higher than that of every earlier lease.
    generation: u64,
    /// How many users have a connection there.
    users: u64,
    /// Whether it moves its users elsewhere.
    draining: bool,
    /// Whether it lets clients in; one that drains does, until load balancers have heard of it.
    accepting: bool,
    /// The pod that it runs in, where pods are watched.
    pod: Option<String>,
}

/// A word was left for a gateway.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    status: &'static str,
    message: String,
    id: GatewayId,
}
