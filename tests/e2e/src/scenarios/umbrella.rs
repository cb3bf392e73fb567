//! The chart as a dependency of another one, applied as Argo CD does.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use carillon_tests::figures::Figures;

use crate::{
    cluster::{file, root},
    command::{feed, run},
    deployment::{Deployment, RELEASE, nothing_left},
    stage::Stage,
};

const NAMESPACE: &str = "umbrella";
const READY_WITHIN: Duration = Duration::from_secs(90);

pub(super) async fn applied_twice(stage: &Stage) -> Result<Figures> {
    let deployment = Deployment::prepare(NAMESPACE, "helm", stage.sizes.window()).await?;
    let folder = root()?.join("target/e2e/umbrella");
    write(&folder)?;
    let folder = folder.display().to_string();
    run("helm", &["dependency", "update", &folder]).await?;
    let template = ["template", RELEASE, &folder, "--namespace", NAMESPACE];
    let template = [&template[..], &["--no-hooks"]].concat();
    let rendered = run("helm", &template).await?;
    ensure!(
        rendered == run("helm", &template).await?,
        "two renders differ"
    );

    let here = |command: &[&'static str]| [&["--namespace", NAMESPACE], command].concat();
    feed("kubectl", &here(&["apply", "-f", "-"]), &rendered).await?;
    deployment.pods.settled(READY_WITHIN).await?;
    let before = deployment.pods.identities("gateway").await?;
    feed("kubectl", &here(&["diff", "-f", "-"]), &rendered)
        .await
        .context("what was applied is not what is there")?;
    let again = feed("kubectl", &here(&["apply", "-f", "-"]), &rendered).await?;
    // A PodDisruptionBudget is patched each time, to the same: its selector is replaced as a whole.
    let is_same = |line: &str| {
        line.ends_with(" unchanged") || line.starts_with("poddisruptionbudget.policy/")
    };
    let changed: Vec<_> = again.lines().filter(|line| !is_same(line)).collect();
    ensure!(changed.is_empty(), "the second time changed {changed:?}");
    ensure!(
        deployment.pods.identities("gateway").await? == before,
        "gateways were replaced"
    );
    feed(
        "kubectl",
        &here(&["delete", "--wait", "-f", "-"]),
        &rendered,
    )
    .await?;
    nothing_left(NAMESPACE).await?;
    run(
        "kubectl",
        &["delete", "namespace", NAMESPACE, "--wait=false"],
    )
    .await?;

    let mut figures = Figures::new("a dependency of an umbrella chart");
    figures.row("objects", again.lines().count());
    figures.row("changed by the second time", 0);
    Ok(figures)
}

/// A chart that depends on this one.
fn write(folder: &Path) -> Result<()> {
    let chart = root()?.join("helm/carillon");
    let own = fs::read_to_string(chart.join("Chart.yaml"))?;
    let version = own.lines().find_map(|line| line.strip_prefix("version: "));
    let version = version.context("the chart has a version")?;
    let dependency = format!(
        "{{name: carillon, version: {version}, repository: \"file://{}\", condition: carillon.enabled}}",
        chart.display()
    );
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("Chart.yaml"),
        format!("apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n- {dependency}\n"),
    )?;
    let images: String = fs::read_to_string(file("images.yaml"))?
        .replace("redis: {dev:", "redis: {mode: dev, dev:")
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    let shared = "global: {storageClass: fast, imagePullSecrets: [unused]}\nx-anchor: &keys {existingSecret: carillon-keys}\n";
    let values = "carillon:\n  enabled: true\n  auth: {apiKeys: *keys, issuers: {existingSecret: carillon-issuers}}\n";
    fs::write(
        folder.join("values.yaml"),
        format!("{shared}{values}{images}"),
    )?;
    Ok(())
}
