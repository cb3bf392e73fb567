//! The page at `/` of `carillon standalone --dev`: what Carillon does, tried in a browser.
//!
//! It is served with what it needs to be a service and two users at once: the API key of this process and
//! short tokens. Nothing of this is there without `--dev`.

mod files;
mod gateways;
mod guard;
mod wire;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use carillon_common::http::Problem;
use serde_json::json;

pub(crate) use self::gateways::Gateways;
use crate::{dev::Dev, input::now_ms};

/// Who there is.
const USERS: [&str; 2] = ["alice", "bob"];
/// So short that whoever tries the page for some minutes sees a token renewed.
const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// What the page's routes work with.
struct Demo {
    dev: Arc<Dev>,
    gateways: Arc<Gateways>,
}

/// The page and its routes, before those of the services.
pub(crate) fn before(rest: Router, dev: Arc<Dev>, gateways: Arc<Gateways>) -> Router {
    let own = Router::new()
        .route("/demo/key", post(key))
        .route("/demo/token/{user}", post(token))
        .route("/demo/wire/{user}", get(wire::lay))
        .route("/demo/gateway/{session}", post(gateway))
        .route("/demo/cut/{session}", post(cut))
        .layer(middleware::from_fn(guard::only_for_the_page))
        .with_state(Arc::new(Demo { dev, gateways }));
    files::page().before(rest.merge(own).merge(files::router()))
}

/// The API key of this process. Such a key is a service's: no other page may hold one.
async fn key(State(demo): State<Arc<Demo>>) -> Response {
    Json(json!({"key": demo.dev.key.expose()})).into_response()
}

/// A token, as a login would sign one for whoever is signed in.
async fn token(State(demo): State<Arc<Demo>>, Path(user): Path<String>) -> Response {
    if !USERS.contains(&&*user) {
        return unknown("the page has alice and bob").into_response();
    }
    let now = now_ms();
    let until = now + i64::try_from(TOKEN_LIFE.as_millis()).unwrap_or(i64::MAX);
    match demo.dev.token(&user, now, until) {
        Ok(token) => Json(json!({"token": token})).into_response(),
        Err(_) => Problem::new(500, "internal", "Internal error").into_response(),
    }
}

/// Which gateway has the connection of this session.
async fn gateway(State(demo): State<Arc<Demo>>, Path(session): Path<String>) -> Response {
    match demo.gateways.of_session(&session) {
        Some(name) => Json(json!({"gateway": name.as_str()})).into_response(),
        None => unknown("this session has no connection").into_response(),
    }
}

/// Ends the connections of this session as a network does: without a word.
async fn cut(State(demo): State<Arc<Demo>>, Path(session): Path<String>) -> Response {
    Json(json!({"cut": demo.gateways.cut(&session)})).into_response()
}

fn unknown(detail: &str) -> Problem {
    Problem::new(404, "not_found", "No such thing").detail(detail)
}
