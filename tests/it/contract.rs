//! The contract suite over each store. `CONTRACT=part-of-a-name` runs those cases alone.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend::{
        Backend, Limits, clock,
        memory::{MemoryBackend, MemoryBounds},
        redis::{
            RedisBackend, RedisOptions,
            keys::Keys,
            link::{Durability, LinkSettings},
        },
        url::RedisUrl,
    },
    ids::{GatewayId, Millis},
};
use carillon_tests::{
    contract::{self, Hand, Stores, Subject},
    redis::{Cluster, Options, Sentinel, Standalone},
};
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

/// A store over Redis; every subject has a key prefix of its own.
struct OverRedis {
    url: String,
    replicas: u8,
}

impl OverRedis {
    async fn connect(&self, limits: &Limits, prefix: &str) -> Result<Arc<RedisBackend>> {
        let second = Duration::from_secs(1);
        let options = RedisOptions {
            limits: limits.clone(),
            prefix: prefix.to_owned(),
            link: LinkSettings::default(),
            durability: (self.replicas > 0).then_some(Durability {
                replicas: self.replicas,
                timeout: second,
            }),
            probe: (5 * second, 3 * second),
            clock: (10 * second, second),
        };
        Ok(RedisBackend::connect(RedisUrl::parse(&self.url)?, options).await?)
    }
}

impl Stores for OverRedis {
    fn fresh(&self, limits: Limits) -> BoxFuture<'_, Result<Subject>> {
        Box::pin(async move {
            let prefix = format!("contract-{:016x}:", rand::random::<u64>());
            let backend = self.connect(&limits, &prefix).await?;
            let other = self.connect(&limits, &prefix).await?;
            Ok(Subject {
                backend: backend.clone(),
                other,
                hand: Arc::new(RedisHand(backend)),
            })
        })
    }
}

struct RedisHand(Arc<RedisBackend>);

impl Hand for RedisHand {
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(by))
    }

    fn lose_lease<'a>(&'a self, gateway: &'a GatewayId) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut delete = redis::cmd("DEL");
            delete.arg(self.0.keys().lease(gateway));
            self.0
                .link()
                .call::<redis::Value>(Keys::HOME, &delete)
                .await?;
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_standalone() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    holds(OverRedis {
        url: redis.url(),
        replicas: 0,
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_sentinel() -> Result<()> {
    let redis = Sentinel::start(2, 3, &Options::default()).await?;
    holds(OverRedis {
        url: redis.url(),
        replicas: 1,
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cluster() -> Result<()> {
    let redis = Cluster::start(3, 1, &Options::default()).await?;
    holds(OverRedis {
        url: redis.url(),
        replicas: 1,
    })
    .await;
    Ok(())
}
