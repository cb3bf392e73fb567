//! Every route with its description, and what answers where there is none.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware, response::IntoResponse};
use carillon_common::http::Front;
use http::{Method, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, contract, edge, error::ApiError, routes::*};

/// The REST service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let served = served(&app).fallback(async |request: Request| {
        let page = Front::Dispatcher.shown(&request);
        page.unwrap_or_else(|| unserved(&request, ApiError::NotFound).into_response())
    });
    behind_the_edge(served, app)
}

/// The same beside routes of others, which answer where there is none.
pub(crate) fn beside_others(app: Arc<App>) -> Router {
    behind_the_edge(served(&app), app)
}

fn served(app: &App) -> Router<Arc<App>> {
    let (routes, _described) = api().split_for_parts();
    routes
        .merge(contract::served(&app.settings))
        .method_not_allowed_fallback(async |request: Request| {
            unserved(&request, ApiError::MethodNotAllowed)
        })
}

fn behind_the_edge(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
        .layer(middleware::from_fn_with_state(app.clone(), edge::edge))
        .with_state(app)
}

/// The routes, each by its handler, beside which its path, its method and its description stand.
pub(crate) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(contract::base())
        .routes(routes!(send::send))
        .routes(routes!(batch::batch))
        .routes(routes!(broadcast::broadcast))
        .routes(routes!(online_count::online_count))
        .routes(routes!(user_presence::user_presence))
        .routes(routes!(devices::devices))
        .routes(routes!(disconnect::disconnect))
        .routes(routes!(assigned::assigned))
        .routes(routes!(assigned::put_on, assigned::take_off))
        .routes(routes!(channels::channels))
        .routes(routes!(history::history))
        .routes(routes!(channel_presence::channel_presence))
        .routes(routes!(subscribers::subscribers))
        .routes(routes!(gateways::gateways))
        .routes(routes!(operator::drain))
        .routes(routes!(operator::rebalance))
        .routes(routes!(inbox::list))
        .routes(routes!(receipt::receipt, receipt::retract))
        .routes(routes!(scheduled::agenda))
        .routes(routes!(scheduled::cancel))
        .routes(routes!(erase::erase))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::revocations))
        .routes(routes!(tokens::take_back))
        .routes(routes!(tickets::tickets))
        .routes(routes!(me::inbox::my_inbox))
        .routes(routes!(me::read::my_unread))
        .routes(routes!(me::read::my_read))
        .routes(routes!(me::history::my_history))
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
