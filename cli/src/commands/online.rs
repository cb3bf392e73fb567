//! `carillon online`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::presence::StoreArgs;
use crate::{args::ApiArgs, failure::Failure, store::backend_failure, terminal::say};

const EXAMPLES: &str = "\
Examples:
  carillon online --backend redis://redis:6379
  carillon online --config carillon.toml
  carillon online --api http://127.0.0.1:8080 --key-file ops.key

With --backend or --config it asks the store itself, else the dispatcher (the key needs the scope
`read`).";

/// Count the users that are connected
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Online {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Online {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let count = if self.store.is_given() {
            let store = self.store.connect().await?;
            store.online_count().await.map_err(backend_failure)?
        } else {
            self.api.client()?.online_count().await?
        };
        say(&match self.json {
            true => json!({"online_count": count}).to_string(),
            false => count.to_string(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
