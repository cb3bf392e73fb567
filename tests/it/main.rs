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
mod console;
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
mod me;
mod moving;
mod observed;
mod outage;
mod page;
mod proxied;
mod published;
mod rates;
mod reach;
mod rebalanced;
mod receipts;
mod reconfigured;
mod reconnect;
mod refusing_store;
mod release;
mod scheduled;
mod signals;
mod sse;
mod start;
mod supervised;
mod texts;
mod tidy;
mod tokens;
mod top;
mod trace;
mod traced;
mod world;
