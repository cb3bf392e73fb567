//! `carillon presence`

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use carillon_common::{
    backend::{Backend, Device, Presence as Connection},
    ids::UserId,
    notification::rfc3339,
    settings::Settings,
};
use clap::Args;
use serde_json::json;

use crate::{
    failure::Failure,
    input::settings,
    store,
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon presence alice --backend redis://redis:6379
  carillon presence alice --config carillon.toml --json

Asks the store itself. Exit code 1 when the user is not connected.";

/// Show the connections of a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Presence {
    /// Whose
    #[arg(allow_hyphen_values = true)]
    user: UserId,
    #[command(flatten)]
    store: StoreArgs,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Which store.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
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
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some()
            || self.backend.is_some()
            || std::env::var_os("CARILLON__BACKEND__URL").is_some()
            || std::env::var_os("CARILLON__BACKEND__URL_FILE").is_some()
    }

    /// The configuration, with the URL that was given.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = settings(self.config.as_deref())?;
        if let Some(url) = &self.backend {
            settings.backend.name_store(url.clone())?;
        }
        Ok(settings)
    }

    /// The store that the services share.
    pub(super) async fn connect(&self) -> Result<Arc<dyn Backend>, Failure> {
        let settings = self.settings()?;
        if settings.backend.store.is_memory() {
            return Err(Failure::Usage(
                "the in-memory store cannot be asked from outside its process: name a Redis with \
                 --backend or --config, or use `carillon online --api`"
                    .to_owned(),
            ));
        }
        store::connect(&settings).await
    }
}

impl Presence {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let store = self.store.connect().await?;
        let connections = store
            .presence(&self.user)
            .await
            .map_err(store::backend_failure)?;
        for connection in &connections {
            say(&match self.json {
                true => object(connection).to_string(),
                false => line(connection, Style::stdout()),
            })?;
        }
        if connections.is_empty() && !self.json {
            say(&format!("{} is not connected", shown(self.user.as_str())))?;
        }
        Ok(ExitCode::from(u8::from(connections.is_empty())))
    }
}

fn device(connection: &Connection) -> Option<&str> {
    match &connection.device {
        Device::Named(device) => Some(device.as_str()),
        Device::Anonymous => None,
    }
}

fn line(connection: &Connection, style: Style) -> String {
    let Connection {
        session,
        gateway,
        since,
        ..
    } = connection;
    let device = style.bold(device(connection).unwrap_or("(no device)"));
    let rest = style.dim(&format!("since {}, session {session}", rfc3339(*since)));
    format!("{device} on {gateway} {rest}")
}

fn object(connection: &Connection) -> serde_json::Value {
    json!({
        "device": device(connection),
        "session": connection.session,
        "gateway": connection.gateway,
        "generation": connection.generation,
        "since": rfc3339(connection.since),
    })
}
