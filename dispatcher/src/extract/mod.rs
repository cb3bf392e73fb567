//! What a request says, checked: who calls, under which key, with which fields.

mod body;
mod caller;
mod fields;
mod idempotency;
mod portable;
mod query;

pub(crate) use body::{Bodies, ReadBody};
pub(crate) use caller::authorize;
pub(crate) use fields::{FieldReader, Fields};
pub(crate) use idempotency::{IdempotencyKey, fingerprint};
pub(crate) use query::refuse_query;
