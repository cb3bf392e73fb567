//! The contract suite over each store. `CONTRACT=part-of-a-name` runs those cases alone.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend::{
        Backend, Limits, clock,
        memory::{MemoryBackend, MemoryBounds},
    },
    ids::{GatewayId, Millis},
};
use carillon_tests::contract::{self, Hand, Stores, Subject};
use futures_util::future::BoxFuture;

/// Cases at a time.
const AT_ONCE: usize = 8;

struct Memory;

impl Stores for Memory {
    fn fresh(&self, limits: Limits) -> BoxFuture<'_, Result<Subject>> {
        let memory = MemoryBackend::new(limits, MemoryBounds::default());
        Box::pin(async move {
            Ok(Subject {
                backend: memory.clone(),
                other: memory.clone(),
                hand: Arc::new(MemoryHand(memory)),
            })
        })
    }
}

struct MemoryHand(Arc<MemoryBackend>);

impl Hand for MemoryHand {
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        let clock = self.0.clock();
        let (local, by) = (clock::local_now(), Millis::try_from(by.as_millis()));
        clock.measured(local, clock.now() + by.unwrap_or(Millis::MAX / 2), local);
        Box::pin(async {})
    }

    fn lose_lease<'a>(&'a self, gateway: &'a GatewayId) -> BoxFuture<'a, Result<()>> {
        self.0.lose_lease(gateway);
        Box::pin(async { Ok(()) })
    }
}

/// Runs the suite and lists what failed.
async fn holds(stores: impl Stores + 'static) {
    let filter = std::env::var("CONTRACT").unwrap_or_default();
    let failures = contract::run(Arc::new(stores), &filter, AT_ONCE).await;
    assert!(
        failures.is_empty(),
        "{} cases failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    holds(Memory).await;
}
