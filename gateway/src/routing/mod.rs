//! From the bus to the mailboxes of connections.

pub(crate) mod bus;
pub(crate) mod channels;
pub(crate) mod hub;
pub(crate) mod mailbox;
