//! `carillon send`

use std::{process::ExitCode, time::Duration};

use carillon_client::{Accepted, Api, Message};
use carillon_common::{ids::Millis, json::fault, notification::rfc3339, text::without_bom};
use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::{duration, human, later, rate, stdin, text},
    terminal::{Progress, Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon send --user alice --type order.shipped --content 'On its way' --key-file orders.key
  carillon send --user alice --type report --data '{\"rows\": 3}' --ttl 10m
  carillon send --user alice --type order.status --content 'Shipped' --collapse-key order-4711
  carillon send --user alice --type reminder --content 'In an hour' --deliver-at 2h
  date | carillon send --user alice --type clock --content -
  carillon send --user alice --type test --content 'number {i}' --count 100 --rate 20

A call is tried again while the service is away, always under the same idempotency key, so that
nothing is sent twice. In the content, {i} is the number of the notification, from 1. With --deliver-at it
waits until then: `carillon scheduled` lists and cancels what waits.";

/// Send a notification to a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    /// For whom
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    user: String,
    #[command(flatten)]
    content: ContentArgs,
    /// A label on the notification; it goes to the user all the same
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    channel: Option<String>,
    /// What it stands for: the user's last one of the same key is delivered no more
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, value_parser = text)]
    collapse_key: Option<String>,
    /// Not now, but then: a time, or how long until then; at most 30 days ahead
    #[arg(long, value_name = "TIME", value_parser = later)]
    deliver_at: Option<Millis>,
    #[command(flatten)]
    api: ApiArgs,
}

/// To whom it goes, and when.
#[derive(Debug, Default)]
pub(super) struct Destination<'a> {
    /// None: to a channel, or to everyone.
    pub(super) user: Option<&'a str>,
    pub(super) channel: Option<&'a str>,
    pub(super) collapse_key: Option<&'a str>,
    pub(super) deliver_at: Option<Millis>,
}

/// What `send` and `broadcast` have in common.
#[derive(Debug, Args)]
pub(super) struct ContentArgs {
    /// The application's own type, such as order.shipped
    #[arg(long = "type", value_name = "TYPE", allow_hyphen_values = true, value_parser = text)]
    kind: String,
    /// Text for people; `-` reads it from stdin
    #[arg(long, default_value = "", allow_hyphen_values = true, value_parser = text)]
    content: String,
    /// Any JSON, passed on as it is
    #[arg(long, value_name = "JSON", allow_hyphen_values = true, value_parser = json)]
    data: Option<Value>,
    /// How long it may be delivered; 0s: to whoever is connected now, and stored nowhere
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<Duration>,
    /// Your own name for this call: repeated under it, it is not sent twice [default: random]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, value_parser = text)]
    idempotency_key: Option<String>,
    /// How many to send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// So many a second [default: one after the other]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Print the answers, and a refusal, as JSON lines
    #[arg(long)]
    json: bool,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(without_bom(text)).map_err(|error| {
        let fault = fault(&error);
        format!("not JSON: {fault}; a text needs its quotes: --data '\"text\"'")
    })
}

impl Send {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let to = Destination {
            user: Some(&self.user),
            channel: self.channel.as_deref(),
            collapse_key: self.collapse_key.as_deref(),
            deliver_at: self.deliver_at,
        };
        deliver(&api, &self.content, to).await
    }
}

/// Sends as often as asked.
pub(super) async fn deliver(
    api: &Api,
    args: &ContentArgs,
    to: Destination<'_>,
) -> Result<ExitCode, Failure> {
    let content = if args.content == "-" {
        stdin()?
    } else {
        args.content.clone()
    };
    let key = args
        .idempotency_key
        .clone()
        .unwrap_or_else(|| Uuid::new_v4().to_string());
    let progress = Progress::new(args.count > 1);
    let began = Instant::now();
    for n in 1..=args.count {
        if let Some(rate) = args.rate {
            sleep_until(began + Duration::from_secs_f64((n - 1) as f64 / rate)).await;
        }
        let content = content.replace("{i}", &n.to_string());
        let message = Message {
            target_user: to.user,
            notification_type: &args.kind,
            content: &content,
            channel: to.channel,
            data: args.data.clone(),
            ttl: args.ttl.map(human),
            collapse_key: to.collapse_key,
            deliver_at: to.deliver_at.map(rfc3339),
        };
        let key = if args.count == 1 {
            key.clone()
        } else {
            format!("{key}-{n}")
        };
        let accepted = match api.accept(&message, &key).await {
            Ok(accepted) => accepted,
            Err(error) => return Err(report(error.into(), args.json)),
        };
        match (args.json, args.count) {
            (true, _) => say(&accepted.answer.to_string())?,
            (false, 1) => say(&described(&accepted))?,
            (false, _) => progress.show(&format!("{n}/{}", args.count)),
        }
    }
    if args.count > 1 && !args.json {
        drop(progress);
        let time = began.elapsed().as_secs_f64();
        say(&format!(
            "{} accepted in {time:.1} s",
            Style::stdout().green(&args.count.to_string())
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A refusal goes to stdout too, for programs that read it.
fn report(failure: Failure, json: bool) -> Failure {
    if let (Failure::Refused(problem), true) = (&failure, json) {
        let text = serde_json::to_string(problem).unwrap_or_default();
        if let Err(error) = say(&text) {
            return error.into();
        }
    }
    failure
}

fn described(accepted: &Accepted) -> String {
    let style = Style::stdout();
    let id = style.dim(&accepted.id);
    let cursor = accepted
        .cursor
        .as_deref()
        .map(|cursor| style.dim(&format!(" at {cursor}")));
    let message = match accepted.message.as_str() {
        "" => "accepted".to_owned(),
        message => shown(message),
    };
    format!(
        "{} {message}\n{id}{}",
        style.green("✓"),
        cursor.unwrap_or_default()
    )
}
