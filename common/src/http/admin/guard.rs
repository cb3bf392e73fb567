//! Who may operate: an API key, or a service's token, with the scope `admin`, judged as a dispatcher judges its
//! callers.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    auth::{Keyring, Presented, TokenError, Unproven},
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_millis());
    let service = keyring
        .service(headers, i64::try_from(now).unwrap_or(i64::MAX))
        .map_err(|unproven| Box::new(refusal(unproven)))?;
    if service.allows(Scope::Admin) {
        return Ok(service.name);
    }
    let detail = "the API key or token lacks the scope admin";
    let problem = Problem::new(403, "insufficient_scope", "The API key may not do this");
    Err(Box::new(problem.detail(detail)))
}

/// What is told of it, as a dispatcher tells it.
fn refusal(unproven: Unproven) -> Problem {
    let unknown =
        |detail: &str| Problem::new(401, "unauthenticated", "API key needed").detail(detail);
    match unproven {
        Unproven::Nobody => Problem::new(401, "no_api_keys", "No API key is configured").detail(
            "this process knows no API key: give it one with the scope admin ([[api_keys]] in a \
             file of auth.dir, or [[auth.api_keys]]; `carillon apikey new --scopes admin` makes it)",
        ),
        Unproven::Token(error @ TokenError::KeysAwaited) => {
            Problem::new(503, TokenError::KEYS_AWAITED, "Keys are being fetched")
                .detail(error.to_string())
                .retry_after(TokenError::AWAIT)
        }
        Unproven::Token(error) => unknown(&error.to_string()),
        Unproven::Presented(presented) => unknown(match presented {
            Presented::Nothing | Presented::Several => {
                "send exactly one header `Authorization: Bearer ck_...`"
            }
            Presented::OtherScheme => "the header must be `Authorization: Bearer ck_...`",
            Presented::Token => "this is a client's token; an API key begins with ck_",
            Presented::KeyHash => "this is a key's hash; send the key, which begins with ck_",
            Presented::Unknown => "the API key is not known here",
        }),
    }
}
