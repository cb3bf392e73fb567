//! What every store must do, as cases that run against any of them.
//!
//! A store's test gives [`Stores`]: how to make a fresh deployment. Time passes only by
//! [`Subject::advance`]; a store without a clock to shift really waits, so the cases use times of a
//! second or two.

mod acks;
mod anonymous;
mod assigned;
mod bounded;
mod cases;
mod channels;
mod fates;
mod following;
mod full;
mod gateway;
mod idempotency;
mod inbox;
mod known_dead;
mod leases;
mod lending;
mod model;
mod presence;
mod read_state;
mod receipts;
mod recorder;
mod resume;
mod rolls;
mod scheduled;
mod subscriptions;
mod tokens;
mod world;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend::{Backend, Limits},
    ids::GatewayId,
};
use futures_util::{
    StreamExt,
    future::{BoxFuture, LocalBoxFuture},
    stream,
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

pub use cases::CASES;
pub use recorder::Recorder;

/// How long a case waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How long a whole case may take.
const CASE_DEADLINE: Duration = Duration::from_secs(90);

/// Where deployments come from.
pub trait Stores: Send + Sync {
    /// A deployment that shares nothing with any other.
    fn fresh(&self, limits: Limits) -> BoxFuture<'_, Result<Subject>>;
}

/// A deployment under test.
pub struct Subject {
    /// One process.
    pub backend: Arc<dyn Backend>,
    /// Another process of the same deployment.
    pub other: Arc<dyn Backend>,
    /// What a test can do to it from outside.
    pub hand: Arc<dyn Hand>,
}

impl Subject {
    /// Lets time pass.
    pub async fn advance(&self, by: Duration) {
        self.hand.advance(by).await;
    }

    /// Ends a gateway's lease though the gateway lives.
    pub async fn lose_lease(&self, gateway: &GatewayId) -> Result<()> {
        self.hand.lose_lease(gateway).await
    }
}

/// What reaches into a deployment from outside.
pub trait Hand: Send + Sync {
    /// Lets time pass in the store: shifts its clock, or waits.
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()>;

    /// Ends a gateway's lease in the store, as when it had stood still for too long.
    fn lose_lease<'a>(&'a self, gateway: &'a GatewayId) -> BoxFuture<'a, Result<()>>;
}

/// A case: an error or a panic says what is wrong.
pub type CaseFn = fn(Arc<dyn Stores>) -> LocalBoxFuture<'static, Result<()>>;

/// Runs the cases whose names contain `filter`, up to `at_once` at a time, reporting each by name,
/// and returns the failures: `name: reason`.
pub async fn run(stores: Arc<dyn Stores>, filter: &str, at_once: usize) -> Vec<String> {
    let outcomes = stream::iter(CASES.iter().filter(|(name, _)| name.contains(filter)))
        .map(|(name, case)| {
            let stores = Arc::clone(&stores);
            async move {
                let began = Instant::now();
                // A thread of its own, so that a panic is this case's alone.
                let runtime = Handle::current();
                let thread = tokio::task::spawn_blocking(move || {
                    runtime.block_on(async { timeout(CASE_DEADLINE, case(stores)).await })
                });
                let failure = match thread.await {
                    Ok(Ok(Ok(()))) => None,
                    Ok(Ok(Err(error))) => Some(format!("{error:#}")),
                    Ok(Err(_elapsed)) => Some(format!("not done within {CASE_DEADLINE:?}")),
                    Err(panicked) => Some(said(panicked)),
                };
                let verdict = if failure.is_none() { "ok" } else { "FAILED" };
                println!("{name} … {verdict} ({} ms)", began.elapsed().as_millis());
                failure.map(|reason| format!("{name}: {reason}"))
            }
        })
        .buffer_unordered(at_once);
    let outcomes: Vec<Option<String>> = outcomes.collect().await;
    println!("{} cases", outcomes.len());
    if outcomes.is_empty() {
        return vec![format!("no case has {filter:?} in its name")];
    }
    outcomes.into_iter().flatten().collect()
}

fn said(panicked: tokio::task::JoinError) -> String {
    match panicked.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "panicked".to_owned()),
        Err(cancelled) => cancelled.to_string(),
    }
}
