//! `carillon inbox`

use std::process::ExitCode;

use carillon_client::InboxQuery;
use clap::Args;
use serde_json::Value;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::text,
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon inbox alice --key-file ops.key
  carillon inbox alice --newest --limit 10
  carillon inbox alice --type order.shipped --json
  carillon inbox alice --all --json > alice.jsonl

What may still be delivered, and the newest that every device has acked (inbox.keep). Looking acks nothing.
The key needs the scope `read`.";

/// List what is in a user's inbox
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inbox {
    /// Whose
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// The newest first
    #[arg(long)]
    newest: bool,
    /// So many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "all")]
    limit: u32,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Of this type alone
    #[arg(long = "type", value_name = "TYPE", allow_hyphen_values = true, value_parser = text)]
    kind: Option<String>,
    /// Print one notification a line, as clients get it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// The most that the service gives at once.
const PAGE: u32 = 200;

impl Inbox {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let mut wanted = if self.all { u32::MAX } else { self.limit };
        let mut after = None;
        let mut told = 0_usize;
        while wanted > 0 {
            let query = InboxQuery {
                after: after.as_deref(),
                limit: Some(wanted.min(PAGE)),
                newest_first: self.newest,
                kind: self.kind.as_deref(),
            };
            let page = api.inbox(&self.user, &query).await?;
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
            say("the inbox is empty")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(notification: &Value, style: Style) -> String {
    let text = |name: &str| shown(notification[name].as_str().unwrap_or_default());
    let end = format!("{} until {}", text("id"), text("expires_at"));
    stored(notification, &end, style)
}

/// A notification as it is kept: since when, what it says, and last what the list is read for.
pub(super) fn stored(notification: &Value, end: &str, style: Style) -> String {
    let text = |name: &str| shown(notification[name].as_str().unwrap_or_default());
    format!(
        "{} {} {} {}",
        style.dim(&text("stored_at")),
        style.bold(&text("type")),
        text("content"),
        style.dim(end)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_what_people_look_for() {
        let notification = json!({
            "id": "018f", "type": "order.shipped", "content": "On its\u{7} way", "stored_at": "2026-01-01T00:00:00.000Z",
            "expires_at": "2026-01-08T00:00:00.000Z",
        });
        let line = line(&notification, Style::stdout());
        assert!(line.starts_with("2026-01-01T00:00:00.000Z order.shipped On its"));
        assert!(!line.contains('\u{7}') && line.ends_with("018f until 2026-01-08T00:00:00.000Z"));
    }
}
