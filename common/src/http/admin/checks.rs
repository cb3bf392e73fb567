//! `/checks`: what this process sees of its configuration, its machine and the store, judged as `carillon doctor` does.
//! It looks by itself, so that a question costs the store nothing.

use axum::{
    Json,
    extract::State,
    http::header::CACHE_CONTROL,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};

use crate::checks::LastLook;

pub(super) fn routes(last: LastLook) -> MethodRouter {
    get(shown).with_state(last)
}

async fn shown(State(last): State<LastLook>) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(last.current())).into_response()
}
