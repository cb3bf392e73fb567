//! The routes: each reads, plans, delivers, answers.

pub(crate) mod broadcast;
mod caller;
pub(crate) mod gateways;
pub(crate) mod online_count;
pub(crate) mod operator;
mod post;
pub(crate) mod send;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::HeaderValue;
use serde::Serialize;

/// 200 with a JSON body; marked when it repeats an earlier request's.
fn accepted(body: &impl Serialize, replayed: bool) -> Response {
    let mut response = Json(body).into_response();
    if replayed {
        response
            .headers_mut()
            .insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
