//! The chart's README as a new user follows it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    cluster::{file, root},
    command::run,
    deployment::{RELEASE, nothing_left, removed},
    pods::Pods,
    stage::Stage,
};

/// What the README names.
const NAMESPACE: &str = "carillon";
/// Where the chart is published; here it is taken from the repository.
const PUBLISHED: &str = "oci://ghcr.io/carillon-io/charts/carillon";
const READY_WITHIN: Duration = Duration::from_secs(90);

pub(super) async fn word_for_word(_: &Stage) -> Result<Figures> {
    let readme = std::fs::read_to_string(root()?.join("helm/carillon/README.md"))?;
    let blocks = blocks(&readme, "## Try it");
    let [install, look] = &blocks[..] else {
        anyhow::bail!("{} blocks of commands under \"Try it\"", blocks.len());
    };
    let (install, test) = install
        .split_once("helm test")
        .context("the README runs `helm test`")?;
    ensure!(
        install.contains(PUBLISHED),
        "the README installs {PUBLISHED}"
    );
    fresh().await?;

    let folder = TempDir::new()?;
    let began = Instant::now();
    shell(&folder, &here(install)?).await?;
    let ready = began.elapsed();
    let began = Instant::now();
    let tested = shell(&folder, &format!("helm test{test}")).await?;
    ensure!(tested.contains("Succeeded"), "helm test: {tested}");
    let test = began.elapsed();
    let began = Instant::now();
    shows(&folder, look).await?;
    let seen = began.elapsed();
    let restarts = Pods::of(NAMESPACE).await?.restarts().await?;

    let uninstall = format!("helm uninstall {RELEASE} -n {NAMESPACE}");
    ensure!(
        readme.contains(&format!("`{uninstall}`")),
        "the README ends with {uninstall}"
    );
    shell(&folder, &uninstall).await?;
    let left = nothing_left(NAMESPACE).await;
    run("kubectl", &["delete", "namespace", NAMESPACE]).await?;

    let mut figures = Figures::new("the chart's README");
    figures.row("installed, every pod ready", format!("{ready:.1?}"));
    figures.row("restarts", restarts);
    figures.row("helm test", format!("{test:.1?}"));
    figures.row("a notification was shown after", format!("{seen:.1?}"));
    figures.row("objects left, but for the two Secrets", 0);
    ensure!(ready < READY_WITHIN, "ready after {ready:?}");
    ensure!(restarts == 0, "{restarts} restarts");
    left?;
    Ok(figures)
}

/// The blocks of commands under a heading.
pub(super) fn blocks(text: &str, heading: &str) -> Vec<String> {
    let part = text
        .split("\n## ")
        .find(|part| heading.ends_with(part.lines().next().unwrap_or("-")));
    let fenced = part.unwrap_or_default().split("```sh\n").skip(1);
    fenced
        .filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()))
        .collect()
}

/// The same commands with the chart and the images of this repository.
fn here(install: &str) -> Result<String> {
    let chart = root()?.join("helm/carillon");
    let images = file("images.yaml");
    let local = format!("{} --values {}", chart.display(), images.display());
    Ok(install.replace(PUBLISHED, &local))
}

/// A cluster without what the README makes.
async fn fresh() -> Result<()> {
    removed("helm", NAMESPACE).await?;
    let words = ["delete", "namespace", NAMESPACE, "--ignore-not-found"];
    run("kubectl", &words).await?;
    Ok(())
}

/// Runs commands as they are pasted into a shell, all of one block.
async fn shell(folder: &TempDir, commands: &str) -> Result<String> {
    let script = format!("cd {}; set -e; {commands}", folder.path().display());
    let path = path()?;
    run("env", &[&format!("PATH={path}"), "bash", "-c", &script]).await
}

/// The search path with this workspace's `carillon` first.
fn path() -> Result<String> {
    let own = crate::program("carillon")?;
    let own = own.parent().map(Path::display).context("a folder")?;
    Ok(format!(
        "{own}:{}",
        std::env::var("PATH").unwrap_or_default()
    ))
}

/// Runs the block whose commands stay in the background, until what it sends is shown.
async fn shows(folder: &TempDir, commands: &str) -> Result<()> {
    let output = folder.path().join("output");
    let file = std::fs::File::create(&output)?;
    let shell: Child = Command::new("setsid")
        .args(["--wait", "bash", "-c", &format!("{commands}\nwait")])
        .env("PATH", path()?)
        .current_dir(folder.path())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let shown = eventually(
        "the notification is shown",
        Duration::from_secs(30),
        async || {
            let said = std::fs::read_to_string(&output)?;
            ensure!(said.contains("It works"), "{said}");
            Ok(())
        },
    )
    .await;
    let session = shell.id().context("it has ended by itself")?;
    run("pkill", &["--session", &session.to_string()])
        .await
        .ok();
    shown
}
