//! What `carillon top` is made of: where the admin ports are, what they say, what that comes to, how it looks.

mod exposition;
mod figures;
mod table;
mod targets;

pub(crate) use exposition::Exposition;
pub(crate) use figures::{Dispatcher, Gateway, Service, figures};
pub(crate) use table::drawn;
pub(crate) use targets::{Target, addresses, pods};
