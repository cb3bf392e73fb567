//! `carillon bench`

use std::{ops::RangeInclusive, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};

use crate::{
    args::{ApiArgs, gateway_url},
    bench::{ConnectPlan, LoadPlan, connect, run},
    failure::Failure,
    input::{SigningArgs, duration, rate},
    terminal::{Style, say},
};

const LEDGER_EXAMPLES: &str = "\
Examples:
  carillon bench ledger --secret-file jwt.secret --key-file bench.key
  carillon bench ledger --users 1000 --devices 2 --rate 2000 --duration 1m --broadcast-every 100 \\
    --url wss://ws.example.com --api https://api.example.com --secret-file s --key-file k

Every id that was accepted must reach each device of its user once and in order. Exit code 1 when one
did not. Ctrl-C ends the sending; what was accepted until then is judged all the same. For TLS with a
certificate authority of your own set SSL_CERT_FILE.";

const CHURN_EXAMPLES: &str = "\
Examples:
  carillon bench churn --users 200 --sends 20000 --secret-file jwt.secret --key-file bench.key
  carillon bench churn --stay 5ms..200ms --url ws://a:8080 --url ws://b:8080 \\
    --secret-file jwt.secret --key-file bench.key

As `ledger`, while every connection is cut again and again and comes back, at a gateway chosen by
chance. The gateways' admission (`gateway.handshake_rate`) must allow it, or it is what you measure.";

const FANOUT_EXAMPLES: &str = "\
Examples:
  carillon bench fanout --users 5000 --rate 10 --secret-file jwt.secret --key-file bench.key

Everyone joins one channel; each notification to it must reach all.";

const LATENCY_EXAMPLES: &str = "\
Examples:
  carillon bench latency --rate 500 --duration 30s --secret-file jwt.secret --key-file bench.key

Times count from the moment at which a send was due, not from when it got its turn: a service that
stalls cannot hide it (no coordinated omission).";

const CONNECT_EXAMPLES: &str = "\
Examples:
  carillon bench connect --connections 10000 --rate 500 --hold 1m --secret-file jwt.secret

Times run from the moment at which a connection was due to its welcome. Exit code 1 when one was
refused or lost.";

/// Load a deployment, and keep a ledger of every notification
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Send to connected users and check every notification
    #[command(after_help = LEDGER_EXAMPLES)]
    Ledger(LoadArgs),
    /// The same while every connection comes and goes
    #[command(after_help = CHURN_EXAMPLES)]
    Churn {
        #[command(flatten)]
        load: LoadArgs,
        /// How long a connection lasts, from..to
        #[arg(long, default_value = "5ms..200ms", value_parser = stay)]
        stay: RangeInclusive<Duration>,
    },
    /// Send to one channel that all have joined
    #[command(after_help = FANOUT_EXAMPLES)]
    Fanout(LoadArgs),
    /// Open connections on schedule and keep them
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// Measure the time from a send to its arrival
    #[command(after_help = LATENCY_EXAMPLES)]
    Latency(LoadArgs),
}

/// The gateways and who may connect to them.
#[derive(Debug, Args)]
pub(crate) struct SocketArgs {
    /// A gateway; of several, one by chance for each connection
    #[arg(
        long,
        value_name = "URL",
        env = "CARILLON_URL",
        default_value = "ws://127.0.0.1:8080",
        value_delimiter = ','
    )]
    url: Vec<String>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A load with a ledger.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// Users, each of a name of its own
    #[arg(long, default_value_t = 200, value_parser = positive)]
    users: usize,
    /// Devices of each user
    #[arg(long, default_value_t = 1, value_parser = positive)]
    devices: usize,
    /// Sends a second [default: 200; fanout: 10]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How long to send
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How many to send, instead of how long
    #[arg(long, conflicts_with = "duration")]
    sends: Option<u64>,
    /// Every so many-th send goes to everyone; 0: none
    #[arg(long, value_name = "N", default_value_t = 0)]
    broadcast_every: u64,
    /// Bytes of content
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How long to wait for the last ones
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    settle: Duration,
}

/// Connections alone.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// How many, each of a user of its own
    #[arg(long, default_value_t = 1000, value_parser = positive)]
    connections: usize,
    /// Connections a second; a gateway admits `gateway.handshake_rate`
    #[arg(long, default_value = "150", value_parser = rate)]
    rate: f64,
    /// How long they are kept after the last one
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    hold: Duration,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
        _ => Err("must be a number from 1 to 1000000".to_owned()),
    }
}

/// `5ms..200ms`
fn stay(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (from, to) = text
        .split_once("..")
        .ok_or("write from..to, such as 5ms..200ms")?;
    let (from, to) = (duration(from)?, duration(to)?);
    if from <= to {
        Ok(from..=to)
    } else {
        Err(format!("{text} ends before it begins"))
    }
}

impl Bench {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Ledger(load) => load.run("ledger", None).await,
            Self::Churn { load, stay } => load.run("churn", Some(stay)).await,
            Self::Fanout(load) => load.run("fanout", None).await,
            Self::Latency(load) => load.run("latency", None).await,
            Self::Connect(args) => args.run().await,
        }
    }
}

impl LoadArgs {
    async fn run(
        self,
        name: &'static str,
        stay: Option<RangeInclusive<Duration>>,
    ) -> Result<ExitCode, Failure> {
        let fanout = name == "fanout";
        let rate = self.rate.unwrap_or(if fanout { 10.0 } else { 200.0 });
        let for_time = (rate * self.duration.as_secs_f64()).ceil().max(1.0) as u64;
        let json = self.socket.json;
        let report = run(LoadPlan {
            name,
            urls: urls(&self.socket.url)?,
            api: self.api.client()?,
            issuer: self.socket.signing.issuer()?,
            users: self.users,
            devices: self.devices,
            rate,
            sends: self.sends.unwrap_or(for_time),
            fanout,
            broadcast_every: self.broadcast_every,
            stay,
            size: self.size,
            settle: self.settle,
            progress: !json,
        })
        .await?;
        say(&match json {
            true => report.json().to_string(),
            false => report.table(Style::stdout()),
        })?;
        Ok(ExitCode::from(u8::from(!report.kept)))
    }
}

impl ConnectArgs {
    async fn run(self) -> Result<ExitCode, Failure> {
        let json = self.socket.json;
        let connected = connect(ConnectPlan {
            urls: urls(&self.socket.url)?,
            issuer: self.socket.signing.issuer()?,
            connections: self.connections,
            rate: self.rate,
            hold: self.hold,
            progress: !json,
        })
        .await?;
        say(&match json {
            true => connected.json().to_string(),
            false => connected.table(Style::stdout()),
        })?;
        Ok(ExitCode::from(u8::from(!connected.is_whole())))
    }
}

fn urls(urls: &[String]) -> Result<Vec<url::Url>, Failure> {
    urls.iter().map(|url| gateway_url(url)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_is_a_range() {
        let millis = Duration::from_millis;
        assert_eq!(stay("5ms..200ms"), Ok(millis(5)..=millis(200)));
        for wrong in ["5ms", "2s..1s", "1..2"] {
            assert!(stay(wrong).is_err(), "{wrong}");
        }
    }
}
