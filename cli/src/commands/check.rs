//! `carillon check`

use std::{process::ExitCode, time::Duration};

use carillon_client::{Api, Event, Follower, Message, Target, tls};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    args::{ApiArgs, TokenArgs, gateway_url},
    failure::Failure,
    input::{duration, human},
    terminal::{Style, say, shown},
};

/// What the notification of a check is called.
const KIND: &str = "carillon.check";
/// A check that failed leaves nothing in the inbox for longer.
const TTL: &str = "1m";

const EXAMPLES: &str = "\
Examples:
  carillon check --url wss://push.example.com --api https://api.example.com --token-file check.jwt --key-file check.key
  carillon check --url ws://carillon-gateway:8080 --api http://carillon-dispatcher:8081 --timeout 10s --json

Connects as the token's user, sends this user a notification over REST and waits for it, once round
the whole deployment. Give the check a user of its own: it acknowledges what it reads. The key needs
the scope `send`.
Exit code 0: it came; 1: it did not come in time, or was refused; 3: gateway or dispatcher cannot be
reached.";

/// Send a notification once round the deployment
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// The gateway, or what stands before several
    #[arg(
        long,
        value_name = "URL",
        env = "CARILLON_URL",
        default_value = "ws://127.0.0.1:8080"
    )]
    url: String,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// How long it may take, connecting included
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How a check went.
#[derive(Debug, PartialEq)]
struct Round {
    user: String,
    id: String,
    connected: Duration,
    accepted: Duration,
    /// From the call to the notification.
    arrived: Duration,
}

/// How far it has come.
#[derive(Debug)]
enum Stage {
    Connecting,
    /// The last words of the network, where there were any.
    Away(String),
    Sending,
    Waiting,
}

