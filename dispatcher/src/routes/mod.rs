//! The routes: each reads, plans, delivers, answers.

pub(crate) mod assigned;
pub(crate) mod batch;
pub(crate) mod broadcast;
mod caller;
pub(crate) mod channel_presence;
pub(crate) mod channels;
pub(crate) mod devices;
pub(crate) mod disconnect;
pub(crate) mod erase;
pub(crate) mod gateways;
pub(crate) mod history;
pub(crate) mod inbox;
pub(crate) mod me;
pub(crate) mod online_count;
pub(crate) mod operator;
mod post;
mod question;
pub(crate) mod receipt;
pub(crate) mod scheduled;
pub(crate) mod send;
mod several;
pub(crate) mod subscribers;
pub(crate) mod tickets;
pub(crate) mod tokens;
pub(crate) mod user_presence;
mod words;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::allowance::Told;

/// 200 with a JSON body, and with what is left of the caller's limits; marked when it repeats an earlier request's.
fn accepted(body: &impl Serialize, replayed: bool, told: Told) -> Response {
    accepted_as(StatusCode::OK, body, replayed, told)
}

/// The same with another status.
fn accepted_as(status: StatusCode, body: &impl Serialize, replayed: bool, told: Told) -> Response {
    let mut response = (status, Json(body)).into_response();
    told.put(response.headers_mut());
    if replayed {
        response
            .headers_mut()
            .insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
