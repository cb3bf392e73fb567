//! Changes of mind.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::figures::Figures;
use tokio::time::sleep;

use super::{rollout, under_load};
use crate::{deployment::RELEASE, stage::Stage};

pub(super) async fn in_the_middle(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let before = deployment.pods.identities("gateway").await?;
    let (mut figures, report) = under_load(stage, "a rollback in the middle", async |figures| {
        deployment.start_upgrade(&rollout::NEXT).await?;
        // The new pods are there, and none of the old ones has left.
        sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        deployment.helm(&["rollback", RELEASE]).await?;
        deployment.rolled_out().await?;
        figures.row("rolled back", format!("{:.0?}", began.elapsed()));
        Ok(())
    })
    .await?;
    let after = deployment.pods.identities("gateway").await?;
    figures.row(
        "old gateways that stayed",
        format!("{} of {}", before.len(), after.len()),
    );
    ensure!(
        before == after,
        "old pods were replaced: {before:?}, then {after:?}"
    );
    report.no_call_failed()?;
    report.closes_were_planned(1)?;
    Ok(figures)
}

pub(super) async fn of_a_bad_image(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let before = deployment.pods.identities("gateway").await?;
    let (mut figures, report) = under_load(stage, "an image that does not exist", async |_| {
        let settings = ["gateway.image.tag=no-such-image"];
        let flags = ["--rollback-on-failure", "--timeout", "15s"];
        let upgraded = deployment.install(&settings, &flags).await;
        ensure!(upgraded.is_err(), "the upgrade was accepted");
        deployment.rolled_out().await
    })
    .await?;
    let after = deployment.pods.identities("gateway").await?;
    ensure!(
        before == after,
        "pods were replaced: {before:?}, then {after:?}"
    );
    let history = deployment.helm(&["status", RELEASE]).await?;
    ensure!(history.contains("STATUS: deployed"), "{history}");
    ensure!(
        report.closes.is_empty(),
        "sockets closed: {:?}",
        report.closes
    );
    report.no_call_failed()?;
    figures.row("gateways that stayed", after.len());
    Ok(figures)
}
