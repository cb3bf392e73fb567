//! From nothing to a release, and back to nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::figures::Figures;

use crate::{
    command::run,
    deployment::{Deployment, RELEASE},
    stage::Stage,
};

const READY_WITHIN: Duration = Duration::from_secs(90);

pub(super) async fn with_helm(_: &Stage) -> Result<Figures> {
    install("fresh", "helm").await
}

pub(super) async fn with_helm3(_: &Stage) -> Result<Figures> {
    install("fresh3", "helm3").await
}

async fn install(namespace: &str, helm: &'static str) -> Result<Figures> {
    let deployment = Deployment::prepare(namespace, helm).await?;
    // The ingress's host and path belong to one release at a time.
    let elsewhere = [
        "ingress.hosts[0]=fresh.localhost",
        "ingress.tls[0].hosts[0]=fresh.localhost",
    ];
    let began = Instant::now();
    deployment.start_upgrade(&elsewhere).await?;
    deployment.pods.settled(READY_WITHIN).await?;
    let ready = began.elapsed();
    let mut restarts = 0;
    for component in ["gateway", "dispatcher", "redis"] {
        let pods = deployment.pods.list(component).await?;
        restarts += pods.iter().map(|pod| pod.restarts).sum::<i32>();
    }
    let test = Instant::now();
    let tested = deployment
        .helm(&["test", RELEASE, "--timeout", "120s"])
        .await?;
    let test = test.elapsed();
    ensure!(tested.contains("Succeeded"), "helm test: {tested}");
    let left = deployment.uninstall().await?;
    run(
        "kubectl",
        &["delete", "namespace", namespace, "--wait=false"],
    )
    .await?;

    let mut figures = Figures::new(format!("install with {helm}"));
    figures.row("every pod ready", format!("{ready:.1?}"));
    figures.row("restarts", restarts);
    figures.row("helm test", format!("{test:.1?}"));
    figures.row("objects left", left.len());
    ensure!(restarts == 0, "{restarts} restarts");
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(figures)
}

pub(super) async fn again(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let before = (
        deployment.pods.identities("gateway").await?,
        deployment.pods.identities("dispatcher").await?,
    );
    deployment.upgrade(&[]).await?;
    let after = (
        deployment.pods.identities("gateway").await?,
        deployment.pods.identities("dispatcher").await?,
    );
    ensure!(
        before == after,
        "pods were replaced: {before:?}, then {after:?}"
    );
    let mut figures = Figures::new("an upgrade without a change");
    figures.row("pods that stayed", after.0.len() + after.1.len());
    Ok(figures)
}
