//! The store that a URL names.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    AtStart, Backend, BackendError, BusSink, Limits, Membership,
    memory::{MemoryBackend, MemoryBounds},
    redis::{
        RedisBackend, RedisOptions,
        link::{Durability, LinkSettings},
    },
    url::{Deployment, RedisUrl, StoreUrl},
};
use crate::{
    ids::GatewayId,
    retry::pauses,
    settings::{Auto, Settings},
};

/// Between two attempts to reach a store that is not there yet.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// That a start waits for the same is said once in this time.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Connects to the store that `[backend]` names.
///
/// # Errors
/// A store that cannot be reached, or refuses what is needed.
pub async fn connect(settings: &Settings) -> Result<Arc<dyn Backend>, BackendError> {
    Ok(match &settings.backend.store {
        StoreUrl::Memory => MemoryBackend::new(limits(settings), MemoryBounds::default()),
        StoreUrl::Redis(url) => {
            let options = redis_options(settings, url);
            RedisBackend::connect((**url).clone(), options).await?
        }
    })
}

/// The same for a service that starts: a store that is not there yet is waited for, until `stop`, and
/// then there is none. Services and their Redis start in any order.
///
/// # Errors
/// Those that waiting does not mend, see [`BackendError::at_start`].
pub async fn connect_when_up(
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<Option<Arc<dyn Backend>>, BackendError> {
    let connected = stop.run_until_cancelled(when_up(|| connect(settings)));
    connected.await.transpose()
}

/// Has a gateway take its place in the store, which may have no room for its connections yet.
///
/// # Errors
/// As [`connect_when_up`].
pub async fn join_when_up(
    backend: &dyn Backend,
    gateway: &GatewayId,
    sink: Arc<dyn BusSink>,
) -> Result<Arc<dyn Membership>, BackendError> {
    when_up(|| backend.join(gateway.clone(), sink.clone())).await
}

/// Tries again for as long as that may help.
async fn when_up<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let start = Instant::now();
    let mut pauses = pauses(FIRST_PAUSE, LAST_PAUSE);
    let mut said: Option<(Instant, String)> = None;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match error.at_start() {
            AtStart::Wait => {}
            AtStart::WaitFor(limit) if start.elapsed() < limit => {}
            AtStart::WaitFor(_) | AtStart::End => return Err(error),
        }
        let text = error.to_string();
        let is_news = said
            .as_ref()
            .is_none_or(|(at, last)| *last != text || at.elapsed() >= SAID_EVERY);
        if is_news {
            tracing::warn!(%error, "waiting for the store");
            said = Some((Instant::now(), text));
        }
        sleep(pauses.next().unwrap_or(LAST_PAUSE)).await;
    }
}

/// How Redis is used under these settings.
pub fn redis_options(settings: &Settings, url: &RedisUrl) -> RedisOptions {
    let replicas = match settings.durability.replicas {
        Auto::Value(replicas) => u8::try_from(replicas).unwrap_or(u8::MAX),
        Auto::Auto => match url.deployment {
            Deployment::Standalone(_) => 0,
            Deployment::Sentinel { .. } | Deployment::Cluster { .. } => 1,
        },
    };
    let timeout = settings.durability.wait_timeout;
    RedisOptions {
        limits: limits(settings),
        prefix: settings.redis.prefix.clone(),
        link: LinkSettings {
            partitions: settings.backend.partitions,
            connect_timeout: settings.backend.connect_timeout,
            response_timeout: settings.backend.response_timeout,
            commit_batch: settings.durability.batch,
            ..LinkSettings::default()
        },
        durability: (replicas > 0).then_some(Durability { replicas, timeout }),
        probe: (settings.redis.probe_interval, settings.redis.probe_timeout),
        clock: (
            settings.redis.clock_interval,
            settings.redis.clock_tolerance,
        ),
    }
}

/// What a store keeps within under these settings.
pub fn limits(settings: &Settings) -> Limits {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        inbox_ttl: settings.inbox.ttl,
        inbox_max: small(settings.inbox.max),
        scheduled: small(settings.inbox.scheduled),
        inbox_keep: small(settings.inbox.keep),
        page: small(settings.inbox.page),
        devices: small(settings.inbox.devices),
        device_ttl: settings.inbox.device_ttl,
        connections: small(settings.inbox.connections),
        kept: small(settings.channels.kept),
        assigned: small(settings.socket.channels),
        restore: settings.channels.restore,
        lease_ttl: settings.lease.ttl,
        lease_renew: settings.lease.renew,
        isolation_deadline: settings.lease.isolation_deadline,
    }
}
