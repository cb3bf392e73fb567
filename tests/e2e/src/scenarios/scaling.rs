//! Gateways that are added, and the clients that move to them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::figures::Figures;
use tokio::time::sleep;

use super::traffic;
use crate::stage::Stage;

const SOON: Duration = Duration::from_secs(15);
const BEFORE: &str = "gateway.replicas=2";
const AFTER: &str = "gateway.replicas=4";
/// A gateway with more than this share of the mean is not balanced: what `carillon rebalance` leaves,
/// and those who were still on their way when it looked.
const BALANCED: f64 = 1.2;

pub(super) async fn up(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment_with(&[BEFORE]).await?;
    let title = "gateways added under traffic";
    let (figures, report) = traffic(&deployment.entrance, stage.sizes, title, async |figures| {
        let before = deployment.entrance.gateways().await?;
        deployment.upgrade(&[AFTER]).await?;
        let added = deployment.entrance.gateways().await?;
        ensure!(added.len() == before.len() + 2, "{added:?}");
        figures.row("users of each gateway before", shown(added));
        let began = Instant::now();
        let words = ["rebalance", "--wait", "--timeout", "5m"];
        deployment.entrance.carillon(&words).await?;
        figures.row("balanced after", format!("{:.0?}", began.elapsed()));
        // Those that were asked have moved by then.
        sleep(deployment.window).await;
        deployment
            .entrance
            .everyone_back(stage.sizes.sockets, SOON)
            .await?;
        let gateways = deployment.entrance.gateways().await?;
        let mean = stage.sizes.sockets as f64 / gateways.len() as f64;
        let balanced = gateways
            .values()
            .all(|&users| users as f64 <= mean * BALANCED);
        ensure!(balanced, "{gateways:?}");
        figures.row("users of each gateway", shown(gateways));
        Ok(())
    })
    .await?;
    report.no_call_failed()?;
    // Those who have moved are not the next to be asked.
    report.closes_were_planned(1)?;
    Ok(figures)
}

fn shown(gateways: impl IntoIterator<Item = (u64, u64)>) -> String {
    let users = gateways.into_iter().map(|(_, users)| users.to_string());
    users.collect::<Vec<_>>().join(", ")
}
