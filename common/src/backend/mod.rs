//! What the services ask of the store, and the two stores that answer.
//!
//! A send appends to the user's inbox **and** hints to the gateways in one atomic step; the hint
//! may be lost, the inbox is the truth. Whoever reads keeps a position and takes a hint only if it
//! continues that position; anything else is answered by reading the inbox. See ARCHITECTURE.md.

pub mod clock;
mod connect;
mod error;
mod fault;
mod limits;
pub mod memory;
mod model;
mod orders;
pub mod redis;
mod traits;
pub mod url;

pub use clock::Clock;
pub use connect::{connect, connect_when_up, join_when_up, limits, redis_options};
pub use error::BackendError;
pub use fault::{AtStart, Fault, FaultKind};
pub use limits::{Limits, OPENED_TOGETHER, PAGE_BYTES};
pub use model::{
    Ack, AuditAnswer, AuditQuestion, BusEvent, Claimed, Control, Departure, Device, Gap, Holder,
    LEASE_LOST, LiveGateway, Page, Presence, Registered, Registration, Subscription,
};
pub use orders::{Former, Idempotency, PublishOrder, Published, SendOrder, Sent};
pub use traits::{Backend, BusSink, Channels, Connections, Lease, Membership, Subscriptions};
