//! `carillon rebalance`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{
    api::{ApiArgs, MovingGateway},
    failure::Failure,
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon rebalance --api http://127.0.0.1:8081 --key-file ops.key
  carillon rebalance --json

After gateways were added: a connection stays where it is, so new gateways would stay empty. Every
gateway that has more than 10 % above the mean of users is asked to move what it has above the mean.
It picks connections at random, closes them over drain.window, and goes on taking new ones.

Clients land where the edge sends them: where that goes by the fewest connections, one call is
enough; where it goes round robin, some come back, so repeat it. Let drain.window pass before that
(`carillon gateways` shows how many users are where): what is asked while connections still move
comes on top. For that reason a call that fails is not tried again, whatever --retry-for says.

A gateway that was asked to drain counts as an empty one: end it first. The key needs the scope
`admin`.";

/// Ask gateways with too many clients to move some to the others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rebalance {
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object a line, for each gateway that moves some
    #[arg(long)]
    json: bool,
}

impl Rebalance {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let moving = self.api.client()?.rebalance().await?;
        for gateway in &moving {
            say(&match self.json {
                true => json!(gateway).to_string(),
                false => line(gateway, Style::stdout()),
            })?;
        }
        if moving.is_empty() && !self.json {
            say("the gateways are balanced")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(gateway: &MovingGateway, style: Style) -> String {
    format!(
        "{} {} is asked to move {} of {}",
        style.green("✓"),
        style.bold(&shown(&gateway.id)),
        gateway.connections,
        gateway.users
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::dispatcher;

    #[test]
    fn a_line_says_how_many_of_how_many() {
        let gateway = MovingGateway {
            id: "5d8f-abcde".to_owned(),
            users: 812,
            connections: 407,
        };
        assert_eq!(
            line(&gateway, Style::stdout()),
            "✓ 5d8f-abcde is asked to move 407 of 812"
        );
    }

    #[tokio::test]
    async fn it_is_asked_once() {
        const ASKED: (u16, &str) = (
            202,
            r#"{"status":"ok","message":"m","moving":[{"id":"a","users":40,"connections":20}]}"#,
        );
        let (api, asked) = dispatcher(&[ASKED]).await;
        let moving = api.rebalance().await.unwrap();
        assert_eq!(
            json!(moving),
            json!([{"id": "a", "users": 40, "connections": 20}])
        );
        assert_eq!(asked.lock().unwrap()[0][0], "/api/gateways/rebalance");

        // A second one would move twice as many, if the first one was heard.
        let (api, asked) = dispatcher(&[(503, "{}"), ASKED]).await;
        api.rebalance().await.unwrap_err();
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}
