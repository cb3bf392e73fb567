//! Every route.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};

use crate::{app::Service, edge, error::ApiError, routes};

const SEND: &str = "/api/notifications/send";
const BROADCAST: &str = "/api/notifications/broadcast";
const ONLINE_COUNT: &str = "/api/notifications/online-count";

/// The REST service.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route(SEND, post(routes::send))
        .route(BROADCAST, post(routes::broadcast))
        .route(ONLINE_COUNT, get(routes::online_count))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(service.clone(), edge::edge))
        .with_state(service)
}

/// The route that a path belongs to, as the metrics name it.
pub(crate) fn pattern(path: &str) -> &'static str {
    [SEND, BROADCAST, ONLINE_COUNT]
        .into_iter()
        .find(|route| *route == path)
        .unwrap_or("other")
}
