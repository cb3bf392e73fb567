//! `carillon channel`

mod users;

use std::process::ExitCode;

use carillon_client::{Api, ChannelUser};
use carillon_common::ids::{ChannelName, Cursor};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{inbox, presence};
use crate::{
    args::ApiArgs,
    failure::Failure,
    terminal::{Style, say, shown, tell},
};

const HISTORY_EXAMPLES: &str = "\
Examples:
  carillon channel history orders --api http://127.0.0.1:8081 --key-file ops.key
  carillon channel history orders --after 1767225600123-2874613 --limit 20 --json

What was published and is kept, the oldest first; what has expired is left out. The key needs the
scope `read`.";

const PRESENCE_EXAMPLES: &str = "\
Examples:
  carillon channel presence orders --api http://127.0.0.1:8081 --key-file ops.key
  carillon channel presence orders --json

Every gateway is asked; it is said if one does not answer. The key needs the scope `read`.";

/// One channel: what it holds, who is on it
#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    History(History),
    Presence(Presence),
    Add(users::Add),
    Remove(users::Remove),
}

/// Show what was published to a channel
#[derive(Debug, Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub(crate) struct History {
    /// Which channel
    #[arg(allow_hyphen_values = true)]
    channel: ChannelName,
    /// Only what follows this position
    #[arg(long)]
    after: Option<Cursor>,
    /// How many at most [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    api: ApiArgs,
    /// Print the notifications as JSON lines
    #[arg(long)]
    json: bool,
}

/// Show who is on a channel now
#[derive(Debug, Args)]
#[command(after_help = PRESENCE_EXAMPLES)]
pub(crate) struct Presence {
    /// Which channel
    #[arg(allow_hyphen_values = true)]
    channel: ChannelName,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object for each user
    #[arg(long)]
    json: bool,
}

impl Channel {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::History(command) => command.run().await,
            Self::Presence(command) => command.run().await,
            Self::Add(command) => command.run().await,
            Self::Remove(command) => command.run().await,
        }
    }
}

impl History {
    /// Most entries of a page.
    const PAGE: u32 = 256;

    async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let mut after = self.after.map(|after| after.to_string());
        let mut left = self.limit.unwrap_or(u32::MAX);
        let mut count = 0_u64;
        while left > 0 {
            let limit = Some(left.min(Self::PAGE));
            let channel = self.channel.as_str();
            let page = api.history(channel, after.as_deref(), limit).await?;
            if let Some(gap) = &page.gap {
                let gap = Style::stderr().yellow(&shown(gap));
                tell(&format!("something before this is missing: {gap}"));
            }
            for notification in &page.notifications {
                count += 1;
                say(&match self.json {
                    true => notification.to_string(),
                    false => line(notification, Style::stdout()),
                })?;
            }
            left -= u32::try_from(page.notifications.len())
                .unwrap_or(left)
                .min(left);
            after = Some(page.next);
            if !page.more {
                break;
            }
        }
        if count == 0 && !self.json {
            say("nothing is kept")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Presence {
    async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let connections = self.tell_users(&api).await?;
        if !self.json {
            say(&match connections {
                0 => "nobody is there".to_owned(),
                1 => "1 connection".to_owned(),
                count => format!("{count} connections"),
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows the users of every page; answers how many connections there are.
    async fn tell_users(&self, api: &Api) -> Result<u64, Failure> {
        let mut after = None;
        loop {
            let channel = self.channel.as_str();
            let page = api.channel_presence(channel, after.as_deref()).await?;
            if page.gateways.answered < page.gateways.asked {
                tell(&format!(
                    "{} of {} gateways have not answered: who is there is not shown",
                    page.gateways.asked - page.gateways.answered,
                    page.gateways.asked
                ));
            }
            for user in &page.users {
                self.tell_user(user)?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(page.connections);
            }
        }
    }

    fn tell_user(&self, user: &ChannelUser) -> Result<(), Failure> {
        if self.json {
            return Ok(say(&json!(user).to_string())?);
        }
        let style = Style::stdout();
        for connection in &user.connections {
            let place = presence::line(connection, style);
            say(&format!("{} {place}", style.bold(&shown(&user.user))))?;
        }
        Ok(())
    }
}

fn line(notification: &Value, style: Style) -> String {
    let cursor = notification["cursor"].as_str().unwrap_or_default();
    inbox::stored(notification, &shown(cursor), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_a_line_whatever_it_says() {
        let notification = json!({
            "id": "n", "type": "order.new", "content": "two\nlines\u{1b}[2J", "cursor": "5-9",
            "stored_at": "2026-01-01T00:00:00.000Z",
        });
        assert_eq!(
            line(&notification, Style::plain()),
            "2026-01-01T00:00:00.000Z order.new two lines\u{fffd}[2J 5-9"
        );
    }
}
