//! Nodes that are taken away.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use carillon_tests::figures::Figures;

use super::under_load;
use crate::{cluster::Cluster, command::run, stage::Stage};

pub(super) async fn drained(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let redis = deployment.pods.list("redis").await?;
    // The tests' Redis keeps its data on its node.
    let redis = redis.first().context("no Redis")?.node.clone();
    let mut workers = Cluster::workers().await?;
    workers.retain(|node| *node != redis);
    ensure!(!workers.is_empty(), "no node to drain");
    let mut moved = 0;
    let (mut figures, report) = under_load(stage, "nodes drained under traffic", async |figures| {
        for node in &workers {
            let gateways = deployment.pods.list("gateway").await?;
            moved += gateways.iter().filter(|pod| pod.node == *node).count();
            let began = Instant::now();
            let words = [
                "drain",
                node,
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                "--timeout=180s",
            ];
            let drained = run("kubectl", &words).await;
            run("kubectl", &["uncordon", node]).await?;
            drained?;
            figures.row(
                &format!("{node} drained"),
                format!("{:.0?}", began.elapsed()),
            );
            deployment.rolled_out().await?;
        }
        Ok(())
    })
    .await?;
    report.no_call_failed()?;
    // Pods leave one by one, and clients move to those that are still there: in the worst case each
    // that left had the same client.
    report.closes_were_planned(moved)?;
    figures.row("gateways that moved", moved);
    Ok(figures)
}
