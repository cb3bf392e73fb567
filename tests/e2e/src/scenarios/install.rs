//! From nothing to a release, and back to nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::figures::Figures;

use crate::{
    cluster::root,
    command::run,
    deployment::{self, Deployment, RELEASE},
    stage::Stage,
};

const READY_WITHIN: Duration = Duration::from_secs(90);
/// The ingress's host and path belong to one release at a time.
pub(super) const ELSEWHERE: [&str; 2] = [
    "ingress.hosts[0]=fresh.localhost",
    "ingress.tls[0].hosts[0]=fresh.localhost",
];

pub(super) async fn with_helm3(stage: &Stage) -> Result<Figures> {
    let deployment = Deployment::prepare("fresh", "helm3", stage.sizes.window()).await?;
    let mut figures = Figures::new("install with Helm 3");
    let began = Instant::now();
    let said = deployment.start_upgrade(&ELSEWHERE).await?;
    ensure!(!said.contains("Warning"), "{said}");
    ready(&deployment, began, &mut figures).await?;
    let test = Instant::now();
    let tested = deployment
        .helm(&["test", RELEASE, "--timeout", "120s"])
        .await?;
    ensure!(tested.contains("Succeeded"), "helm test: {tested}");
    figures.row("helm test", format!("{:.1?}", test.elapsed()));
    deployment.uninstall().await?;
    nothing_left(&deployment, &mut figures).await?;
    Ok(figures)
}

pub(super) async fn with_kustomize(stage: &Stage) -> Result<Figures> {
    let deployment = Deployment::prepare("kustomized", "helm", stage.sizes.window()).await?;
    // The overlay with another namespace. kustomize takes it by a relative path only.
    let folder = root()?.join("target/e2e/kustomized");
    std::fs::create_dir_all(&folder)?;
    let kustomization = "namespace: kustomized\nresources: [../../../k8s/overlays/kind]\n";
    std::fs::write(folder.join("kustomization.yaml"), kustomization)?;
    let folder = folder.display().to_string();
    let mut figures = Figures::new("install with kustomize");
    let began = Instant::now();
    deployment.kubectl(&["apply", "-k", &folder]).await?;
    ready(&deployment, began, &mut figures).await?;
    deployment
        .kubectl(&["delete", "-k", &folder, "--wait"])
        .await?;
    nothing_left(&deployment, &mut figures).await?;
    Ok(figures)
}

async fn ready(deployment: &Deployment, began: Instant, figures: &mut Figures) -> Result<()> {
    deployment.pods.settled(READY_WITHIN).await?;
    let ready = began.elapsed();
    figures.row("every pod ready", format!("{ready:.1?}"));
    let restarts = deployment.pods.restarts().await?;
    figures.row("restarts", restarts);
    ensure!(restarts == 0, "{restarts} restarts");
    ensure!(ready < READY_WITHIN, "ready after {ready:?}");
    Ok(())
}

async fn nothing_left(deployment: &Deployment, figures: &mut Figures) -> Result<()> {
    deployment::nothing_left(&deployment.namespace).await?;
    figures.row("objects left", 0);
    let words = ["delete", "namespace", &deployment.namespace, "--wait=false"];
    run("kubectl", &words).await?;
    Ok(())
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
