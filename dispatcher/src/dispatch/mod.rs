//! From a request's fields to the store's answer: read and plan (pure), then deliver (IO).

mod assignment;
mod balance;
mod deliver;
mod plan;
mod request;
mod revocation;
mod roll;
mod ticket;

pub(crate) use assignment::{AssignRequest, Assigning};
pub(crate) use balance::{Excess, excesses};
pub(crate) use deliver::deliver;
pub(crate) use plan::{Repeatable, Stamp, publish_order, send_order};
pub(crate) use request::{BatchItem, BroadcastRequest, MOST_USERS, Receivers, SendRequest};
pub(crate) use revocation::{REASON_BYTES, RevokeRequest, revoke_order};
pub(crate) use roll::{Merged, Place, merged};
pub(crate) use ticket::{MAX_CHANNELS, TicketRequest, claims_by_service};
