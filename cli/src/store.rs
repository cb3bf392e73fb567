//! The store that a configuration names.

use std::sync::Arc;

use carillon_common::{
    backend::{
        self, Backend, BackendError,
        redis::{
            RedisOptions,
            link::{Link, LinkError},
        },
        url::{RedisUrl, StoreUrl},
    },
    settings::Settings,
};

use crate::failure::Failure;

/// Connects to it; `memory://` is a new one, of this process alone.
pub(crate) async fn connect(settings: &Settings) -> Result<Arc<dyn Backend>, Failure> {
    backend::connect(settings).await.map_err(backend_failure)
}

/// Connects to the Redis that it is, for work on the servers themselves.
pub(crate) async fn link(settings: &Settings) -> Result<(Link, RedisOptions), Failure> {
    let StoreUrl::Redis(url) = &settings.backend.store else {
        return Err(Failure::Usage(
            "the store is in memory: name a Redis with --backend or --config".to_owned(),
        ));
    };
    link_to(settings, url).await.map_err(link_failure)
}

/// The same for one that is known.
pub(crate) async fn link_to(
    settings: &Settings,
    url: &RedisUrl,
) -> Result<(Link, RedisOptions), LinkError> {
    let options = backend::redis_options(settings, url);
    let link = Link::connect(url.clone(), options.link.clone()).await?;
    Ok((link, options))
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
    match (error.fault(), error) {
        (Some(fault), _) => Failure::Failed(fault.to_string()),
        (None, error @ (LinkError::Unavailable(_) | LinkError::Unknown { .. })) => {
            Failure::Connection(error.to_string())
        }
        (None, error) => Failure::Failed(error.to_string()),
    }
}
