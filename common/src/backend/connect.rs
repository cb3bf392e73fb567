//! The store that a URL names.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Backend, BackendError, Limits,
    memory::{MemoryBackend, MemoryBounds},
    redis::{
        RedisBackend, RedisOptions,
        commit::Durability,
        link::LinkSettings,
        url::{Deployment, RedisUrl},
    },
};
use crate::settings::{Auto, Settings};

/// Between two attempts to reach a store that is not there yet.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Connects to the store that `backend.url` names.
///
/// # Errors
/// A URL that cannot be read, or a store that cannot be reached.
pub async fn connect(settings: &Settings) -> Result<Arc<dyn Backend>, BackendError> {
    let text = settings.backend.url.expose();
    if is_memory(text) {
        return Ok(MemoryBackend::new(
            limits(settings),
            MemoryBounds::default(),
        ));
    }
    let url = RedisUrl::parse(text).map_err(|error| BackendError::Unexpected(error.to_string()))?;
    let options = redis_options(settings, &url);
    let backend: Arc<dyn Backend> = RedisBackend::connect(url, options).await?;
    Ok(backend)
}

/// The same for a service that starts: a store that is not there yet is waited for, until `stop`, and
/// then there is none. Services and their Redis start in any order.
///
/// # Errors
/// Those that waiting does not mend.
pub async fn connect_when_up(
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<Option<Arc<dyn Backend>>, BackendError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match connect(settings).await {
            Ok(backend) => return Ok(Some(backend)),
            Err(error) if error.is_retryable() => error,
            Err(error) => return Err(error),
        };
        tracing::warn!(%error, "waiting for the store");
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return Ok(None);
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn is_memory(url: &str) -> bool {
    url.starts_with("memory:")
}

/// Says that a service of its own over the in-memory store reaches nobody.
pub fn warn_if_alone(settings: &Settings) {
    if is_memory(settings.backend.url.expose()) {
        tracing::warn!(
            "backend.url is memory://: nothing reaches another process; name a Redis, or run \
             `carillon standalone`"
        );
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
        inbox_keep: small(settings.inbox.keep),
        page: small(settings.inbox.page),
        devices: small(settings.inbox.devices),
        device_ttl: settings.inbox.device_ttl,
        restore: settings.channels.restore,
        lease_ttl: settings.lease.ttl,
        lease_renew: settings.lease.renew,
        isolation_deadline: settings.lease.isolation_deadline,
    }
}
