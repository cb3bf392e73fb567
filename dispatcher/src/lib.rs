//! The Carillon dispatcher: takes notifications over REST and gives them to the store, which hands
//! them to the gateways.
//!
//! [`App`] is the service; `carillon-dispatcher` and `carillon standalone` run it.

mod app;
mod canary;
mod counters;
mod dispatch;
mod edge;
mod error;
mod extract;
mod failures;
mod pods;
mod router;
mod routes;
mod traced;

pub use app::App;
pub use error::{ApiError, FieldError, Presented};
pub use router::ROUTES;
