//! Nodes that are taken away.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use carillon_tests::figures::Figures;

use super::under_load;
use crate::{command::run, stage::Stage};

pub(super) async fn drained(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let redis = deployment.pods.list("redis").await?;
    // The tests' Redis keeps its data on its node.
    let redis = redis.first().context("no Redis")?.node.clone();
    let workers = run(
        "kubectl",
        &[
            "get",
            "nodes",
            "-l",
            "topology.kubernetes.io/zone",
            "-o",
            "name",
        ],
    )
    .await?;
    let workers: Vec<&str> = workers
        .lines()
        .filter_map(|line| line.strip_prefix("node/"))
        .filter(|node| *node != redis)
        .collect();
    let drains = workers.len();
    let (figures, report) = under_load(stage, "nodes drained under traffic", async |figures| {
        for node in workers {
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
    ensure!(drains > 0, "no node to drain");
    report.no_call_failed()?;
    // Who moved off the first node may have moved onto the next one.
    report.closes_were_planned(drains)?;
    Ok(figures)
}
