//! A Redis as other charts leave it: a port of its own, and a Secret with nothing but the password.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::figures::Figures;

use super::{redis::nothing_closed, traffic};
use crate::{cluster::file, deployment::Deployment, stage::Stage};

/// Beside a URL without a log-in.
const BESIDE: [&str; 3] = [
    "redis.mode=external",
    "redis.url=redis://foreign:6380",
    "redis.auth.existingSecret=foreign",
];
/// The whole URL in a Secret, which the chart's render does not see.
const INSIDE: [&str; 4] = [
    "redis.mode=external",
    "redis.existingSecret=foreign",
    "redis.existingSecretKeys.gateway=url",
    "redis.existingSecretKeys.dispatcher=url",
];

pub(super) async fn under_the_default_policy(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let manifest = file("manifests/foreign-redis.yaml").display().to_string();
    deployment.kubectl(&["apply", "-f", &manifest]).await?;
    let ready = ["wait", "--for=condition=Ready", "pod/foreign"];
    deployment
        .kubectl(&[&ready[..], &["--timeout=120s"]].concat())
        .await?;
    let result = serves(stage, deployment).await;
    deployment.upgrade(&[]).await?;
    deployment
        .kubectl(&["delete", "-f", &manifest, "--wait=false"])
        .await?;
    result
}

async fn serves(stage: &Stage, deployment: &Deployment) -> Result<Figures> {
    deployment.upgrade(&BESIDE).await?;
    let sizes = stage.sizes.part(2);
    let title = "Redis on port 6380 with a password";
    let (mut figures, report) = traffic(&deployment.entrance, sizes, title, async |figures| {
        // A policy may spare connections that were there before it.
        for kind in ["normal", "pubsub"] {
            let count = cut(deployment, kind).await?;
            figures.row(&format!("{kind} connections cut under the policy"), count);
        }
        deployment.entrance.answers(Duration::from_secs(60)).await
    })
    .await?;
    nothing_closed(&report)?;

    let refused = deployment.start_upgrade(&INSIDE).await;
    let refused = refused.err().map(|error| format!("{error:#}"));
    let refused = refused.unwrap_or_default();
    ensure!(
        refused.contains("set redis.port=6380"),
        "not refused: {refused}"
    );
    let named = [&INSIDE[..], &["redis.port=6380"]].concat();
    deployment.upgrade(&named).await?;
    cut(deployment, "normal").await?;
    deployment.entrance.answers(Duration::from_secs(60)).await?;
    figures.row("a URL in a Secret, its port", "refused, then named");
    Ok(figures)
}

/// Ends the connections of a kind, but for the one that asks; answers how many there were.
async fn cut(deployment: &Deployment, kind: &str) -> Result<u32> {
    let command = format!("REDISCLI_AUTH=$PASSWORD redis-cli -p 6380 client kill type {kind}");
    let words = ["exec", "foreign", "--", "busybox", "sh", "-c", &command];
    let said = deployment.kubectl(&words).await?;
    let count = said.trim().parse().with_context(|| said.clone())?;
    ensure!(count > 0, "there was no {kind} connection");
    Ok(count)
}
