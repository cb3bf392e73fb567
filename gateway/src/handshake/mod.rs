//! How a socket of the public port becomes a connection, or is refused.

pub(crate) mod accept;
pub(crate) mod admission;
mod forwarded;
mod head;
mod hello;
mod refuse;
pub(crate) mod refused_tokens;
mod request;
mod upgrade;
