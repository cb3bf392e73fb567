//! The REST service over real sockets.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "tests"
)]

mod answers;
mod assigned;
mod bad_bodies;
mod bad_requests;
mod channels;
mod console;
mod contract;
mod gateways;
mod inboxes;
mod me;
mod operation;
mod pods;
mod rates;
mod reach;
mod scheduled;
mod service;
mod several;
mod store;
mod stored;
mod tokens;
mod users;
