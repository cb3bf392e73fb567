//! A Secret as the kubelet mounts it: changed, swapped into each pod, and read by its process.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::poll::eventually;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use tokio::time::sleep;

use crate::{cluster::Cluster, deployment::Deployment, guest::File, pods::Seen};

/// The Secret of issuers and API keys; its volume is called `auth`.
const SECRET: &str = "carillon-auth";
/// The kubelet syncs a pod once a minute, more or less.
const MOUNTED_WITHIN: Duration = Duration::from_secs(150);
/// Each process looks every 2 s, and believes what reads the same half a second later.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);

/// How a pod's mount changes: the kubelet writes a new folder, and swaps the link to it.
#[derive(Clone, Debug, PartialEq)]
struct Link {
    to: String,
    since: Timestamp,
}

/// How soon a change was everywhere.
#[derive(Debug)]
pub(crate) struct Took {
    /// From the change of the Secret to the last pod's mount.
    pub(crate) mounting: Duration,
    /// From a pod's mount to its process' word for it, at most.
    pub(crate) reading: SignedDuration,
    /// When the last process said so.
    pub(crate) in_force: Timestamp,
}

/// Changes files of the Secret, and waits until every process of the release says these words about
/// it. The kubelet takes its time; pods that are touched are synced at once.
///
/// # Errors
/// When the mounts do not change, or a process does not say so soon after its mount has.
pub(crate) async fn publish(
    deployment: &Deployment,
    files: &[File],
    words: &[&str],
    touched: bool,
) -> Result<Took> {
    let pods = running(deployment).await?;
    let mut before = BTreeMap::new();
    for pod in &pods {
        before.insert(&pod.name, link(pod).await?);
    }
    let (since, began) = (Timestamp::now(), Instant::now());
    patch(deployment, files).await?;
    let swapped = eventually("every mount has changed", MOUNTED_WITHIN, async || {
        sleep(Duration::from_millis(500)).await;
        if touched {
            touch(deployment).await?;
        }
        let mut swapped = Vec::new();
        for pod in &pods {
            let link = link(pod).await?;
            ensure!(before[&pod.name] != link, "not that of {}", pod.name);
            swapped.push((pod, link.since));
        }
        Ok(swapped)
    });
    let swapped = swapped.await?;
    let mounting = began.elapsed();
    let (mut reading, mut in_force) = (SignedDuration::ZERO, since);
    for (pod, swap) in swapped {
        let when = eventually("it is in force", 2 * IN_FORCE_WITHIN, async || {
            sleep(Duration::from_millis(200)).await;
            said(deployment, &pod.name, since, words).await
        });
        let when = when.await.with_context(|| pod.name.clone())?;
        let took = when.duration_since(swap);
        ensure!(
            took <= SignedDuration::try_from(IN_FORCE_WITHIN)?,
            "{} said so {took:#} after its mount had changed",
            pod.name
        );
        reading = reading.max(took);
        in_force = in_force.max(when);
    }
    Ok(Took {
        mounting,
        reading,
        in_force,
    })
}

/// Changes files of the Secret.
///
/// # Errors
/// When the API server refuses it.
pub(crate) async fn patch(deployment: &Deployment, files: &[File]) -> Result<()> {
    let (mut texts, mut gone) = (Map::new(), Map::new());
    for (name, text) in files {
        match text {
            Some(text) => texts.insert(name.clone(), json!(text)),
            None => gone.insert(name.clone(), json!(null)),
        };
    }
    let patch = json!({ "stringData": texts, "data": gone }).to_string();
    let words = ["patch", "secret", SECRET, "--patch", &patch];
    deployment.kubectl(&words).await.map(drop)
}

/// When a pod's log had a line with all of these words, not before `since`.
///
/// # Errors
/// When it has none.
pub(crate) async fn said(
    deployment: &Deployment,
    pod: &str,
    since: Timestamp,
    words: &[&str],
) -> Result<Timestamp> {
    // The API server takes whole seconds.
    let from = Timestamp::from_second(since.as_second())?;
    let from = format!("--since-time={from}");
    let log = deployment
        .kubectl(&["logs", pod, "--timestamps", &from])
        .await?;
    let mut lines = log.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find_map(|(when, text)| {
        let when: Timestamp = when.parse().ok()?;
        (when >= since && words.iter().all(|word| text.contains(word))).then_some(when)
    });
    found.with_context(|| format!("{words:?} is not in the log of {pod}:\n{log}"))
}

/// Gateways and dispatchers that are not leaving.
async fn running(deployment: &Deployment) -> Result<Vec<Seen>> {
    let mut pods = deployment.pods.list("gateway").await?;
    pods.extend(deployment.pods.list("dispatcher").await?);
    pods.retain(|pod| !pod.leaving);
    Ok(pods)
}

async fn link(pod: &Seen) -> Result<Link> {
    let volumes = format!("/var/lib/kubelet/pods/{}/volumes", pod.uid);
    let link = format!("{volumes}/kubernetes.io~secret/auth/..data");
    let to = Cluster::on_node(&pod.node, &["readlink", &link]).await?;
    let since = Cluster::on_node(&pod.node, &["stat", "--format=%.6Y", &link]).await?;
    let seconds: f64 = since.trim().parse().context("the time of the link")?;
    Ok(Link {
        to: to.trim().to_owned(),
        since: Timestamp::from_microsecond((seconds * 1e6) as i64)?,
    })
}

/// What is another pod to the API server is another to its kubelet, which looks after it then.
async fn touch(deployment: &Deployment) -> Result<()> {
    let release = format!("app.kubernetes.io/instance={}", crate::deployment::RELEASE);
    let note = format!(
        "carillon.test/touched={}",
        Timestamp::now().as_millisecond()
    );
    let words = ["annotate", "pods", "-l", &release, "--overwrite", &note];
    deployment.kubectl(&words).await.map(drop)
}
