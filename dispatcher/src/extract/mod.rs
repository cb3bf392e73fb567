//! What a request says, checked: under which key it is repeated, and with which fields.

mod body;
mod fields;
mod idempotency;
mod named;
mod portable;
mod query;

pub(crate) use body::{Bodies, ReadBody};
pub(crate) use fields::{FieldReader, Fields, json_text};
pub(crate) use idempotency::{IdempotencyKey, fingerprint};
pub(crate) use named::{
    AssignmentInPath, ChannelInPath, NotificationInPath, ScheduledInPath, UserInPath, Which,
};
pub(crate) use query::refuse_query;
