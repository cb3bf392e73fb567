//! Every route.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};

use crate::{app::Service, edge, error::ApiError, routes};

/// The REST service.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/api/notifications/send", post(routes::send))
        .route("/api/notifications/broadcast", post(routes::broadcast))
        .route("/api/notifications/online-count", get(routes::online_count))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(service.clone(), edge::edge))
        .with_state(service)
}
