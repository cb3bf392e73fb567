//! `GET /api/gateways`

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::ids::GatewayId;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::{Caller, may};
use crate::{
    app::App,
    contract::{self, Asking, OfReads},
    dispatch::deliver,
    error::ApiError,
    paths::GATEWAYS,
};

/// Lists the gateways whose lease holds
///
/// By name.
#[utoipa::path(
    get,
    path = GATEWAYS,
    tag = "gateways",
    params(Asking),
    responses(
        (status = 200, description = "The gateways", body = Gateways, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfReads,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn gateways(
    State(app): State<Arc<App>>,
    caller: Caller<may::Read>,
) -> Result<Json<Gateways>, ApiError> {
    let until = app.store_deadline(caller.deadline);
    let live = deliver(until, || app.backend.gateways()).await?;
    let gateways = live.answer.into_iter().map(|gateway| Gateway {
        pod: app.pods.of(&gateway.name),
        generation: gateway.generation,
        users: gateway.users,
        draining: gateway.draining,
        accepting: gateway.accepting,
        connections: gateway.about.as_ref().map(|about| about.connections),
        version: gateway.about.map(|about| about.version),
        id: gateway.name,
    });
    Ok(Json(Gateways {
        gateways: gateways.collect(),
    }))
}

/// All gateways, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gateways {
    gateways: Vec<Gateway>,
}

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gateway {
    /// Its name in the deployment.
    #[schema(value_type = contract::GatewayName)]
    id: GatewayId,
    /// Its lease's; higher than that of every earlier lease.
    generation: u64,
    /// How many users have a connection there.
    users: u64,
    /// Its open connections, some seconds ago; null in its first moment, and of releases that do not tell.
    #[schema(required)]
    connections: Option<u64>,
    /// Whether it moves its users elsewhere.
    draining: bool,
    /// Whether it lets clients in; one that drains does, until load balancers have heard of it.
    accepting: bool,
    /// The pod that it runs in, where pods are watched.
    #[schema(required)]
    pod: Option<String>,
    /// Its release; null as `connections` is.
    #[schema(value_type = Option<String>, required)]
    version: Option<Box<str>>,
}
