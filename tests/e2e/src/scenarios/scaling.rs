//! Gateways that are added, and the clients that move to them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use tokio::time::sleep;

use super::traffic;
use crate::{command::run, deployment::Deployment, stage::Stage};

const SOON: Duration = Duration::from_secs(15);
const BEFORE: &str = "gateway.replicas=2";
const AFTER: &str = "gateway.replicas=4";
/// What may be needed behind an edge that deals out evenly, as one does that has just been reloaded:
/// each leaves half of what was too much, and from twice the mean to a tenth above it are four.
const CALLS: usize = 5;

pub(super) async fn up(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment_with(&[BEFORE]).await?;
    let title = "gateways added under traffic";
    let (figures, report) = traffic(stage, deployment, title, async |figures| {
        let before = deployment.gateways().await?;
        deployment.upgrade(&[AFTER]).await?;
        let added = deployment.gateways().await?;
        ensure!(added.len() == before.len() + 2, "{added:?}");
        figures.row("users of each gateway", shown(added));
        let began = Instant::now();
        let mut calls = 0;
        while rebalance(deployment).await? {
            calls += 1;
            ensure!(calls <= CALLS, "{:?}", deployment.gateways().await?);
            everyone_back(deployment, stage.sizes.sockets as u64).await?;
        }
        figures.row(
            &format!("after {calls} calls"),
            shown(deployment.gateways().await?),
        );
        figures.row("balanced after", format!("{:.0?}", began.elapsed()));
        Ok(())
    })
    .await?;
    report.no_call_failed()?;
    // Those who have moved are not the next to be asked.
    report.closes_were_planned(1)?;
    Ok(figures)
}

fn shown(gateways: impl IntoIterator<Item = (u64, u64)>) -> String {
    let users = gateways.into_iter().map(|(_, users)| users.to_string());
    users.collect::<Vec<_>>().join(", ")
}

/// Whether there was something to move.
async fn rebalance(deployment: &Deployment) -> Result<bool> {
    let (api, key) = (deployment.rest(), deployment.access.shown("key"));
    let trusted = format!("SSL_CERT_FILE={}", deployment.access.shown("ca.crt"));
    let carillon = crate::program("carillon")?.display().to_string();
    let call = [&trusted, &carillon, "rebalance", "--json", "--api", &api];
    let moving = run("env", &[&call[..], &["--key-file", &key]].concat()).await?;
    Ok(!moving.trim().is_empty())
}

/// Waits until those that were asked have moved.
async fn everyone_back(deployment: &Deployment, everyone: u64) -> Result<()> {
    sleep(deployment.window).await;
    eventually("everyone is back", SOON, async || {
        deployment.has_everyone(everyone).await
    })
    .await
}
