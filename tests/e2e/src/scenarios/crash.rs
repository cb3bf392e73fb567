//! Ends without a goodbye.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};

use super::under_load;
use crate::{deployment::Deployment, pods::Seen, stage::Stage};

const BACK_WITHIN_MS: f64 = 5_000.0;
/// The exit code of what was killed (128 + 9).
const SIGKILL: i32 = 137;

pub(super) async fn of_a_gateway(stage: &Stage) -> Result<Figures> {
    ends(
        stage,
        "a gateway killed under traffic",
        async |deployment, pod| deployment.pods.kill(pod).await,
    )
    .await
}

pub(super) async fn of_memory(stage: &Stage) -> Result<Figures> {
    ends(
        stage,
        "a gateway out of memory under traffic",
        async |deployment, pod| {
            deployment.pods.exhaust(pod).await?;
            let code = deployment.pods.end_of(pod).await?;
            ensure!(code == SIGKILL, "it ended otherwise: {code}");
            Ok(())
        },
    )
    .await
}

/// A gateway ends without a goodbye.
async fn ends(
    stage: &Stage,
    title: &str,
    end: impl AsyncFnOnce(&Deployment, &Seen) -> Result<()>,
) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (figures, report) = under_load(stage, title, async |figures| {
        let before = deployment.entrance.gateways().await?;
        let pods = deployment.pods.list("gateway").await?;
        // The kubelet lets one that has ended before wait, and an edge that goes by the fewest
        // connections sends everyone to it until it is seen to be down.
        let victim = pods.iter().min_by_key(|pod| pod.restarts);
        end(deployment, victim.context("no gateway")?).await?;
        let ended = Instant::now();
        presence_is_right(deployment, &before, stage.sizes.sockets as u64).await?;
        figures.row("presence right again", format!("{:.1?}", ended.elapsed()));
        deployment.pods.settled(Duration::from_secs(120)).await
    })
    .await?;
    let away = report.away_ms.as_ref().context("nobody was away")?;
    ensure!(
        away.p99_ms < BACK_WITHIN_MS,
        "clients were away for {:.0} ms: {report:?}",
        away.p99_ms
    );
    // One pod's sockets broke; the others' did not.
    let broken: usize = report.closes.values().sum();
    ensure!(broken < report.connections, "all sockets broke: {report:?}");
    Ok(figures)
}

/// Waits until one of these generations is gone, the users that it had are with others, and everyone
/// is counted once.
async fn presence_is_right(
    deployment: &Deployment,
    before: &BTreeMap<u64, u64>,
    everyone: u64,
) -> Result<()> {
    eventually("presence is right", Duration::from_secs(30), async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = deployment.entrance.gateways().await?;
        let gone = before
            .keys()
            .any(|generation| !now.contains_key(generation));
        ensure!(gone, "the dead gateway's lease still holds: {now:?}");
        deployment.entrance.has_everyone(everyone).await?;
        let online = deployment.entrance.online().await?;
        ensure!(online == everyone, "{online} online of {everyone}");
        Ok(())
    })
    .await
}

pub(super) async fn of_a_dispatcher(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (figures, report) = under_load(stage, "a dispatcher killed under traffic", async |_| {
        let pods = deployment.pods.list("dispatcher").await?;
        let victim = pods.first().context("no dispatcher")?;
        deployment.pods.kill(victim).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        deployment.pods.settled(Duration::from_secs(120)).await
    })
    .await?;
    ensure!(
        report.closes.is_empty(),
        "sockets closed: {:?}",
        report.closes
    );
    let rest = report.rest_ms.as_ref().context("no call")?;
    ensure!(
        rest.max_ms < BACK_WITHIN_MS,
        "a call took {:.0} ms, retries included: {report:?}",
        rest.max_ms
    );
    Ok(figures)
}
