//! `carillon top`

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use carillon_common::notification::rfc3339;
use clap::Args;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    failure::Failure,
    input::{duration, now_ms, settings},
    terminal::{Style, say},
    top::{Exposition, Service, Target, addresses, drawn, figures, pods},
};

const EXAMPLES: &str = "\
Examples:
  carillon top
  carillon top 10.0.0.11:9090 10.0.0.12:9090 10.0.0.11:9091
  carillon top --kubernetes --namespace carillon
  carillon top --once --json 127.0.0.1:9090 | jq '.services[].gateway.connections'

Reads /metrics of each process twice, --every apart, and shows what happened in between; needs no key.
From elsewhere than the pods' own network:
  kubectl port-forward pod/carillon-gateway-5d8f7c9b4d-abcde 9191:9090 &
  carillon top 127.0.0.1:9191

BROKEN (1006), SLOW (4102) and REFUSED are connections a second; SENT is what was written to sockets,
P50 and P99 of a gateway the time from acceptance to there, of a dispatcher that of requests. –: nothing
happened. CPU is in cores. With --once: exit code 1 when some do not answer, 3 when none does.";

/// Show all gateways and dispatchers, their rates, latencies and errors, live
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Top {
    /// Admin ports [default: 127.0.0.1:9090, standalone's]
    #[arg(value_name = "HOST:PORT")]
    addresses: Vec<String>,
    /// Find the pods in their Kubernetes cluster, as `carillon doctor` does, and read them through its API
    #[arg(long, conflicts_with = "addresses")]
    kubernetes: bool,
    /// Their namespace [default: kubernetes.namespace, else the service account's or the kubeconfig's]
    #[arg(long, requires = "kubernetes")]
    namespace: Option<String>,
    /// The services' configuration, for kubernetes.gateway_selector
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,
    /// Between two readings
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    every: Duration,
    /// Show one table and end
    #[arg(long)]
    once: bool,
    /// Print one JSON object for each table
    #[arg(long)]
    json: bool,
}

fn interval(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        time if time < Duration::from_millis(100) => Err("must be 100ms or more".to_owned()),
        time => Ok(time),
    }
}

/// What every target said, and when.
struct Reading {
    at: Instant,
    said: Vec<Result<Exposition, String>>,
}

impl Reading {
    async fn of(targets: &[Target]) -> Self {
        let at = Instant::now();
        let said = join_all(targets.iter().map(Target::read)).await;
        Self { at, said }
    }
}

impl Top {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut targets = self.targets().await?;
        let mut before = Reading::of(&targets).await;
        loop {
            sleep_until(before.at + self.every).await;
            let after = Reading::of(&targets).await;
            let (services, away) = compared(&targets, &before, &after);
            self.show(&services, &away)?;
            if self.once {
                return Ok(ExitCode::from(match (services.len(), away.len()) {
                    (_, 0) => 0,
                    (0, _) => 3,
                    _ => 1,
                }));
            }
            before = after;
            // Pods come and go; who is new is compared from the next reading on.
            if self.kubernetes {
                let now = self.targets().await?;
                if !now
                    .iter()
                    .map(|it| &it.name)
                    .eq(targets.iter().map(|it| &it.name))
                {
                    targets = now;
                    before = Reading::of(&targets).await;
                }
            }
        }
    }

    async fn targets(&self) -> Result<Vec<Target>, Failure> {
        if !self.kubernetes {
            let own = ["127.0.0.1:9090".to_owned()];
            return match self.addresses.is_empty() {
                true => addresses(&own),
                false => addresses(&self.addresses),
            };
        }
        let found = pods(
            &settings(self.config.as_deref())?,
            self.namespace.as_deref(),
        )
        .await?;
        if found.is_empty() {
            let told = "no pod of Carillon is there: name its --namespace, or give kubernetes.gateway_selector \
                        with --config";
            return Err(Failure::Failed(told.to_owned()));
        }
        Ok(found)
    }

    fn show(&self, services: &[Service], away: &[(String, String)]) -> Result<(), Failure> {
        let now = rfc3339(now_ms());
        if self.json {
            let away = away
                .iter()
                .map(|(name, why)| json!({"instance": name, "why": why}));
            let object = json!({
                "at": now,
                "services": services,
                "away": away.collect::<Vec<_>>(),
            });
            say(&object.to_string())?;
            return Ok(());
        }
        let style = Style::stdout();
        let mut lines = drawn(services, away, style);
        if !self.once {
            lines.insert(
                0,
                style.dim(&format!("{now}, every {:?}; Ctrl-C ends it", self.every)),
            );
            if io::stdout().is_terminal() {
                // To the top, and what was there is written over.
                io::stdout().write_all(b"\x1b[H\x1b[2J")?;
            }
        }
        say(&lines.join("\n"))?;
        Ok(())
    }
}

/// Who can be shown, and who cannot and why. One that has only now answered can be next time.
fn compared(
    targets: &[Target],
    before: &Reading,
    after: &Reading,
) -> (Vec<Service>, Vec<(String, String)>) {
    let (mut services, mut away) = (Vec::new(), Vec::new());
    let apart = after.at - before.at;
    let pairs = before.said.iter().zip(&after.said);
    for (target, pair) in targets.iter().zip(pairs) {
        match pair {
            (Ok(then), Ok(now)) => services.push(figures(&target.name, then, now, apart)),
            (Err(_), Ok(_)) => away.push((target.name.clone(), "has just answered".to_owned())),
            (_, Err(why)) => away.push((target.name.clone(), why.clone())),
        }
    }
    (services, away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_answer_is_named_with_the_reason() {
        let given = ["a:1", "b:1", "c:1"].map(str::to_owned);
        let targets = addresses(&given).unwrap();
        let (at, build) = (Instant::now(), "carillon_build_info 1");
        let answer = || Ok(Exposition::parse(build));
        let no = || Err("no".to_owned());
        let before = Reading {
            at,
            said: vec![answer(), no(), answer()],
        };
        let after = Reading {
            at: at + Duration::from_secs(1),
            said: vec![answer(), answer(), no()],
        };
        let (services, away) = compared(&targets, &before, &after);
        assert_eq!(services.len(), 1);
        assert_eq!(services[0].instance, "a:1");
        let told: Vec<_> = away.iter().map(|(name, why)| (&**name, &**why)).collect();
        assert_eq!(told, [("b:1", "has just answered"), ("c:1", "no")]);
    }

    #[test]
    fn readings_are_not_too_close() {
        assert!(interval("10ms").is_err() && interval("1s").is_ok());
    }
}
