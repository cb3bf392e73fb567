//! The store that a configuration names.

use std::sync::Arc;

use carillon_common::{
    backend::{
        self, Backend, BackendError,
        redis::{
            RedisOptions,
            link::{Link, LinkError},
            url::RedisUrl,
        },
    },
    settings::Settings,
};

pub(crate) use carillon_common::backend::is_memory;

use crate::failure::Failure;

/// Connects to it; `memory://` is a new one, of this process alone.
pub(crate) async fn connect(settings: &Settings) -> Result<Arc<dyn Backend>, Failure> {
    if !is_memory(settings) {
        redis_url(settings)?;
    }
    backend::connect(settings).await.map_err(backend_failure)
}

/// Connects to the Redis that it is, for work on the servers themselves.
pub(crate) async fn link(settings: &Settings) -> Result<(Link, RedisOptions), Failure> {
    if is_memory(settings) {
        return Err(Failure::Usage(
            "the store is in memory: name a Redis with --backend or --config".to_owned(),
        ));
    }
    let url = redis_url(settings)?;
    let options = backend::redis_options(settings, &url);
    let link = Link::connect(url, options.link.clone())
        .await
        .map_err(link_failure)?;
    Ok((link, options))
}

/// Its address, read.
pub(crate) fn redis_url(settings: &Settings) -> Result<RedisUrl, Failure> {
    RedisUrl::parse(settings.backend.url.expose())
        .map_err(|error| Failure::Configuration(format!("backend.url: {error}")))
}

/// How a store's failure ends the process.
pub(crate) fn backend_failure(error: BackendError) -> Failure {
    match error {
        BackendError::Unavailable(_) | BackendError::Unknown(_) => {
            Failure::Connection(error.to_string())
        }
        error => Failure::Failed(error.to_string()),
    }
}

/// How a failure of the link ends the process.
pub(crate) fn link_failure(error: LinkError) -> Failure {
    match error {
        LinkError::Unavailable(_) | LinkError::Unknown { .. } => {
            Failure::Connection(error.to_string())
        }
        error => Failure::Failed(error.to_string()),
    }
}
