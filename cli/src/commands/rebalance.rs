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
gateway that has more than 10 % above the mean of users is asked to hold no more than the mean. It
closes the connections of those above it who came the longest ago, over drain.window, and goes on
taking new ones. Asking again moves nobody twice.

Clients land where the edge sends them: where that goes by the fewest connections, one call is
enough; where it goes round robin, some come back, so repeat it after drain.window until the
gateways are balanced (`carillon gateways` shows how many users are where).

A gateway that drains takes no part. The key needs the scope `admin`.";

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
        gateway.to_move,
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
            to_move: 407,
        };
        assert_eq!(
            line(&gateway, Style::stdout()),
            "✓ 5d8f-abcde is asked to move 407 of 812"
        );
    }

    #[tokio::test]
    async fn it_is_asked_until_there_is_an_answer() {
        const ASKED: (u16, &str) = (
            202,
            r#"{"status":"ok","message":"m","moving":[{"id":"a","users":40,"to_move":20}]}"#,
        );
        let (api, asked) = dispatcher(&[(503, "{}"), ASKED]).await;
        let moving = api.rebalance().await.unwrap();
        assert_eq!(
            json!(moving),
            json!([{"id": "a", "users": 40, "to_move": 20}])
        );
        let asked = asked.lock().unwrap();
        let paths: Vec<_> = asked.iter().map(|it| &it[0]).collect();
        assert_eq!(paths, ["/api/gateways/rebalance"; 2]);
    }
}
