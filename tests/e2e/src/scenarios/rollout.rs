//! New versions under traffic.

use std::time::Instant;

use anyhow::Result;
use carillon_tests::figures::Figures;

use super::under_load as with_traffic;
use crate::{
    command::run,
    deployment::{Deployment, RELEASE},
    stage::Stage,
};

/// Another name of the images, so that Kubernetes rolls.
pub(super) const NEXT: [&str; 2] = ["gateway.image.tag=next", "dispatcher.image.tag=next"];

/// Puts the images onto the nodes under their other name.
pub(super) async fn load_next(stage: &Stage) -> Result<()> {
    for name in ["carillon-gateway", "carillon-dispatcher"] {
        let (from, to) = (format!("{name}:test"), format!("{name}:next"));
        run("docker", &["tag", &from, &to]).await?;
        stage.cluster.load(&[&to]).await?;
    }
    Ok(())
}

pub(super) async fn under_load(stage: &Stage) -> Result<Figures> {
    load_next(stage).await?;
    rolls(
        stage,
        "a rolling update under traffic",
        async |deployment| deployment.upgrade(&NEXT).await,
    )
    .await
}

pub(super) async fn restart(stage: &Stage) -> Result<Figures> {
    rolls(
        stage,
        "a rolling restart under traffic",
        async |deployment| {
            for component in ["gateway", "dispatcher"] {
                let name = format!("deployment/{RELEASE}-{component}");
                deployment.kubectl(&["rollout", "restart", &name]).await?;
            }
            deployment.rolled_out().await
        },
    )
    .await
}

async fn rolls(
    stage: &Stage,
    title: &str,
    roll: impl AsyncFnOnce(&Deployment) -> Result<()>,
) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (figures, report) = with_traffic(stage, title, async |figures| {
        let began = Instant::now();
        roll(deployment).await?;
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
