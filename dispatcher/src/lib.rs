//! The Carillon dispatcher: takes notifications over REST and gives them to the store, which hands
//! them to the gateways.
//!
//! [`Dispatcher`] is the service; `carillon-dispatcher` and `carillon standalone` run it.

mod allowance;
mod app;
mod canary;
mod console;
pub mod contract;
mod counters;
mod dispatch;
mod dispatcher;
mod edge;
mod error;
mod extract;
mod failures;
mod firing;
mod pages;
mod paths;
mod pods;
mod router;
mod routes;
mod traced;

pub use allowance::RateLimited;
pub use console::CONSOLE_ROUTES;
pub use dispatcher::Dispatcher;
pub use error::{ApiError, FieldError};
pub use paths::{PAGES, ROUTES};
