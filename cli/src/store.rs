//! The store that a configuration names.

use std::{path::PathBuf, sync::Arc};

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

use clap::Args;

use crate::{failure::Failure, input::settings};

/// Which store.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// The services' configuration
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,
    /// The store's URL, instead of the configuration's `backend.url`; with a password in it, prefer
    /// the configuration or CARILLON__BACKEND__URL
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
}

impl StoreArgs {
    /// Whether a store was named at all.
    pub(crate) fn is_given(&self) -> bool {
        self.config.is_some()
            || self.backend.is_some()
            || std::env::var_os("CARILLON__BACKEND__URL").is_some()
            || std::env::var_os("CARILLON__BACKEND__URL_FILE").is_some()
    }

    /// The configuration, with the URL that was given.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = settings(self.config.as_deref())?;
        if let Some(url) = &self.backend {
            settings.backend.name_store(url.clone())?;
        }
        Ok(settings)
    }

    /// The store that the services share.
    pub(crate) async fn connect(&self) -> Result<Arc<dyn Backend>, Failure> {
        let settings = self.settings()?;
        if settings.backend.store.is_memory() {
            return Err(Failure::Usage(
                "the in-memory store cannot be asked from outside its process: name a Redis with \
                 --backend or --config, or a dispatcher with --api"
                    .to_owned(),
            ));
        }
        connect(&settings).await
    }
}

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
