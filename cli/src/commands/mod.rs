//! The commands, one a file: its arguments, its help, what it does.

mod apikey;
mod bench;
mod broadcast;
mod check;
mod completions;
mod config;
mod doctor;
mod drain;
mod gateways;
mod online;
mod presence;
mod rebalance;
mod redis;
mod send;
mod standalone;
mod subscribe;
#[cfg(test)]
mod tests;
mod token;
mod top;
mod trace;

pub(crate) use apikey::Apikey;
pub(crate) use bench::Bench;
pub(crate) use broadcast::Broadcast;
pub(crate) use check::Check;
pub(crate) use completions::Completions;
pub(crate) use config::Config;
pub(crate) use doctor::Doctor;
pub(crate) use drain::Drain;
pub(crate) use gateways::Gateways;
pub(crate) use online::Online;
pub(crate) use presence::Presence;
pub(crate) use rebalance::Rebalance;
pub(crate) use redis::Redis;
pub(crate) use send::Send;
#[cfg(test)]
pub(crate) use standalone::Services;
pub(crate) use standalone::Standalone;
pub(crate) use subscribe::Subscribe;
pub(crate) use token::Token;
pub(crate) use top::Top;
pub(crate) use trace::Trace;
