//! `carillon online`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{args::ApiArgs, failure::Failure, terminal::say};

const EXAMPLES: &str = "\
Examples:
  carillon online --api http://127.0.0.1:8081 --key-file ops.key
  carillon online --json

The key needs the scope `read`.";

/// Count the users that are connected
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Online {
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Online {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let count = self.api.client()?.online_count().await?;
        say(&match self.json {
            true => json!({"online_count": count}).to_string(),
            false => count.to_string(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
