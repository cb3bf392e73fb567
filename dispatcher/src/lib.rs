//! The Carillon dispatcher: takes notifications over REST and gives them to the store, which hands
//! them to the gateways.
//!
//! [`Dispatcher`] is the service; `carillon-dispatcher` and `carillon standalone` run it.

mod app;
mod canary;
pub mod contract;
mod counters;
mod dispatch;
mod dispatcher;
mod edge;
mod error;
mod extract;
mod failures;
mod paths;
mod pods;
mod router;
mod routes;
mod traced;

pub use dispatcher::Dispatcher;
pub use error::{ApiError, FieldError};
pub use paths::{PAGES, ROUTES};
