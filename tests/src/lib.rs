//! What the whole-system tests of Carillon are made of: real Redis deployments, the real binaries,
//! clients of both protocols, a proxy that breaks networks, a ledger that finds what was lost, and what `make bench` measures with.

pub mod alertmanager;
pub mod attack;
pub mod bench;
pub mod breaking;
pub mod chaos_proxy;
pub mod child;
pub mod client;
pub mod collector;
pub mod contract;
pub mod costs;
pub mod deployment;
pub mod figures;
pub mod generate;
pub mod jaeger;
pub mod ledger;
pub mod nginx;
pub mod overhead;
pub mod pictures;
pub mod poll;
pub mod process;
pub mod prometheus;
pub mod redis;
pub mod traffic;
pub mod turn;
