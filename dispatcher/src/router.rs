//! Every route with its description, and what answers where there is none.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware, response::IntoResponse};
use carillon_common::http::Front;
use http::{Method, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, contract, edge, error::ApiError, routes::*};

/// The REST service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (routes, _described) = api().split_for_parts();
    routes
        .merge(contract::served(&app.settings))
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

/// The routes, each by its handler, beside which its path, its method and its description stand.
pub(crate) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(contract::base())
        .routes(routes!(send::send))
        .routes(routes!(broadcast::broadcast))
        .routes(routes!(online_count::online_count))
        .routes(routes!(gateways::gateways))
        .routes(routes!(operator::drain))
        .routes(routes!(operator::rebalance))
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
