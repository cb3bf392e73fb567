//! `carillon drain`

use std::{process::ExitCode, time::Duration};

use carillon_client::{Api, Error};
use carillon_common::ids::GatewayId;
use clap::Args;
use tokio::time::{Instant, sleep};

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::{duration, human},
    terminal::{Progress, Style, say, shown},
};

/// Between two looks at how many users are left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  carillon drain carillon-gateway-5d8f7c9b4d-abcde --api http://127.0.0.1:8081 --key-file ops.key
  carillon drain 5d8f7c9b4d-abcde --wait
  carillon drain 5d8f7c9b4d-abcde --wait --timeout 5m && kubectl delete pod carillon-gateway-5d8f7c9b4d-abcde

The gateway is no longer ready, so that nobody is sent there any more. For drain.asked_delay (15 s) it
still lets clients in, whether or not any are there: load balancers have to hear of it first. Then it
lets nobody in, and its clients move over drain.window. It stays up, empty and not ready, until it is
ended: there is no way back but a restart. Asking again does no harm.

A pod's gateway is called by the last two parts of the pod's name; either will do. The key needs the
scope `admin`, and `read` as well for --wait. Exit code 1 when there is no such gateway, or when it is
not empty in time.";

/// Ask one gateway to move its clients elsewhere
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Drain {
    /// The gateway, or the pod that it runs in
    #[arg(value_name = "POD_OR_GATEWAY")]
    gateway: String,
    /// Wait until it lets nobody in and nobody is connected there
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    #[command(flatten)]
    api: ApiArgs,
}

impl Drain {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let gateway = ask(&api, &self.gateway).await?;
        let style = Style::stdout();
        let name = style.bold(&shown(&gateway));
        say(&format!(
            "{} {name} is asked to drain; it lets clients in for drain.asked_delay, until load balancers \
             have heard of it",
            style.green("✓")
        ))?;
        if self.wait {
            let took = empty(&api, &gateway, self.timeout).await?;
            let took = human(Duration::from_secs(took.as_secs()));
            say(&format!(
                "{} {name} is empty and lets nobody in, after {took}",
                style.green("✓")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks the gateway of that name, else the one in the pod of that name. Answers with its own name.
async fn ask(api: &Api, name: &str) -> Result<String, Error> {
    let unknown = match api.drain(name).await {
        Err(Error::Refused(problem)) if problem.code == "gateway_unknown" => problem,
        Err(error) => return Err(error),
        Ok(()) => return Ok(name.to_owned()),
    };
    match GatewayId::of_pod(name) {
        Ok(gateway) if gateway.as_str() != name => {
            api.drain(gateway.as_str()).await?;
            Ok(gateway.as_str().to_owned())
        }
        _ => Err(Error::Refused(unknown)),
    }
}

/// Waits until the gateway lets nobody in and has no user, or is gone.
async fn empty(api: &Api, gateway: &str, patience: Duration) -> Result<Duration, Failure> {
    let progress = Progress::new(true);
    let began = Instant::now();
    loop {
        let all = api.gateways().await?;
        let left = all.iter().find(|other| other.id == gateway);
        let Some(left) = left.filter(|it| it.accepting || it.users > 0) else {
            return Ok(began.elapsed());
        };
        let users = left.users;
        let why = match left.accepting {
            true => ", and it still lets clients in, until load balancers have heard of it",
            false => "",
        };
        let waited = human(Duration::from_secs(began.elapsed().as_secs()));
        progress.show(&format!("after {waited} {users} users are there{why}"));
        let time_left = patience.saturating_sub(began.elapsed());
        if time_left.is_zero() {
            return Err(Failure::Failed(format!(
                "after {} {users} users are still on {gateway}{why}; it goes on draining: look again \
                 with `carillon gateways`, or raise --timeout above drain.asked_delay and drain.window",
                human(patience)
            )));
        }
        sleep(LOOK_EVERY.min(time_left)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::dispatcher;

    const UNKNOWN: (u16, &str) = (
        404,
        r#"{"title":"t","status":404,"code":"gateway_unknown","detail":"d"}"#,
    );
    const ASKED: (u16, &str) = (202, r#"{"status":"ok","id":"x"}"#);

    #[tokio::test]
    async fn a_gateway_is_found_by_its_name_and_by_its_pods() {
        let pod = "carillon-gateway-5d8f-abcde";
        let (api, asked) = dispatcher(&[ASKED]).await;
        assert_eq!(ask(&api, "5d8f-abcde").await.unwrap(), "5d8f-abcde");
        assert_eq!(asked.lock()[0][0], "/api/gateways/5d8f-abcde/drain");

        let (api, asked) = dispatcher(&[UNKNOWN, ASKED]).await;
        assert_eq!(ask(&api, pod).await.unwrap(), "5d8f-abcde");
        assert_eq!(asked.lock().len(), 2);

        let (api, asked) = dispatcher(&[UNKNOWN]).await;
        for name in ["5d8f-abcde", pod, "a/b"] {
            let refused = ask(&api, name).await;
            assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        }
        let paths: Vec<_> = asked.lock().iter().map(|it| it[0].clone()).collect();
        assert_eq!(paths.last().unwrap(), "/api/gateways/a%2Fb/drain");
    }

    #[tokio::test]
    async fn it_waits_until_nobody_is_there() {
        const OPEN: (u16, &str) = (
            200,
            r#"{"gateways":[{"id":"a","generation":1,"users":0,"accepting":true,"pod":null}]}"#,
        );
        const FULL: (u16, &str) = (
            200,
            r#"{"gateways":[{"id":"a","generation":1,"users":2,"accepting":false}]}"#,
        );
        const EMPTY: (u16, &str) = (
            200,
            r#"{"gateways":[{"id":"a","generation":1,"users":0,"accepting":false}]}"#,
        );
        let (api, asked) = dispatcher(&[OPEN, FULL, EMPTY]).await;
        empty(&api, "a", Duration::from_secs(60)).await.unwrap();
        assert_eq!(asked.lock().len(), 3);
        let (api, _) = dispatcher(&[(200, r#"{"gateways":[]}"#)]).await;
        empty(&api, "a", Duration::ZERO).await.unwrap();
        let (api, _) = dispatcher(&[FULL]).await;
        let late = empty(&api, "a", Duration::ZERO).await.unwrap_err();
        assert!(
            late.to_string().contains("2 users are still on a;"),
            "{late}"
        );
        let (api, _) = dispatcher(&[OPEN]).await;
        let late = empty(&api, "a", Duration::ZERO).await.unwrap_err();
        let why = "0 users are still on a, and it still lets clients in";
        assert!(late.to_string().contains(why), "{late}");
    }
}
