//! From a request's fields to the store's answer: read and plan (pure), then deliver (IO).

mod balance;
mod deliver;
mod plan;
mod request;

pub(crate) use balance::{Excess, excesses};
pub(crate) use deliver::deliver;
pub(crate) use plan::{Repeatable, Stamp, publish_order, send_order};
pub(crate) use request::{BroadcastRequest, SendRequest};
