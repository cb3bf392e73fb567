//! A Redis Cluster that changes under traffic.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use tokio::time::sleep;

use super::{redis::nothing_closed, traffic};
use crate::{cluster::file, deployment::Deployment, stage::Stage};

const SERVERS: usize = 6;
/// Of 16 384: with 64 partitions, eight of them move.
const MOVED: &str = "2048";

pub(super) async fn moved(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let manifest = file("manifests/redis-cluster.yaml").display().to_string();
    deployment.kubectl(&["apply", "-f", &manifest]).await?;
    let result = change(stage, deployment).await;
    deployment.upgrade(&[]).await?;
    let words = ["delete", "-f", &manifest, "--wait=false"];
    deployment.kubectl(&words).await?;
    result
}

async fn change(stage: &Stage, deployment: &Deployment) -> Result<Figures> {
    make(deployment).await?;
    let nodes: Vec<_> = (0..SERVERS)
        .map(|n| format!("shard-{n}.shard:6379"))
        .collect();
    let nodes = format!("redis.cluster.nodes={{{}}}", nodes.join(","));
    deployment.upgrade(&["redis.mode=cluster", &nodes]).await?;
    let title = "a Redis Cluster changed under traffic";
    let (figures, report) = traffic(&deployment.entrance, stage.sizes, title, async |figures| {
        let began = Instant::now();
        move_slots(deployment).await?;
        let took = format!("{:.1?}", began.elapsed());
        figures.row(&format!("{MOVED} slots moved in"), took);
        sleep(Duration::from_secs(3)).await;
        let took = fail_over(deployment).await?;
        figures.row(
            "a killed primary's replica took over after",
            format!("{took:.1?}"),
        );
        // The one that was killed comes back as a replica, or WAIT has nobody to wait for.
        sleep(Duration::from_secs(10)).await;
        Ok(())
    })
    .await?;
    nothing_closed(&report)?;
    Ok(figures)
}

/// A server, as the cluster has it.
struct Node {
    id: String,
    address: String,
    primary: bool,
    slots: bool,
}

/// The servers, as one of them has it.
async fn nodes(deployment: &Deployment) -> Result<Vec<Node>> {
    let listed = redis_cli(deployment, &["cluster", "nodes"]).await?;
    let read = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let flags = words.get(2)?;
        Some(Node {
            id: (*words.first()?).to_owned(),
            address: words.get(1)?.split('@').next()?.to_owned(),
            primary: flags.contains("master") && !flags.contains("fail"),
            slots: words.len() > 8,
        })
    };
    Ok(listed.lines().filter_map(read).collect())
}

async fn redis_cli(deployment: &Deployment, words: &[&str]) -> Result<String> {
    // The last one is a replica, and never killed here.
    let pod = format!("shard-{}", SERVERS - 1);
    let exec = ["exec", &pod, "--", "redis-cli"];
    deployment.kubectl(&[&exec, words].concat()).await
}

/// Three primaries with a replica each.
async fn make(deployment: &Deployment) -> Result<()> {
    let words = ["rollout", "status", "statefulset/shard", "--timeout=120s"];
    deployment.kubectl(&words).await?;
    let mut servers = Vec::new();
    for n in 0..SERVERS {
        let address = deployment.pods.address(&format!("shard-{n}")).await?;
        servers.push(format!("{address}:6379"));
    }
    let servers: Vec<_> = servers.iter().map(String::as_str).collect();
    let how = ["--cluster-replicas", "1", "--cluster-yes"];
    redis_cli(
        deployment,
        &[&["--cluster", "create"], &servers[..], &how].concat(),
    )
    .await?;
    settled(deployment).await
}

async fn settled(deployment: &Deployment) -> Result<()> {
    let within = Duration::from_secs(60);
    eventually("every slot is served", within, async || {
        sleep(Duration::from_millis(300)).await;
        let info = redis_cli(deployment, &["cluster", "info"]).await?;
        let all = info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384");
        ensure!(all, "{info}");
        Ok(())
    })
    .await
}

async fn primaries(deployment: &Deployment) -> Result<Vec<Node>> {
    let mut nodes = nodes(deployment).await?;
    nodes.retain(|node| node.primary && node.slots);
    Ok(nodes)
}

async fn move_slots(deployment: &Deployment) -> Result<()> {
    let primaries = primaries(deployment).await?;
    let [from, to, ..] = &primaries[..] else {
        anyhow::bail!("{} primaries", primaries.len());
    };
    let reshard = ["--cluster", "reshard", &from.address];
    let which = ["--cluster-from", &from.id, "--cluster-to", &to.id];
    let how = ["--cluster-slots", MOVED, "--cluster-yes"];
    redis_cli(deployment, &[&reshard[..], &which, &how].concat()).await?;
    settled(deployment).await
}

async fn fail_over(deployment: &Deployment) -> Result<Duration> {
    let before = primaries(deployment).await?;
    let victim = before.last().context("no primary")?;
    let host = victim.address.split(':').next().unwrap_or_default();
    let mut pods = deployment.pods.labelled("app=shard").await?.into_iter();
    let pod = loop {
        let pod = pods.next().context("the primary's pod")?;
        if deployment.pods.address(&pod.name).await? == host {
            break pod;
        }
    };
    // Stopped first, or it is back before the others miss it.
    deployment.pods.stop(&pod).await?;
    let stopped = Instant::now();
    eventually("another primary", Duration::from_secs(60), async || {
        sleep(Duration::from_millis(200)).await;
        let now = primaries(deployment).await?;
        let new = now
            .iter()
            .find(|node| before.iter().all(|old| old.id != node.id));
        ensure!(new.is_some(), "still the same");
        Ok(())
    })
    .await?;
    let took = stopped.elapsed();
    deployment.pods.kill(&pod).await?;
    Ok(took)
}
