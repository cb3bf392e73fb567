//! The whole-system tests, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test fails where something is not as it should be, and its tables are long"
)]

mod acl;
mod admin;
mod again;
mod asked_to_drain;
mod attacked;
mod audit;
mod bad_input;
mod bare;
mod bounded;
mod canary;
mod channels;
mod churn;
mod confirmed;
mod connected;
mod contract;
mod costs;
mod counted;
mod delivery;
mod described;
mod drain;
mod edge;
mod failover;
mod families;
mod former;
mod keys;
mod ledger;
mod loss;
mod moving;
mod observed;
mod outage;
mod page;
mod published;
mod rebalanced;
mod reconnect;
mod refusing_store;
mod release;
mod signals;
mod sse;
mod start;
mod supervised;
mod texts;
mod tidy;
mod top;
mod trace;
mod traced;
mod world;
