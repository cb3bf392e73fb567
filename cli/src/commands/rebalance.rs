//! `carillon rebalance`

use std::{collections::BTreeSet, io, process::ExitCode, time::Duration};

use carillon_client::{Api, MovingGateway};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::{duration, human},
    terminal::{Progress, Style, say, shown},
};

/// Between two calls while waiting. A gateway that still moves clients looks at the last one when they
/// are gone, so the pace costs nobody a second move.
const ASK_EVERY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  carillon rebalance --api http://127.0.0.1:8081 --key-file ops.key
  carillon rebalance --wait
  carillon rebalance --json

After gateways were added: a connection stays where it is, so new gateways would stay empty. Every
gateway that has more than 10 % above the mean of users is asked to hold no more than the mean. It
closes the connections of those above it who came the longest ago, over drain.window, and goes on
taking new ones. Asking again moves nobody twice.

Clients land where the edge sends them: where that goes by the fewest connections, one call is
enough; where it goes round robin, some come back. --wait asks again until the gateways are balanced,
however often that takes (`carillon gateways` shows how many users are where).

A gateway that drains takes no part. The key needs the scope `admin`. Exit code 1 when they are not
balanced in time.";

/// Ask gateways with too many clients to move some to the others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rebalance {
    #[command(flatten)]
    api: ApiArgs,
    /// Ask until they are balanced
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print one JSON object a line, for each gateway that moves some
    #[arg(long)]
    json: bool,
}

impl Rebalance {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let style = Style::stdout();
        let mut told = BTreeSet::new();
        let mut tell = |moving: &[MovingGateway]| -> io::Result<()> {
            for gateway in moving {
                if told.insert(gateway.id.clone()) {
                    say(&match self.json {
                        true => json!(gateway).to_string(),
                        false => line(gateway, style),
                    })?;
                }
            }
            Ok(())
        };
        let balanced = if self.wait {
            until_balanced(&api, ASK_EVERY, self.timeout, tell).await?;
            true
        } else {
            let moving = api.rebalance().await?;
            tell(&moving)?;
            moving.is_empty()
        };
        if balanced && !self.json {
            say(&format!("{} the gateways are balanced", style.green("✓")))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks until no gateway has too many users, and tells who was asked.
async fn until_balanced(
    api: &Api,
    every: Duration,
    patience: Duration,
    mut tell: impl FnMut(&[MovingGateway]) -> io::Result<()>,
) -> Result<(), Failure> {
    let progress = Progress::new(true);
    let began = Instant::now();
    loop {
        let moving = api.rebalance().await?;
        progress.show("");
        tell(&moving)?;
        let Some(fullest) = moving.iter().max_by_key(|gateway| gateway.users) else {
            return Ok(());
        };
        let state = format!(
            "{} has {} users, {} above the mean",
            shown(&fullest.id),
            fullest.users,
            fullest.to_move
        );
        let waited = human(Duration::from_secs(began.elapsed().as_secs()));
        progress.show(&format!("{state}, after {waited}"));
        let time_left = patience.saturating_sub(began.elapsed());
        if time_left.is_zero() {
            return Err(Failure::Failed(format!(
                "{state} after {}; those that were asked go on moving: call it again, or raise \
                 --timeout above drain.window",
                human(patience)
            )));
        }
        sleep(every.min(time_left)).await;
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
    use crate::commands::tests::dispatcher;

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
        let asked = asked.lock();
        let paths: Vec<_> = asked.iter().map(|it| &it[0]).collect();
        assert_eq!(paths, ["/api/gateways/rebalance"; 2]);
    }

    #[tokio::test]
    async fn it_asks_until_they_are_balanced() {
        const UNEVEN: (u16, &str) = (
            202,
            r#"{"status":"ok","message":"m","moving":[{"id":"a","users":40,"to_move":20},{"id":"b","users":30,"to_move":10}]}"#,
        );
        const BALANCED: (u16, &str) = (200, r#"{"status":"ok","message":"m","moving":[]}"#);
        let (api, asked) = dispatcher(&[UNEVEN, UNEVEN, BALANCED]).await;
        let mut told = Vec::new();
        let tell = |moving: &[MovingGateway]| {
            told.push(moving.len());
            Ok(())
        };
        let (every, patience) = (Duration::from_millis(10), Duration::from_secs(60));
        until_balanced(&api, every, patience, tell).await.unwrap();
        assert_eq!(told, [2, 2, 0]);
        assert_eq!(asked.lock().len(), 3);

        let (api, _) = dispatcher(&[UNEVEN]).await;
        let late = until_balanced(&api, every, Duration::ZERO, |_| Ok(())).await;
        let late = late.unwrap_err().to_string();
        assert!(late.contains("a has 40 users, 20 above the mean"), "{late}");
    }
}
