//! `carillon channel add` and `carillon channel remove`

use std::process::ExitCode;

use carillon_client::{Api, Assigned};
use carillon_common::ids::{ChannelName, UserId};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    args::ApiArgs,
    failure::Failure,
    terminal::{Style, say, shown},
};

/// Users that one call may name.
const AT_ONCE: usize = 1_000;

const ADD_EXAMPLES: &str = "\
Examples:
  carillon channel add orders alice --api http://127.0.0.1:8081 --key-file ops.key
  carillon channel add team-7 alice bob carol --json

Every device of theirs is given what is published to it from now on, whether or not it is connected
now and whatever its token allows, until they are removed. The key needs the scope `broadcast`.";

const REMOVE_EXAMPLES: &str = "\
Examples:
  carillon channel remove orders alice --api http://127.0.0.1:8081 --key-file ops.key
  carillon channel remove team-7 alice bob carol --json

Whoever put them on it: their clients leave it within two seconds, and may subscribe again where their
token allows it. The key needs the scope `broadcast`.";

/// Put users on a channel
#[derive(Debug, Args)]
#[command(after_help = ADD_EXAMPLES)]
pub(crate) struct Add {
    #[command(flatten)]
    whom: Whom,
}

/// Take users off a channel
#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub(crate) struct Remove {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Args)]
struct Whom {
    /// Which channel
    #[arg(allow_hyphen_values = true)]
    channel: ChannelName,
    /// Which users
    #[arg(allow_hyphen_values = true, required = true)]
    users: Vec<UserId>,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object for each user
    #[arg(long)]
    json: bool,
}

impl Add {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let call =
            async |api: &Api, channel: &str, users: &[&str]| api.put_on(channel, users).await;
        self.whom.each(call, ["is on it now", "was on it"]).await
    }
}

impl Remove {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let call =
            async |api: &Api, channel: &str, users: &[&str]| api.take_off(channel, users).await;
        self.whom
            .each(call, ["was taken off it", "was not on it"])
            .await
    }
}

impl Whom {
    /// Makes the call for all of them, and tells of each what became of it; `words`: where something has changed, and
    /// where it was so before.
    async fn each(
        &self,
        call: impl AsyncFn(&Api, &str, &[&str]) -> Result<Vec<Assigned>, carillon_client::Error>,
        words: [&str; 2],
    ) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let mut code = ExitCode::SUCCESS;
        let users: Vec<&str> = self.users.iter().map(UserId::as_str).collect();
        for some in users.chunks(AT_ONCE) {
            for assigned in call(&api, self.channel.as_str(), some).await? {
                if assigned.changed.is_none() {
                    code = ExitCode::FAILURE;
                }
                say(&match self.json {
                    true => json!(assigned).to_string(),
                    false => line(&assigned, words, Style::stdout()),
                })?;
            }
        }
        Ok(code)
    }
}

fn line(assigned: &Assigned, [changed, same]: [&str; 2], style: Style) -> String {
    let user = shown(&assigned.user);
    match assigned.changed {
        Some(true) => format!("{} {user} {changed}", style.green("✓")),
        Some(false) => format!("{} {user} {same}", style.green("✓")),
        None => {
            let detail = assigned.problem.as_ref().map(|it| &it["detail"]);
            let detail = detail.and_then(Value::as_str).unwrap_or_default();
            let status = style.yellow(&shown(&assigned.status));
            format!("{status} {user}: {}", shown(detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_each_is_a_line() {
        let words = ["is on it now", "was on it"];
        for (answer, expected) in [
            (
                json!({"user": "a", "status": "ok", "changed": true}),
                "✓ a is on it now",
            ),
            (
                json!({"user": "a", "status": "ok", "changed": false}),
                "✓ a was on it",
            ),
            (
                json!({"user": "a\n", "status": "failed", "problem": {"detail": "too many"}}),
                "failed a : too many",
            ),
        ] {
            let assigned: Assigned = serde_json::from_value(answer).unwrap();
            assert_eq!(line(&assigned, words, Style::plain()), expected);
        }
    }
}
