//! An upgrade whose pods cannot start, and what becomes of the pods that were there.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};

use super::under_load;
use crate::{
    deployment::{Deployment, RELEASE},
    pods::Seen,
    stage::Stage,
};

/// A typo: no pod starts with it.
const BROKEN: [&str; 1] = ["config.inbox.ttl=a week"];
const SOON: Duration = Duration::from_secs(90);
const COMPONENTS: [&str; 2] = ["gateway", "dispatcher"];

type Identities = BTreeMap<String, (String, i32)>;

pub(super) async fn leaves_old_pods_whole(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (mut figures, report) = under_load(stage, "an upgrade that fails", async |figures| {
        let mut before = Vec::new();
        for component in COMPONENTS {
            before.push(deployment.pods.identities(component).await?);
        }
        deployment.start_upgrade(&BROKEN).await?;
        for (component, old) in COMPONENTS.into_iter().zip(&before) {
            fails(deployment, component, old).await?;
            killed(deployment, component, old).await?;
            deleted(deployment, component, old).await?;
        }
        for component in COMPONENTS {
            let name = format!("deployment/{RELEASE}-{component}");
            deployment.kubectl(&["rollout", "undo", &name]).await?;
        }
        deployment.rolled_out().await?;
        let mut stayed = 0;
        for (component, old) in COMPONENTS.into_iter().zip(&before) {
            let after = deployment.pods.identities(component).await?;
            ensure!(
                after.len() == old.len(),
                "{} {component}s after, {} before",
                after.len(),
                old.len()
            );
            stayed += after.keys().filter(|name| old.contains_key(*name)).count();
        }
        figures.row(
            "old pods killed, and back from the same revision",
            before.len(),
        );
        figures.row(
            "old pods deleted, and replaced by the same revision",
            before.len(),
        );
        figures.row("old pods that stayed to the end", stayed);
        Ok(())
    })
    .await?;
    // kubectl owns what it undid.
    deployment.take_back().await?;
    figures.row("calls refused", report.refused.len());
    ensure!(report.refused.is_empty(), "{:?}", report.refused);
    Ok(figures)
}

/// Waits until the new revision has shown that it cannot start.
async fn fails(deployment: &Deployment, component: &str, old: &Identities) -> Result<()> {
    eventually("new pods fail", SOON, async || {
        let pods = deployment.pods.list(component).await?;
        let new: Vec<_> = pods
            .iter()
            .filter(|pod| !old.contains_key(&pod.name))
            .collect();
        ensure!(
            new.iter().any(|pod| !pod.ready && pod.restarts > 0),
            "{component}: {new:?}"
        );
        Ok(())
    })
    .await
}

/// Kills the program of an old pod, which starts again where it is.
async fn killed(deployment: &Deployment, component: &str, old: &Identities) -> Result<()> {
    let victim = one(deployment, component, old).await?;
    deployment.pods.kill(&victim).await?;
    eventually("it starts again", SOON, async || {
        let pods = deployment.pods.list(component).await?;
        let same = pods.iter().find(|pod| pod.uid == victim.uid);
        let same = same.context("its pod is gone")?;
        ensure!(same.restarts > victim.restarts && same.ready, "{same:?}");
        Ok(())
    })
    .await
}

/// Deletes an old pod, whose `ReplicaSet` makes another one.
async fn deleted(deployment: &Deployment, component: &str, old: &Identities) -> Result<()> {
    let victim = one(deployment, component, old).await?;
    deployment.pods.delete(&victim.name).await?;
    eventually("another takes its place", SOON, async || {
        let pods = deployment.pods.list(component).await?;
        let ready = pods.iter().filter(|pod| pod.ready).count();
        ensure!(
            ready == old.len(),
            "{ready} of {} ready: {pods:?}",
            old.len()
        );
        Ok(())
    })
    .await
}

async fn one(deployment: &Deployment, component: &str, old: &Identities) -> Result<Seen> {
    let pods = deployment.pods.list(component).await?;
    let found = pods
        .into_iter()
        .find(|pod| pod.ready && old.contains_key(&pod.name));
    found.with_context(|| format!("no {component} of the old revision is ready"))
}
