//! Every route.

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

use crate::{app::Service, edge, error::ApiError, routes};

/// Every route, with its method, as docs/api.md has them.
pub const ROUTES: [(&str, &str); 6] = [
    ("POST", SEND),
    ("POST", BROADCAST),
    ("GET", ONLINE_COUNT),
    ("GET", GATEWAYS),
    ("POST", DRAIN),
    ("POST", REBALANCE),
];

pub(crate) const SEND: &str = "/api/notifications/send";
pub(crate) const BROADCAST: &str = "/api/notifications/broadcast";
const ONLINE_COUNT: &str = "/api/notifications/online-count";
const GATEWAYS: &str = "/api/gateways";
const DRAIN: &str = "/api/gateways/{id}/drain";
const REBALANCE: &str = "/api/gateways/rebalance";

/// The REST service.
pub(crate) fn router(service: Arc<Service>) -> Router {
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
        .layer(middleware::from_fn_with_state(service.clone(), edge::edge))
        .with_state(service)
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

/// The route that a path belongs to, as the metrics name it.
pub(crate) fn pattern(path: &str) -> &'static str {
    ROUTES
        .into_iter()
        .map(|(_, route)| route)
        .find(|route| is_of(path, route))
        .unwrap_or("other")
}

/// Whether a path is one of a route, in which `{…}` stands for one part.
fn is_of(path: &str, route: &str) -> bool {
    let (mut path, mut route) = (path.split('/'), route.split('/'));
    loop {
        match (path.next(), route.next()) {
            (None, None) => return true,
            (Some(part), Some(pattern)) if pattern.starts_with('{') && !part.is_empty() => {}
            (Some(part), Some(pattern)) if part == pattern => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_under_its_route() {
        for (path, route) in [
            ("/api/notifications/send", SEND),
            ("/api/gateways", GATEWAYS),
            ("/api/gateways/5d8f-abcde/drain", DRAIN),
            ("/api/gateways/rebalance", REBALANCE),
            ("/api/gateways/rebalance/drain", DRAIN),
            ("/api/gateways//drain", "other"),
            ("/api/gateways/a/b/drain", "other"),
            ("/api/gateways/a", "other"),
            ("/api/notifications/send/", "other"),
            ("/", "other"),
        ] {
            assert_eq!(pattern(path), route, "{path}");
        }
    }
}
