//! Every route, and what answers where there is none.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use carillon_common::http::Front;
use http::{Method, header};

use crate::{
    app::App,
    edge,
    error::ApiError,
    paths::{BROADCAST, DRAIN, GATEWAYS, ONLINE_COUNT, REBALANCE, SEND},
    routes,
};

/// The REST service.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(SEND, post(routes::send))
        .route(BROADCAST, post(routes::broadcast))
        .route(ONLINE_COUNT, get(routes::online_count))
        .route(GATEWAYS, get(routes::gateways))
        .route(DRAIN, post(routes::drain))
        .route(REBALANCE, post(routes::rebalance))
        .fallback(async |request: Request| {
            let page = Front::Dispatcher.shown(&request);
            page.unwrap_or_else(|| unserved(&request, ApiError::NotFound).into_response())
        })
        .method_not_allowed_fallback(async |request: Request| {
            unserved(&request, ApiError::MethodNotAllowed)
        })
        .layer(middleware::from_fn_with_state(app.clone(), edge::edge))
        .with_state(app)
}

/// The answer to what no route takes; a browser's preflight (Fetch, section 4.8) is one of a kind.
fn unserved(request: &Request, otherwise: ApiError) -> ApiError {
    let asks = request
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if asks && request.method() == Method::OPTIONS {
        ApiError::Preflight
    } else {
        otherwise
    }
}
