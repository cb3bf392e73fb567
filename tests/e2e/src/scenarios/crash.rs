//! kill -9.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};

use super::under_load;
use crate::stage::Stage;

const BACK_WITHIN_MS: f64 = 5_000.0;

pub(super) async fn of_a_gateway(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let sockets = stage.sizes.sockets as u64;
    let (figures, report) = under_load(stage, "a gateway killed under traffic", async |figures| {
        let pods = deployment.pods.list("gateway").await?;
        let victim = pods.first().context("no gateway")?;
        deployment.pods.kill(victim).await?;
        let killed = Instant::now();
        eventually("presence is right", Duration::from_secs(30), async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let online = deployment.online().await?;
            ensure!(online == sockets, "{online} online of {sockets}");
            Ok(())
        })
        .await?;
        figures.row("everyone online again", format!("{:.1?}", killed.elapsed()));
        deployment.pods.settled(Duration::from_secs(120)).await
    })
    .await?;
    let away = report.away_ms.as_ref().context("nobody was away")?;
    ensure!(
        away.p99_ms < BACK_WITHIN_MS,
        "clients were away for {:.0} ms",
        away.p99_ms
    );
    // One pod's sockets broke; the others' did not.
    let broken: usize = report.closes.values().sum();
    ensure!(broken < report.connections, "{broken} sockets broke");
    Ok(figures)
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
        "a call took {:.0} ms, retries included",
        rest.max_ms
    );
    Ok(figures)
}
