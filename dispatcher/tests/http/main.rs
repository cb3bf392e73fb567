//! The REST service over real sockets.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "tests"
)]

mod answers;
mod bad_bodies;
mod bad_requests;
mod contract;
mod gateways;
mod operation;
mod pods;
mod reach;
mod service;
mod store;
mod stored;
