//! Who may operate: an API key with the scope `admin`, judged as a dispatcher judges its callers.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    auth::{Keyring, Presented},
    http::Problem,
    settings::Scope,
};

/// The name of the key that was shown.
#[derive(Debug, Clone)]
pub(super) struct Operator(pub(super) Arc<str>);

/// Lets a call pass whose key may, with its name, and tells the log of it. Nothing of another's body is read.
pub(super) async fn guard(
    State(keyring): State<Keyring>,
    mut request: Request,
    next: Next,
) -> Response {
    match operator(&keyring, request.headers()) {
        Ok(name) => {
            let (method, path) = (request.method(), request.uri().path());
            tracing::info!(key = &*name, %method, path, "an operator's call");
            request.extensions_mut().insert(Operator(name));
            next.run(request).await
        }
        Err(problem) => {
            let asks = (problem.status == 401).then_some(HeaderValue::from_static("Bearer"));
            let mut response = problem.into_response();
            if let Some(asks) = asks {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, asks);
            }
            response
        }
    }
}

fn operator(keyring: &Keyring, headers: &HeaderMap) -> Result<Arc<str>, Box<Problem>> {
    let unknown = |detail: &str| {
        let problem = Problem::new(401, "unauthenticated", "API key needed");
        Box::new(problem.detail(detail))
    };
    let credentials = keyring.current();
    let keys = &credentials.api_keys;
    if keys.is_empty() {
        let detail = "this process knows no API key: give it one with the scope admin ([[api_keys]] in a \
                      file of auth.dir, or [[auth.api_keys]]; `carillon apikey new --scopes admin` makes it)";
        let problem = Problem::new(401, "no_api_keys", "No API key is configured");
        return Err(Box::new(problem.detail(detail)));
    }
    let key = keys.of_request(headers).map_err(|presented| {
        unknown(match presented {
            Presented::Nothing | Presented::Several => {
                "send exactly one header `Authorization: Bearer ck_...`"
            }
            Presented::OtherScheme => "the header must be `Authorization: Bearer ck_...`",
            Presented::Token => "this is a client's token; an API key begins with ck_",
            Presented::KeyHash => "this is a key's hash; send the key, which begins with ck_",
            Presented::Unknown => "the API key is not known here",
        })
    })?;
    if key.allows(Scope::Admin) {
        return Ok(key.name.clone());
    }
    let detail = "the API key lacks the scope admin";
    let problem = Problem::new(403, "insufficient_scope", "The API key may not do this");
    Err(Box::new(problem.detail(detail)))
}
