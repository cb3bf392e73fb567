//! Redis goes and comes back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};

use super::traffic;
use crate::{cluster::file, deployment::Deployment, load::Report, stage::Stage};

/// Failovers in a row.
const FAILOVERS: usize = 5;
/// So that a kill loses nothing. Set on the running server: another pod of it would begin empty, and every
/// client would rightly be told.
const DURABLE: [&str; 4] = ["config", "set", "appendfsync", "always"];

pub(super) fn nothing_closed(report: &Report) -> Result<()> {
    ensure!(
        report.closes.is_empty(),
        "sockets closed: {:?}",
        report.closes
    );
    Ok(())
}

pub(super) async fn restart(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    deployment.redis_cli(&DURABLE).await?;
    let before = deployment.pods.identities("gateway").await?;
    let title = "Redis killed under traffic";
    let (figures, report) = traffic(&deployment.entrance, stage.sizes, title, async |figures| {
        for _ in 0..2 {
            let redis = deployment.pods.list("redis").await?;
            let redis = redis.first().context("no Redis")?;
            deployment.pods.kill(redis).await?;
            let killed = Instant::now();
            deployment
                .entrance
                .answers(Duration::from_secs(120))
                .await?;
            figures.row("answering again after", format!("{:.1?}", killed.elapsed()));
            deployment.redis_cli(&DURABLE).await?;
            let gateways = deployment.pods.list("gateway").await?;
            ensure!(
                gateways.iter().all(|pod| pod.ready),
                "gateways are not ready: {gateways:?}"
            );
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok(())
    })
    .await?;
    nothing_closed(&report)?;
    ensure!(
        deployment.pods.identities("gateway").await? == before,
        "gateways restarted"
    );
    Ok(figures)
}

pub(super) async fn sentinel(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let manifest = file("manifests/sentinel.yaml").display().to_string();
    deployment.kubectl(&["apply", "-f", &manifest]).await?;
    deployment
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod",
            "-l",
            "app=sentinel",
            "--timeout=120s",
        ])
        .await?;
    let result = fail_over(stage, deployment).await;
    deployment.upgrade(&[]).await?;
    deployment
        .kubectl(&["delete", "-f", &manifest, "--wait=false"])
        .await?;
    result
}

async fn fail_over(stage: &Stage, deployment: &Deployment) -> Result<Figures> {
    let nodes = (0..3)
        .map(|n| format!("sentinel-{n}.sentinel:26379"))
        .collect::<Vec<_>>()
        .join(",");
    let nodes = format!("redis.sentinel.nodes={{{nodes}}}");
    deployment.upgrade(&["redis.mode=sentinel", &nodes]).await?;
    let title = "Sentinel failovers under traffic";
    let (figures, report) = traffic(&deployment.entrance, stage.sizes, title, async |figures| {
        for _ in 0..FAILOVERS {
            let primary = primary(deployment).await?;
            let pods = deployment.pods.labelled("app=valkey").await?;
            let victim = pods.iter().find(|pod| primary.starts_with(&pod.name));
            deployment
                .pods
                .kill(victim.context("the primary's pod")?)
                .await?;
            let killed = Instant::now();
            eventually("another primary", Duration::from_secs(60), async || {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let now = self::primary(deployment).await?;
                ensure!(now != primary, "still {now}");
                Ok(())
            })
            .await?;
            deployment.entrance.answers(Duration::from_secs(60)).await?;
            let after = killed.elapsed();
            replicas_follow(deployment).await?;
            figures.row("failed over after", format!("{after:.1?}"));
        }
        Ok(())
    })
    .await?;
    nothing_closed(&report)?;
    Ok(figures)
}

/// Waits until the primary has two replicas again: one that is killed before takes the only copy of
/// what it accepted with it.
async fn replicas_follow(deployment: &Deployment) -> Result<()> {
    let within = Duration::from_secs(120);
    eventually("two replicas follow", within, async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let primary = primary(deployment).await?;
        let (pod, _) = primary.split_once('.').context("not a pod's name")?;
        let words = ["exec", pod, "--", "redis-cli", "info", "replication"];
        let view = deployment.kubectl(&words).await?;
        let follow = view.lines().filter(|line| line.contains("state=online"));
        ensure!(follow.count() == 2, "{view}");
        Ok(())
    })
    .await
}

/// The primary's host name, as the sentinels have it.
async fn primary(deployment: &Deployment) -> Result<String> {
    let words = [
        "exec",
        "sentinel-0",
        "--",
        "redis-cli",
        "-p",
        "26379",
        "sentinel",
        "get-master-addr-by-name",
        "mymaster",
    ];
    let answer = deployment.kubectl(&words).await?;
    Ok(answer
        .lines()
        .next()
        .context("no primary")?
        .trim()
        .to_owned())
}
