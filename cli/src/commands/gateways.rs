//! `carillon gateways`

use std::process::ExitCode;

use carillon_client::GatewayState;
use carillon_common::{backend::LiveGateway, ids::Millis, notification::rfc3339};
use clap::Args;
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    store::{StoreArgs, backend_failure},
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon gateways --api http://127.0.0.1:8081 --key-file ops.key
  carillon gateways --backend redis://redis:6379
  carillon gateways --config carillon.toml --json

With --backend or --config it asks the store itself, else the dispatcher (the key needs the scope
`read`), which knows the pods as well where it watches them. Exit code 1 when there is none.";

/// List the gateways that are there
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Gateways {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Gateways {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let gateways = if self.store.is_given() {
            let store = self.store.connect().await?;
            let live = store.gateways().await.map_err(backend_failure)?;
            live.into_iter().map(state).collect()
        } else {
            self.api.client()?.gateways().await?
        };
        for gateway in &gateways {
            say(&match self.json {
                true => json!(gateway).to_string(),
                false => line(gateway, Style::stdout()),
            })?;
        }
        if gateways.is_empty() && !self.json {
            say("no gateway is there")?;
        }
        Ok(ExitCode::from(u8::from(gateways.is_empty())))
    }
}

fn state(gateway: LiveGateway) -> GatewayState {
    let (connections, version) = match gateway.about {
        Some(about) => (Some(about.connections), Some(about.version.into_string())),
        None => (None, None),
    };
    GatewayState {
        id: gateway.name.as_str().to_owned(),
        connections,
        version,
        generation: gateway.generation,
        users: gateway.users,
        draining: gateway.draining,
        accepting: gateway.accepting,
        pod: None,
    }
}

fn line(gateway: &GatewayState, style: Style) -> String {
    let users = match gateway.users {
        1 => "1 user".to_owned(),
        count => format!("{count} users"),
    };
    let connections = match gateway.connections {
        Some(1) => ", 1 connection".to_owned(),
        Some(count) => format!(", {count} connections"),
        None => String::new(),
    };
    let draining = match gateway.draining {
        true => format!(", {}", style.yellow("draining")),
        false => String::new(),
    };
    // A generation is the time at which it began.
    let since = rfc3339(Millis::try_from(gateway.generation).unwrap_or_default());
    let pod = gateway.pod.as_deref();
    let pod = pod.map(|pod| format!(", pod {}", shown(pod)));
    let rest = format!("since {since}{}", pod.unwrap_or_default());
    format!(
        "{} {users}{connections}{draining} {}",
        style.bold(&shown(&gateway.id)),
        style.dim(&rest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_how_many_and_since_when() {
        let mut gateway = GatewayState {
            id: "5d8f-abcde".to_owned(),
            generation: 1_767_225_600_123,
            users: 1,
            connections: None,
            version: None,
            draining: false,
            accepting: true,
            pod: None,
        };
        let since = "since 2026-01-01T00:00:00.123Z";
        let told = |gateway: &GatewayState| line(gateway, Style::stdout());
        assert_eq!(told(&gateway), format!("5d8f-abcde 1 user {since}"));
        gateway.connections = Some(1);
        let one = format!("5d8f-abcde 1 user, 1 connection {since}");
        assert_eq!(told(&gateway), one);
        gateway.connections = Some(20);
        let more = format!("5d8f-abcde 1 user, 20 connections {since}");
        assert_eq!(told(&gateway), more);
        gateway.connections = None;
        gateway.users = 12;
        gateway.pod = Some("carillon-gateway-5d8f-abcde".to_owned());
        assert_eq!(
            told(&gateway),
            format!("5d8f-abcde 12 users {since}, pod carillon-gateway-5d8f-abcde")
        );
        gateway.draining = true;
        gateway.pod = None;
        assert_eq!(
            told(&gateway),
            format!("5d8f-abcde 12 users, draining {since}")
        );
    }
}
