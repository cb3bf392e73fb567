//! Nodes that only some pods may run on.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::figures::Figures;

use super::install::ELSEWHERE;
use crate::{
    cluster::{Cluster, root},
    command::run,
    deployment::{Deployment, RELEASE, nothing_left},
    stage::Stage,
};

const NAMESPACE: &str = "dedicated";
const TAINT: &str = "dedicated=realtime:NoSchedule";
/// Of the services alone: Redis and the test's pod inherit it.
const TOLERATIONS: [&str; 4] = [
    "gateway.tolerations[0].key=dedicated",
    "gateway.tolerations[0].operator=Exists",
    "dispatcher.tolerations[0].key=dedicated",
    "dispatcher.tolerations[0].operator=Exists",
];
/// A test without its Secret does not wait for it.
const AT_ONCE: Duration = Duration::from_secs(60);

pub(super) async fn tested(stage: &Stage) -> Result<Figures> {
    let deployment = Deployment::prepare(NAMESPACE, "helm", stage.sizes.window()).await?;
    let workers = Cluster::workers().await?;
    for node in &workers {
        run("kubectl", &["taint", "--overwrite", "node", node, TAINT]).await?;
    }
    let result = runs_there(&deployment).await;
    for node in &workers {
        run("kubectl", &["taint", "node", node, &format!("{TAINT}-")]).await?;
    }
    deployment.uninstall().await?;
    let removed = failed_test_removed(&deployment).await;
    let left = nothing_left(NAMESPACE).await;
    run(
        "kubectl",
        &["delete", "namespace", NAMESPACE, "--wait=false"],
    )
    .await?;
    let figures = result?;
    removed?;
    left?;
    Ok(figures)
}

/// What a failed test leaves is what the README says, and goes as it says.
async fn failed_test_removed(deployment: &Deployment) -> Result<()> {
    let selected = ["pods", "-l", "app.kubernetes.io/component=test"];
    let names = [&["get"], &selected[..], &["-o", "name"]].concat();
    let left = deployment.kubectl(&names).await?;
    ensure!(left.trim() == format!("pod/{RELEASE}-test"), "{left:?}");
    let readme = fs::read_to_string(root()?.join("helm/carillon/README.md"))?;
    let command = "delete pod -l app.kubernetes.io/component=test";
    ensure!(readme.contains(command), "the README says {command}");
    deployment
        .kubectl(&command.split(' ').collect::<Vec<_>>())
        .await
        .map(drop)
}

async fn runs_there(deployment: &Deployment) -> Result<Figures> {
    let mut figures = Figures::new("every node dedicated to something");
    let settings = [&ELSEWHERE[..], &TOLERATIONS].concat();
    let began = Instant::now();
    deployment.start_upgrade(&settings).await?;
    deployment.pods.settled(Duration::from_secs(90)).await?;
    figures.row("every pod ready", format!("{:.1?}", began.elapsed()));
    let test = ["test", RELEASE, "--timeout", "120s"];
    let said = deployment.helm(&test).await?;
    ensure!(said.contains("Succeeded"), "helm test: {said}");

    let missing = [&settings[..], &["tests.existingSecret=no-such-secret"]].concat();
    deployment.start_upgrade(&missing).await?;
    let began = Instant::now();
    let said = deployment.helm(&test).await;
    let took = began.elapsed();
    let said = said.err().context("a test without its Secret succeeded")?;
    ensure!(took < AT_ONCE, "it took {took:?}: {said:#}");
    figures.row(
        "helm test without its Secret fails after",
        format!("{took:.1?}"),
    );
    Ok(figures)
}
