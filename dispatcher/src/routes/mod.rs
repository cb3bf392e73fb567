//! The routes: each reads, plans, delivers, answers.

mod broadcast;
mod caller;
mod gateways;
mod online_count;
mod operator;
mod post;
mod send;

pub(crate) use broadcast::broadcast;
pub(crate) use gateways::gateways;
pub(crate) use online_count::online_count;
pub(crate) use operator::{drain, rebalance};
pub(crate) use send::send;

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
