//! A network to Redis that is slow, and one that is silent.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::{
    chaos_proxy::ChaosProxy,
    figures::Figures,
    redis::{Options, Standalone},
};
use tokio::time::sleep;

use super::{redis::nothing_closed, traffic};
use crate::{cluster::Cluster, stage::Stage};

/// Each way.
const DELAY: Duration = Duration::from_millis(25);
const SLOW: Duration = Duration::from_secs(10);
/// Longer than a lease.
const SILENT: Duration = Duration::from_secs(20);

pub(super) async fn network(stage: &Stage) -> Result<Figures> {
    // Outside of the cluster, behind a proxy on the way to it.
    let redis = Standalone::start(&Options::default()).await?;
    let proxy = ChaosProxy::start_on(Cluster::host().await?, redis.addr()).await?;
    let url = format!("redis.url=redis://{}", proxy.addr());
    let deployment = stage
        .deployment_with(&["redis.mode=external", &url])
        .await?;
    let title = "every way to Redis slow, then silent";
    let (mut figures, report) =
        traffic(&deployment.entrance, stage.sizes, title, async |figures| {
            proxy.delay(DELAY);
            sleep(SLOW).await;
            proxy.delay(Duration::ZERO);
            proxy.freeze();
            sleep(SILENT).await;
            let ready = deployment.pods.list("gateway").await?;
            proxy.thaw();
            ensure!(
                ready.iter().all(|pod| pod.ready),
                "gateways are not ready: {ready:?}"
            );
            figures.row("delayed", format!("{DELAY:?} each way, for {SLOW:?}"));
            figures.row("silent", format!("for {SILENT:?}"));
            sleep(Duration::from_secs(5)).await;
            Ok(())
        })
        .await?;
    nothing_closed(&report)?;
    figures.row("sockets closed", 0);
    // It goes with this scenario.
    deployment.upgrade(&[]).await?;
    Ok(figures)
}
