//! From the bus to the mailboxes of connections.

mod bus;
mod channels;
mod handle;
mod hub;
mod mailbox;
mod roll_calls;

pub(crate) use bus::Bus;
pub(crate) use channels::Channels;
pub(crate) use handle::{Handle, Origin};
pub(crate) use hub::Hub;
pub(crate) use mailbox::{Mail, Taken};
pub(crate) use roll_calls::Asked;
