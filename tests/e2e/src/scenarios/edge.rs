//! What stands before the gateways.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use serde_json::Value;

use super::under_load;
use crate::{
    command::{feed, run},
    deployment::INGRESS,
    stage::Stage,
};

/// The serial number of the certificate that the ingress shows.
async fn shown() -> Result<String> {
    let words = ["s_client", "-connect", INGRESS, "-servername", "localhost"];
    let said = feed("openssl", &words, "").await?;
    feed("openssl", &["x509", "-noout", "-serial"], &said).await
}

pub(super) async fn renewed(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (figures, report) =
        under_load(stage, "a new certificate at the ingress", async |figures| {
            let before = shown().await?;
            deployment.renew_certificate().await?;
            let renewed = Instant::now();
            eventually(
                "the new one is shown",
                Duration::from_secs(60),
                async || {
                    let now = shown().await?;
                    ensure!(now != before, "still {now}");
                    Ok(())
                },
            )
            .await?;
            figures.row("shown after", format!("{:.1?}", renewed.elapsed()));
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(())
        })
        .await?;
    let closes = &report.closes;
    ensure!(closes.is_empty(), "sockets closed: {closes:?}");
    report.no_call_failed()?;
    Ok(figures)
}

pub(super) async fn restarted(stage: &Stage) -> Result<Figures> {
    let controller = controller().await?;
    let deployment = stage.deployment().await?;
    let everyone = stage.sizes.sockets;
    let (figures, report) = under_load(
        stage,
        "the ingress replaced under traffic",
        async |figures| {
            let restarted = Instant::now();
            controller.replace().await?;
            figures.row("replaced after", format!("{:.1?}", restarted.elapsed()));
            deployment
                .entrance
                .everyone_back(everyone, Duration::from_secs(60))
                .await?;
            figures.row(
                "everyone back after",
                format!("{:.1?}", restarted.elapsed()),
            );
            Ok(())
        },
    )
    .await?;
    ensure!(
        report.reconnects >= report.connections,
        "the ingress kept sockets over its own end: {report:?}"
    );
    Ok(figures)
}

/// What runs the ingress controller.
struct Controller {
    namespace: String,
    /// Kind and name.
    object: String,
    /// The labels of its pods.
    selector: String,
}

impl Controller {
    /// Ends its pods as a crash of their node does, and waits for the next ones.
    async fn replace(&self) -> Result<()> {
        let namespace = ["--namespace", &self.namespace];
        let words = ["delete", "pods", "-l", &self.selector, "--grace-period=1"];
        run("kubectl", &[&words[..], &namespace].concat()).await?;
        let words = ["rollout", "status", &self.object, "--timeout=120s"];
        run("kubectl", &[&words[..], &namespace].concat())
            .await
            .map(drop)
    }
}

/// The DaemonSet or Deployment of INGRESS_MANIFEST.
async fn controller() -> Result<Controller> {
    let manifest = std::env::var("INGRESS_MANIFEST").context("INGRESS_MANIFEST")?;
    let objects = run("kubectl", &["get", "-f", &manifest, "-o", "json"]).await?;
    let objects: Value = serde_json::from_str(&objects)?;
    let objects = objects["items"].as_array().context("items")?;
    let found = objects.iter().find_map(|object| {
        let kind = object["kind"].as_str()?;
        let runs = matches!(kind, "DaemonSet" | "Deployment");
        let metadata = &object["metadata"];
        let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
        let labels = labels
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
        runs.then_some(Controller {
            namespace: metadata["namespace"].as_str()?.to_owned(),
            object: format!("{kind}/{}", metadata["name"].as_str()?),
            selector: labels.collect::<Vec<_>>().join(","),
        })
    });
    found.context("no DaemonSet and no Deployment in INGRESS_MANIFEST")
}
