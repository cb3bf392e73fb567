//! `/api/me/…`: what a user's own pages ask, with the user's token. It is about that user and no other.

mod client;
pub(crate) mod history;
pub(crate) mod inbox;
pub(crate) mod read;
