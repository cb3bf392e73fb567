//! `carillon presence`

use std::process::ExitCode;

use carillon_client::UserConnection;
use carillon_common::ids::UserId;
use clap::Args;
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon presence alice --api http://127.0.0.1:8081 --key-file ops.key
  carillon presence alice --json

The key needs the scope `read`. Exit code 1 when the user is not connected.";

/// Show the connections of a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Presence {
    /// Whose
    #[arg(allow_hyphen_values = true)]
    user: UserId,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Presence {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let connections = self.api.client()?.presence(self.user.as_str()).await?;
        for connection in &connections {
            say(&match self.json {
                true => json!(connection).to_string(),
                false => line(connection, Style::stdout()),
            })?;
        }
        if connections.is_empty() && !self.json {
            say(&format!("{} is not connected", shown(self.user.as_str())))?;
        }
        Ok(ExitCode::from(u8::from(connections.is_empty())))
    }
}

/// One connection, for people.
pub(super) fn line(connection: &UserConnection, style: Style) -> String {
    let device = connection.device.as_deref().unwrap_or("(no device)");
    let since = connection.since.as_deref();
    let since = since.map_or(String::new(), |since| format!("since {since}, "));
    let rest = format!("{since}session {}", connection.session);
    format!(
        "{} on {} {}",
        style.bold(&shown(device)),
        shown(&connection.gateway),
        style.dim(&shown(&rest))
    )
}