impl Check {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let target = Target {
            urls: vec![gateway_url(&self.url)?],
            token: self.token.source()?,
            device: None,
            tls: tls::client(),
        };
        let api = self.api.client()?;
        let mut stage = Stage::Connecting;
        let round = match timeout(self.timeout, go_round(target, &api, &mut stage)).await {
            Ok(round) => round?,
            Err(_) => return Err(late(&stage, &self.url, &human(self.timeout))),
        };
        say(&match self.json {
            true => object(&round).to_string(),
            false => line(&round, Style::stdout()),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn go_round(target: Target, api: &Api, stage: &mut Stage) -> Result<Round, Failure> {
    let mut follower = Follower::new(target, None, &[]).patient();
    let began = Instant::now();
    let mut sent: Option<(Instant, Round)> = None;
    loop {
        match follower.next().await? {
            // After an interruption the notification comes with the inbox.
            Event::Connected { .. } if sent.is_some() => *stage = Stage::Waiting,
            Event::Connected { user } => {
                *stage = Stage::Sending;
                let connected = began.elapsed();
                let called = Instant::now();
                let message = Message {
                    target_user: Some(&user),
                    notification_type: KIND,
                    content: "sent by carillon check",
                    ttl: Some(TTL.to_owned()),
                    ..Message::default()
                };
                let key = Uuid::new_v4().to_string();
                let answer = api.accept(&message, &key).await?;
                *stage = Stage::Waiting;
                let round = Round {
                    user,
                    id: answer.id,
                    connected,
                    accepted: called.elapsed(),
                    arrived: Duration::ZERO,
                };
                sent = Some((called, round));
            }
            Event::Notification(notification) => {
                follower.handled(&notification).await;
                if let Some((called, round)) = &mut sent
                    && notification.id == round.id
                {
                    round.arrived = called.elapsed();
                    follower.close().await;
                    return sent
                        .map(|(_, round)| round)
                        .ok_or_else(|| Failure::Failed("nothing was sent".to_owned()));
                }
            }
            Event::Disconnected { why, .. } if sent.is_none() => *stage = Stage::Away(why),
            _ => {}
        }
    }
}

/// What was missing when the time was over.
fn late(stage: &Stage, url: &str, time: &str) -> Failure {
    match stage {
        Stage::Connecting => Failure::Connection(format!("{url} did not answer within {time}")),
        Stage::Away(why) => Failure::Connection(format!(
            "{url} could not be reached within {time}: {}",
            shown(why)
        )),
        Stage::Sending => Failure::Connection(format!(
            "the dispatcher did not accept a notification within {time}"
        )),
        Stage::Waiting => Failure::Failed(format!(
            "a notification was accepted, and did not come within {time}: look at the gateways' \
             logs and at carillon doctor"
        )),
    }
}

fn line(round: &Round, style: Style) -> String {
    let times = format!(
        "connected in {}, accepted in {}",
        millis(round.connected),
        millis(round.accepted)
    );
    format!(
        "{} {} had it after {} {}",
        style.green("✓"),
        shown(&round.user),
        style.bold(&millis(round.arrived)),
        style.dim(&format!("({times})"))
    )
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn object(round: &Round) -> serde_json::Value {
    let millis = |time: Duration| time.as_micros() as f64 / 1e3;
    json!({
        "user": round.user,
        "id": round.id,
        "connect_ms": millis(round.connected),
        "accept_ms": millis(round.accepted),
        "round_trip_ms": millis(round.arrived),
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use carillon_client::TokenSource;
    use carillon_common::{http::listen, process::Shutdown, settings::Settings};

    use super::*;
    use crate::{commands::Services, dev::Dev, input::now_ms};

    /// Both services in this process, and who checks them.
    async fn started(end: &Shutdown) -> (String, Target, Api) {
        let mut settings = Settings::default();
        let dev = Dev::prepare(&mut settings);
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (listener, admin_listener) = (listen(any).unwrap(), listen(any).unwrap());
        let address = listener.local_addr().unwrap();
        let services = Services::of(settings).await;
        tokio::spawn(services.run(listener, admin_listener, end.clone()));
        let url = format!("ws://{address}");
        let now = now_ms();
        let token = dev.token("alice", now, now + 3_600_000).unwrap();
        let target = Target {
            urls: vec![gateway_url(&url).unwrap()],
            token: TokenSource::fixed(token),
            device: None,
            tls: tls::client(),
        };
        let patience = Duration::from_secs(5);
        let api = Api::new(&format!("http://{address}"), dev.key, patience).unwrap();
        (url, target, api)
    }

    #[tokio::test]
    async fn a_notification_goes_round_and_leaves_nothing() {
        let end = Shutdown::new();
        let (_, target, api) = started(&end).await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            let mut stage = Stage::Connecting;
            let round = go_round(target.clone(), &api, &mut stage).await.unwrap();
            assert_eq!(round.user, "alice");
            assert!(round.arrived > Duration::ZERO);
            ids.push(round.id);
        }
        assert_ne!(ids[0], ids[1]);
        // What was read is acknowledged: nothing is waiting for the next one.
        let mut follower = Follower::new(target, None, &[]);
        assert!(matches!(follower.next().await, Ok(Event::Connected { .. })));
        let more = timeout(Duration::from_millis(300), follower.next()).await;
        assert!(more.is_err(), "{more:?}");
        end.begin();
    }

    #[tokio::test]
    async fn what_is_missing_is_told() {
        let end = Shutdown::new();
        let (_, target, api) = started(&end).await;
        let mut stage = Stage::Connecting;
        let stranger = Target {
            token: TokenSource::fixed("a.b.c"),
            ..target.clone()
        };
        let refused = go_round(stranger, &api, &mut stage).await.unwrap_err();
        assert!(!matches!(refused, Failure::OutputClosed), "{refused}");

        let nowhere = Target {
            urls: vec![gateway_url("ws://127.0.0.1:1").unwrap()],
            ..target
        };
        let mut stage = Stage::Connecting;
        let within = Duration::from_millis(300);
        let round = timeout(within, go_round(nowhere, &api, &mut stage)).await;
        assert!(round.is_err(), "it goes on trying");
        let told = late(&stage, "ws://127.0.0.1:1", "300ms");
        assert!(matches!(told, Failure::Connection(_)), "{told}");
        assert!(told.to_string().contains("could not be reached"), "{told}");
        assert!(matches!(late(&Stage::Waiting, "", ""), Failure::Failed(_)));
        end.begin();
    }
}
