//! `carillon disconnect`

use std::process::ExitCode;

use carillon_client::Disconnect as Which;
use carillon_common::ids::{DeviceId, SessionId, UserId};
use clap::Args;
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::text,
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon disconnect alice --api http://127.0.0.1:8081 --key-file ops.key
  carillon disconnect alice --device phone --code 4001 --reason logged_out
  carillon disconnect alice --session tab-7f3a --json

The sockets and event streams of the user are closed on all gateways, within two seconds. The code
says what clients do then: 4001 and 4003 stay away, 4100 come back later, 4200 and 4203 at once, 4201
with a new token. Who still has a good token can come back all the same. The key needs the scope
`admin`.";

/// Close the connections of a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Disconnect {
    /// Whose
    #[arg(allow_hyphen_values = true)]
    user: UserId,
    /// Only those of this device
    #[arg(long, allow_hyphen_values = true)]
    device: Option<DeviceId>,
    /// Only that of this session
    #[arg(long, allow_hyphen_values = true)]
    session: Option<SessionId>,
    /// What they are closed with: 4001, 4003, 4100, 4200, 4201 or 4203 [default: 4203]
    #[arg(long)]
    code: Option<u16>,
    /// What clients are told beside the code, in the place of the code's own word
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    reason: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Disconnect {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let which = Which {
            device: self.device.as_ref().map(DeviceId::as_str),
            session: self.session.as_ref().map(SessionId::as_str),
            code: self.code,
            reason: self.reason.as_deref(),
        };
        let api = self.api.client()?;
        let connections = api.disconnect(self.user.as_str(), &which).await?;
        let style = Style::stdout();
        say(&match (self.json, connections) {
            (true, count) => json!({"user": self.user, "connections": count}).to_string(),
            (false, 0) => format!("{} has no such connection", shown(self.user.as_str())),
            (false, 1) => format!("{} 1 connection is being closed", style.green("✓")),
            (false, count) => format!("{} {count} connections are being closed", style.green("✓")),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
