//! `carillon scheduled`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::text,
    terminal::{Style, say, shown},
};

/// What waits for its time (`send --deliver-at`)
#[derive(Debug, Subcommand)]
pub(crate) enum Scheduled {
    List(List),
    Cancel(Cancel),
}

const LIST_EXAMPLES: &str = "\
Examples:
  carillon scheduled list alice --key-file ops.key
  carillon scheduled list alice --all --json | jq -r .deliver_at

What is due first comes first. The key needs the scope `read`.";

/// List what waits for a user
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    /// For whom
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// So many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "all")]
    limit: u32,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Print one notification a line, as it will be delivered
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

const CANCEL_EXAMPLES: &str = "\
Examples:
  carillon scheduled cancel alice 0199d2c4-7f3a-7000-8000-000000000000 --key-file orders.key
  carillon scheduled cancel alice 0199d2c4-7f3a-7000-8000-000000000000 --json

By the id that the send answered. What was delivered before is refused, with its cursor: `carillon retract` takes that
back. Asking again does no harm. The key needs the scope `send`.";

/// Cancel what waits
#[derive(Debug, Args)]
#[command(after_help = CANCEL_EXAMPLES)]
pub(crate) struct Cancel {
    /// For whom
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// The notification's id
    id: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// The most that the service gives at once.
const PAGE: u32 = 200;

impl Scheduled {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Cancel(cancel) => cancel.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let mut wanted = if self.all { u32::MAX } else { self.limit };
        let (mut after, mut told) = (None, 0_usize);
        while wanted > 0 {
            let limit = wanted.min(PAGE);
            let page = api.scheduled(&self.user, after.as_deref(), limit).await?;
            for notification in &page.notifications {
                say(&match self.json {
                    true => notification.to_string(),
                    false => line(notification, Style::stdout()),
                })?;
            }
            told += page.notifications.len();
            let count = u32::try_from(page.notifications.len()).unwrap_or(u32::MAX);
            wanted = wanted.saturating_sub(count);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if told == 0 && !self.json {
            say("nothing waits for this user")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Cancel {
    async fn run(self) -> Result<ExitCode, Failure> {
        let cancelled = self.api.client()?.cancel(&self.user, &self.id).await?;
        let style = Style::stdout();
        say(&match (self.json, &*cancelled.outcome) {
            (true, _) => json!(cancelled).to_string(),
            (false, "cancelled") => format!("{} it is not delivered", style.green("✓")),
            (false, _) => "it had left before, without having been delivered".to_owned(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn line(notification: &Value, style: Style) -> String {
    let text = |name: &str| shown(notification[name].as_str().unwrap_or_default());
    format!(
        "{} {} {} {}",
        style.dim(&text("deliver_at")),
        style.bold(&text("type")),
        text("content"),
        style.dim(&text("id"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_when_it_comes_and_by_what_it_is_cancelled() {
        let notification = json!({
            "id": "018f", "type": "reminder", "content": "In\u{7} an hour", "deliver_at": "2026-01-01T00:00:00.000Z",
        });
        let line = line(&notification, Style::stdout());
        assert!(
            line.starts_with("2026-01-01T00:00:00.000Z reminder In"),
            "{line}"
        );
        assert!(
            !line.contains('\u{7}') && line.ends_with("an hour 018f"),
            "{line}"
        );
    }
}
