//! `carillon user`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::text,
    terminal::{Style, say, shown},
};

/// What is kept of a user
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    Channels(Channels),
    Erase(Erase),
}

const CHANNELS_EXAMPLES: &str = "\
Examples:
  carillon user channels alice --key-file ops.key
  carillon user channels alice --json

What the user's own clients have subscribed to is not among them. `carillon channel add` puts users on
channels. The key needs the scope `read`.";

/// List the channels that services have put a user on
#[derive(Debug, Args)]
#[command(after_help = CHANNELS_EXAMPLES)]
pub(crate) struct Channels {
    /// Whose
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = "\
Examples:
  carillon user erase alice --key-file ops.key
  carillon user erase alice --json

Inbox, receipts, devices, kept subscriptions and what waits for its time go, and the user's connections are closed. What
idempotency keys stand for lapses within a day; channels' logs keep what was published to them. The key needs the scope `admin`.";

/// Forget a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Erase {
    /// Whom
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl User {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Channels(command) => command.run().await,
            Self::Erase(command) => command.run().await,
        }
    }
}

impl Channels {
    async fn run(self) -> Result<ExitCode, Failure> {
        let channels = self.api.client()?.assigned(&self.user).await?;
        for channel in &channels {
            say(&match self.json {
                true => json!({ "name": channel }).to_string(),
                false => shown(channel),
            })?;
        }
        if channels.is_empty() && !self.json {
            say("no service has put this user on a channel")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Erase {
    async fn run(self) -> Result<ExitCode, Failure> {
        let erased = self.api.client()?.erase(&self.user).await?;
        let style = Style::stdout();
        say(&match (self.json, erased.erased) {
            (true, _) => json!(erased).to_string(),
            (false, true) => format!("{} the user is forgotten", style.green("✓")),
            (false, false) => "nothing is kept of this user".to_owned(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
