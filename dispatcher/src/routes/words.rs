//! Words that are left for gateways.

use carillon_common::{
    backend::{Control, LiveGateway},
    ids::GatewayId,
};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{app::App, dispatch::deliver, error::ApiError};

/// The gateways whose lease holds.
pub(super) async fn live(app: &App, until: Instant) -> Result<Vec<LiveGateway>, ApiError> {
    let live = deliver(until, || app.backend.gateways()).await?;
    Ok(live.answer)
}

/// Leaves a word for a gateway.
pub(super) async fn leave(
    app: &App,
    until: Instant,
    gateway: &GatewayId,
    word: &Control,
) -> Result<(), ApiError> {
    deliver(until, || app.backend.control(gateway, word)).await?;
    Ok(())
}

/// Leaves a word about users for every gateway: one may hold what it has yet to register.
pub(super) async fn leave_all(app: &App, until: Instant, word: &Control) -> Result<(), ApiError> {
    let gateways = live(app, until).await?;
    let told = gateways
        .iter()
        .map(|gateway| leave(app, until, &gateway.name, word));
    try_join_all(told).await?;
    Ok(())
}
