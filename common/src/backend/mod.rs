//! What the services ask of the store, and the two stores that answer.
//!
//! A send appends to the user's inbox **and** hints to the gateways in one atomic step; the hint
//! may be lost, the inbox is the truth. Whoever reads keeps a position and takes a hint only if it
//! continues that position; anything else is answered by reading the inbox. See ARCHITECTURE.md.

mod allowance;
pub mod clock;
mod connect;
mod error;
mod fault;
mod limits;
pub mod memory;
mod model;
mod orders;
mod read_state;
mod receipt;
pub mod redis;
mod roll;
mod schedule;
mod tokens;
mod traits;
pub mod url;

pub use allowance::{AccountKind, Ask, Lent, Quota};
pub use clock::Clock;
pub use connect::{connect, connect_when_up, join_when_up, limits, redis_options};
pub use error::BackendError;
pub use fault::{AtStart, Fault, FaultKind};
pub use limits::{Limits, OPENED_TOGETHER, PAGE_BYTES};
pub use model::{
    AboutGateway, Ack, Assignment, AuditAnswer, AuditQuestion, BusEvent, Claimed, Control,
    Departure, Device, Disconnection, Gap, Holder, LEASE_LOST, LiveGateway, Look, Page, Presence,
    Registered, Registration, Retraction, Sight, Subscription,
};
pub use orders::{Former, Idempotency, PublishOrder, Published, SendOrder, Sent};
pub use read_state::{ReadChange, ReadMark, ReadState};
pub use receipt::{
    DevicePosition, DeviceReceipt, Devices, Fate, LeftReason, Marks, Receipt, Standing,
};
pub use roll::{Member, Roll, RollCall, Rolls};
pub use schedule::{
    Agenda, Awaited, Cancellation, Due, FARTHEST_AHEAD, Fired, LATEST_PAST, Place, Waiting,
};
pub use tokens::{Listed, Note, RevokeOrder, TicketOrder, Tokens};
pub use traits::{
    Assignments, Backend, BusSink, Channels, Connections, Inboxes, Lease, Membership, Schedule,
    Subscriptions,
};
