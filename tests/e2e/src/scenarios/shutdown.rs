//! What a pod does between its deletion and its end.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use super::under_load;
use crate::{deployment::Deployment, pods::Seen, stage::Stage};

/// preStop of the tests' values; the process has its SIGTERM then.
const DELAY: Duration = Duration::from_secs(5);

/// A way to a pod's ports that no Service and no readiness stands in.
struct Forward {
    _running: Child,
}

impl Forward {
    async fn to(deployment: &Deployment, pod: &str) -> Result<Self> {
        let child = Command::new("kubectl")
            .args(["--namespace", &deployment.namespace, "port-forward"])
            .args([&format!("pod/{pod}"), "19090:9090", "18080:8080"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        eventually("the way to the pod", Duration::from_secs(10), async || {
            TcpStream::connect("127.0.0.1:19090").await?;
            Ok(())
        })
        .await?;
        Ok(Self { _running: child })
    }
}

async fn readiness() -> Result<u16> {
    let answer = reqwest::get("http://127.0.0.1:19090/readyz").await?;
    Ok(answer.status().as_u16())
}

/// Whether a socket is still accepted: an upgrade without a token is answered and closed.
async fn accepts() -> bool {
    let request = reqwest::Client::new()
        .get("http://127.0.0.1:18080/ws/notifications")
        .timeout(Duration::from_secs(2));
    request
        .send()
        .await
        .is_ok_and(|answer| answer.status() == 426)
}

/// The exit code of a pod's container and why it ended, as soon as that is known.
async fn ended(deployment: &Deployment, pod: &Seen) -> Result<Option<(i32, String)>> {
    let mut last = None;
    eventually("the pod is gone", Duration::from_secs(120), async || {
        let found = deployment.pods.get(&pod.name).await?;
        let status = found.as_ref().and_then(|pod| pod.status.clone());
        let containers = status
            .and_then(|it| it.container_statuses)
            .unwrap_or_default();
        let state = containers.first().and_then(|it| it.state.clone());
        if let Some(terminated) = state.and_then(|state| state.terminated) {
            last = Some((terminated.exit_code, terminated.reason.unwrap_or_default()));
        }
        ensure!(found.is_none(), "still there");
        Ok(())
    })
    .await?;
    Ok(last)
}

pub(super) async fn timeline(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (figures, report) = under_load(stage, "a gateway's end, under traffic", async |figures| {
        let pods = deployment.pods.list("gateway").await?;
        let pod = pods.first().context("no gateway")?;
        let grace = deployment
            .pods
            .get(&pod.name)
            .await?
            .and_then(|pod| pod.spec);
        let grace = grace
            .and_then(|spec| spec.termination_grace_period_seconds)
            .context("a grace period")?;
        let forward = Forward::to(deployment, &pod.name).await?;
        ensure!(
            readiness().await? == 200 && accepts().await,
            "not ready to begin with"
        );
        deployment.pods.delete(&pod.name).await?;
        let deleted = Instant::now();

        while deleted.elapsed() < DELAY - Duration::from_secs(1) {
            ensure!(
                readiness().await? == 200,
                "not ready after {:?}",
                deleted.elapsed()
            );
            ensure!(
                accepts().await,
                "accepts nothing after {:?}",
                deleted.elapsed()
            );
            sleep(Duration::from_millis(250)).await;
        }
        figures.row(
            "ready and accepting for",
            format!("{:.1?}", deleted.elapsed()),
        );
        let draining = eventually("readiness says 503", DELAY * 2, async || {
            ensure!(readiness().await? == 503, "still ready");
            Ok(deleted.elapsed())
        });
        figures.row("not ready after", format!("{:.1?}", draining.await?));
        drop(forward);
        let end = ended(deployment, pod).await?;
        let took = deleted.elapsed();
        figures.row("gone after", format!("{took:.1?} of a grace of {grace} s"));
        figures.row("exit", format!("{end:?}"));
        let (code, reason) = end.context("its end was not seen")?;
        ensure!(
            (code, reason.as_str()) == (0, "Completed"),
            "ended with {code} {reason}"
        );
        ensure!(
            took < Duration::from_secs(u64::try_from(grace)?),
            "the grace period ended first"
        );
        Ok(())
    })
    .await?;
    report.no_call_failed()?;
    report.closes_were_planned(1)?;
    Ok(figures)
}
