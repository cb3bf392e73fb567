//! `carillon channels`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::text,
    terminal::{say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon channels --api http://127.0.0.1:8081 --key-file ops.key
  carillon channels --prefix orders. --json

Those that a client is on, or was a minute ago (channels.linger). The key needs the scope `read`.";

/// List the channels that are followed now
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Channels {
    /// What their names begin with
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true, value_parser = text)]
    prefix: String,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Channels {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let (mut after, mut count) = (None, 0_u64);
        loop {
            let page = api.channels(&self.prefix, after.as_deref()).await?;
            for channel in &page.channels {
                count += 1;
                say(&match self.json {
                    true => json!({"name": channel}).to_string(),
                    false => shown(channel),
                })?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if count == 0 && !self.json {
            say("no channel is followed")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
