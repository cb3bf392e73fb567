//! The Carillon dispatcher: takes notifications over REST and gives them to the store, which hands
//! them to the gateways.
//!
//! [`App`] is the service; `carillon-dispatcher` and `carillon standalone` run it.

mod addresses;
mod app;
mod counters;
mod dispatch;
mod edge;
mod error;
mod extract;
mod failures;
mod router;
mod routes;
mod serve;

pub use addresses::{Addresses, write_addresses};
pub use app::App;
pub use error::{ApiError, FieldError};
pub use serve::listen;
