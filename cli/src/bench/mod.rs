//! The load generator: readers over real sockets, senders over REST, and a ledger between them.

mod connect;
pub mod latency;
pub mod ledger;
mod load;
mod reader;
mod report;
mod sender;
#[cfg(test)]
mod tests;

pub(crate) use connect::{ConnectPlan, connect};
pub(crate) use load::{LoadPlan, run};

use std::time::Duration;

use carillon_client::TokenSource;
use carillon_common::{
    auth::{NewToken, mint},
    descriptors::raise_descriptors,
    settings::IssuerSettings,
};

use crate::{failure::Failure, input::now_ms};

/// Tokens of the readers outlive every run.
const TOKEN_LIFE: Duration = Duration::from_secs(86_400);

/// A name for one run, so that runs do not read each other's notifications.
pub(crate) fn run_name() -> String {
    format!("{:08x}", rand::random::<u32>())
}

/// The `n`-th user of a run.
fn user(run: &str, n: usize) -> String {
    format!("bench-{run}-{n}")
}

fn token(issuer: &IssuerSettings, user: &str) -> Result<TokenSource, Failure> {
    let now = now_ms() / 1000;
    let life = i64::try_from(TOKEN_LIFE.as_secs()).unwrap_or(i64::MAX);
    let token = NewToken {
        sub: user,
        exp: now + life,
        iat: Some(now),
        ..NewToken::default()
    };
    mint(issuer, &token)
        .map(TokenSource::fixed)
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// # Errors
/// When this process may not open so many sockets.
fn check_descriptors(connections: usize) -> Result<(), Failure> {
    let limit = raise_descriptors();
    let needed = connections as u64 + 200;
    if limit >= needed {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{connections} connections need {needed} open files, and {limit} are allowed: raise the \
         hard limit (`ulimit -Hn`, as root)"
    )))
}
