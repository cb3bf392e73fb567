//! `carillon subscribe`

use std::{process::ExitCode, time::Duration};

use carillon_client::{Event, Follower, Notification, Target, tls};
use carillon_common::{
    ids::{ChannelName, Cursor, DeviceId},
    process::interruption,
};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    args::{TokenArgs, gateway_url},
    failure::Failure,
    input::{duration, human},
    terminal::{Style, say, shown, tell},
};

const EXAMPLES: &str = "\
Examples:
  carillon subscribe --token-file alice.jwt
  CARILLON_TOKEN=$(carillon token mint --user alice --secret-file jwt.secret) carillon subscribe
  carillon subscribe --token-file alice.jwt --channel orders --json | jq .content
  carillon subscribe --token-file alice.jwt --since 0-0 --count 10

Comes back by itself after every interruption, with the cursor of the last notification it printed;
what was missed is printed then, each once. With --device NAME, what came while this device was away
is kept for it, too; without, it shares the cursor of the user's nameless devices. Ends with Ctrl-C.";

/// Print a user's notifications as they come
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Subscribe {
    /// The gateway; of several, one by chance for each connection
    #[arg(
        long,
        value_name = "URL",
        env = "CARILLON_URL",
        default_value = "ws://127.0.0.1:8080",
        value_delimiter = ','
    )]
    url: Vec<String>,
    #[command(flatten)]
    token: TokenArgs,
    /// A name for this device
    #[arg(long, allow_hyphen_values = true)]
    device: Option<DeviceId>,
    /// A channel to join; may be given again
    #[arg(long = "channel", value_name = "CHANNEL", allow_hyphen_values = true)]
    channels: Vec<ChannelName>,
    /// Print what followed this cursor first; 0-0: all that is kept
    #[arg(long, value_name = "CURSOR")]
    since: Option<Cursor>,
    /// Print each notification as the gateway sent it, one JSON object a line
    #[arg(long)]
    json: bool,
    /// End after so many notifications
    #[arg(long)]
    count: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
}

impl Subscribe {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let urls = self.url.iter().map(|url| gateway_url(url));
        let target = Target {
            urls: urls.collect::<Result<_, _>>()?,
            token: self.token.source()?,
            device: self
                .device
                .as_ref()
                .map(|device| device.as_str().to_owned()),
            tls: tls::client(),
        };
        let channels: Vec<_> = self.channels.iter().map(ToString::to_string).collect();
        let since = self.since.map(|cursor| cursor.to_string());
        let mut follower = Follower::new(target, since, &channels);
        let end = self.duration.map(|duration| Instant::now() + duration);
        let interrupted = interruption()?;
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let event = tokio::select! {
                event = follower.next() => event?,
                () = until(end) => break,
                () = interrupted.cancelled() => break,
            };
            if let Event::Notification(notification) = event {
                say(&match self.json {
                    true => notification.json().to_owned(),
                    false => line(&notification, Style::stdout()),
                })?;
                follower.handled(&notification).await;
                left -= 1;
            } else {
                report(&event, self.json);
            }
        }
        follower.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Time, type, content, and the data where there is any.
fn line(notification: &Notification, style: Style) -> String {
    let time = notification.timestamp.as_deref().unwrap_or_default();
    // The clock of an RFC 3339 text; whoever wants the day uses --json.
    let clock = time.get(11..19).unwrap_or(time);
    let mut line = format!(
        "{} {}",
        style.dim(&shown(clock)),
        style.cyan(&shown(&notification.kind))
    );
    if let (Some(channel), false) = (&notification.channel, notification.is_personal()) {
        line += &style.dim(&format!(" #{}", shown(channel)));
    }
    if let Some(content) = notification
        .content
        .as_deref()
        .filter(|content| !content.is_empty())
    {
        line += &format!(" {}", shown(content));
    }
    let data = notification.data.as_ref().map(|data| data.get());
    if let Some(data) = data.filter(|data| !matches!(*data, "{}" | "null")) {
        line += &format!(" {}", style.dim(&shown(data)));
    }
    line
}

/// What is not a notification goes to stderr, so that stdout is notifications alone.
fn report(event: &Event, json: bool) {
    let style = Style::stderr();
    let (kind, text) = match event {
        Event::Connected { user } => (
            "connected",
            style.dim(&format!("connected as {}", shown(user))),
        ),
        Event::Gap { channel, reason } => {
            let whose = match channel {
                Some(channel) => format!("of channel {}", shown(channel)),
                None => "of the inbox".to_owned(),
            };
            let text = format!("GAP: notifications {whose} are missing ({})", shown(reason));
            ("gap", style.red(&text))
        }
        Event::Refused { code, message } => (
            "refused",
            style.red(&format!("refused: {} ({})", shown(message), shown(code))),
        ),
        Event::TokenExpiring { at } => (
            "token_expiring",
            style.yellow(&format!("the token ends at {}", shown(at))),
        ),
        Event::Disconnected { why, pause, .. } => {
            let pause = human(Duration::from_millis(pause.as_millis() as u64));
            let text = format!("disconnected: {}; again in {pause}", shown(why));
            ("disconnected", style.yellow(&text))
        }
        _ => return,
    };
    if json {
        tell(&json!({"event": kind, "message": text}).to_string());
    } else {
        tell(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_what_and_for_whom() {
        let notification: Notification = serde_json::from_str(
            r#"{"id":"n","type":"order.new","content":"one\u001b[2J","data":{"a":1},
                "timestamp":"2026-01-01T09:08:07.123Z","target_user":null,"channel":"orders"}"#,
        )
        .unwrap();
        // Tests have no terminal, so no colours.
        assert_eq!(
            line(&notification, Style::stdout()),
            "09:08:07 order.new #orders one\u{fffd}[2J {\"a\":1}"
        );
    }
}
