//! New versions under traffic.

use std::time::Instant;

use anyhow::{Result, ensure};
use carillon_tests::figures::Figures;

use super::traffic;
use crate::{
    deployment::{Deployment, RELEASE},
    stage::Stage,
};

/// The version after this one: `tests/e2e/next` builds it.
pub(super) const NEXT: [&str; 2] = ["gateway.image.tag=next", "dispatcher.image.tag=next"];

pub(super) async fn forward(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    deployment.redis_cli(&["function", "flush"]).await?;
    let title = "a rolling update to the next version";
    let figures = rolls(stage, deployment, title, async || {
        ensure_loaded(deployment, "carillon_4", false).await?;
        deployment.upgrade(&NEXT).await
    })
    .await?;
    // Each version calls functions of its own: both were at work.
    ensure_loaded(deployment, "carillon_3", true).await?;
    ensure_loaded(deployment, "carillon_4", true).await?;
    Ok(figures)
}

pub(super) async fn back(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment_with(&NEXT).await?;
    rolls(stage, deployment, "a rolling update back", async || {
        deployment.upgrade(&[]).await
    })
    .await
}

pub(super) async fn restart(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    rolls(
        stage,
        deployment,
        "a rolling restart under traffic",
        async || {
            for component in ["gateway", "dispatcher"] {
                let name = format!("deployment/{RELEASE}-{component}");
                deployment.kubectl(&["rollout", "restart", &name]).await?;
            }
            deployment.rolled_out().await
        },
    )
    .await
}

/// Whether the functions of a version are in Redis.
async fn ensure_loaded(deployment: &Deployment, library: &str, expected: bool) -> Result<()> {
    let listed = deployment.redis_cli(&["function", "list"]).await?;
    let loaded = listed.lines().any(|line| line.trim() == library);
    ensure!(
        loaded == expected,
        "{library} is loaded: {loaded}\n{listed}"
    );
    Ok(())
}

async fn rolls(
    stage: &Stage,
    deployment: &Deployment,
    title: &str,
    roll: impl AsyncFnOnce() -> Result<()>,
) -> Result<Figures> {
    let (figures, report) = traffic(&deployment.entrance, stage.sizes, title, async |figures| {
        let began = Instant::now();
        roll().await?;
        figures.row(
            "rolled out, old pods gone",
            format!("{:.0?}", began.elapsed()),
        );
        Ok(())
    })
    .await?;
    report.no_call_failed()?;
    report.closes_were_planned(1)?;
    Ok(figures)
}
