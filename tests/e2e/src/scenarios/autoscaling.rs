//! More gateways under load, fewer after it.

use std::{
    convert::Infallible,
    future::pending,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use tokio::time::sleep;

use super::install::ELSEWHERE;
use crate::{
    command::run,
    deployment::{Deployment, RELEASE},
    load::Load,
    stage::Stage,
};

/// By CPU alone, in little steps and without the patience of production.
const AUTOSCALED: [&str; 12] = [
    "gateway.autoscaling.enabled=true",
    "gateway.autoscaling.minReplicas=2",
    "gateway.autoscaling.maxReplicas=4",
    "gateway.autoscaling.connectionsPerPod=0",
    "gateway.autoscaling.cpu=80",
    "gateway.resources.requests.cpu=20m",
    "gateway.autoscaling.behavior.scaleUp.stabilizationWindowSeconds=0",
    "gateway.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=45",
    "gateway.autoscaling.behavior.scaleDown.policies[0].type=Pods",
    "gateway.autoscaling.behavior.scaleDown.policies[0].value=1",
    "gateway.autoscaling.behavior.scaleDown.policies[0].periodSeconds=30",
    "gateway.minReadySeconds=0",
];
const LEAST: u32 = 2;
/// As little as that takes.
const SWITCHED_ON: [&str; 2] = [
    "gateway.autoscaling.enabled=true",
    "gateway.autoscaling.connectionsPerPod=0",
];
/// The metrics are measured every 10 s, and the autoscaler looks every 15 s.
const NOTICED: Duration = Duration::from_secs(150);

pub(super) async fn by_cpu(stage: &Stage) -> Result<Figures> {
    stage.cluster.measures().await?;
    let deployment = stage.deployment().await?;
    let result = up_and_down(stage, deployment).await;
    // The number is the autoscaler's until it is taken back.
    deployment.take_back().await?;
    result
}

async fn up_and_down(stage: &Stage, deployment: &Deployment) -> Result<Figures> {
    // Who scaled it by hand owns the number: it stays when Helm lets go of it.
    deployment
        .kubectl(&["scale", &gateways(), &format!("--replicas={LEAST}")])
        .await?;
    deployment.start_upgrade(&AUTOSCALED).await?;
    let first = replicas(deployment).await?;
    ensure!(
        first == LEAST,
        "{first} gateways, when the autoscaler was switched on"
    );
    deployment.rolled_out().await?;

    let mut figures = Figures::new("autoscaling by CPU");
    let few = stage.sizes.part(8);
    let base = Load::start(&deployment.entrance, few.sockets, few.rate).await?;
    let rest = stage.sizes.less(few);
    let crowd = Load::start(&deployment.entrance, rest.sockets, rest.rate).await?;
    let began = Instant::now();
    let most = more(deployment).await?;
    let took = format!("{:.0?}", began.elapsed());
    figures.row(&format!("from {LEAST} to {most} gateways after"), took);

    deployment.upgrade(&AUTOSCALED).await?;
    let kept = replicas(deployment).await?;
    ensure!(kept >= most, "an upgrade left {kept} of {most} gateways");
    figures.row("gateways after an upgrade", kept);
    let report = crowd.finish().await?;
    report.keeps_the_promise()?;
    report.no_call_failed()?;
    report.closes_were_planned(usize::MAX)?;

    let began = Instant::now();
    fewer(deployment).await?;
    let took = format!("{:.0?}", began.elapsed());
    figures.row(&format!("one by one back to {LEAST} after"), took);
    let report = base.finish().await?;
    report.describe(&mut figures);
    report.keeps_the_promise()?;
    report.no_call_failed()?;
    report.closes_were_planned(usize::MAX)?;
    Ok(figures)
}

/// Switched on where three run, by either Helm: never fewer than three.
pub(super) async fn switched_on(stage: &Stage) -> Result<Figures> {
    stage.cluster.measures().await?;
    let mut figures = Figures::new("autoscaling switched on in a release that runs");
    for helm in ["helm", "helm3"] {
        let deployment = Deployment::prepare("scaled", helm, stage.sizes.window()).await?;
        deployment.start_upgrade(&ELSEWHERE).await?;
        deployment.pods.settled(NOTICED).await?;
        let settings = [&ELSEWHERE[..], &SWITCHED_ON].concat();
        let fewest = tokio::select! {
            fewest = fewest(&deployment) => fewest?,
            upgraded = twice(&deployment, &settings) => match upgraded? {},
        };
        figures.row(&format!("the fewest gateways, by {helm}"), fewest);
        deployment.uninstall().await?;
        ensure!(fewest == 3, "{fewest} gateways by {helm}");
    }
    let words = ["delete", "namespace", "scaled", "--wait=false"];
    run("kubectl", &words).await?;
    Ok(figures)
}

/// Upgrades, and once more when the autoscaler has taken over; then waits to be ended.
async fn twice(deployment: &Deployment, settings: &[&str]) -> Result<Infallible> {
    for _ in 0..2 {
        deployment.start_upgrade(settings).await?;
        sleep(Duration::from_secs(30)).await;
    }
    pending().await
}

/// The fewest gateways, wanted or ready, looked at for as long as two upgrades take.
async fn fewest(deployment: &Deployment) -> Result<u32> {
    let began = Instant::now();
    let mut fewest = u32::MAX;
    while began.elapsed() < Duration::from_secs(75) {
        let pods = deployment.pods.list("gateway").await?;
        let ready = pods.iter().filter(|pod| pod.ready).count();
        fewest = fewest
            .min(replicas(deployment).await?)
            .min(u32::try_from(ready)?);
        sleep(Duration::from_millis(200)).await;
    }
    Ok(fewest)
}

fn gateways() -> String {
    format!("deployment/{RELEASE}-gateway")
}

/// How many gateways there are to be.
async fn replicas(deployment: &Deployment) -> Result<u32> {
    let words = ["get", &gateways(), "-o", "jsonpath={.spec.replicas}"];
    let said = deployment.kubectl(&words).await?;
    said.trim()
        .parse()
        .with_context(|| format!("{said:?} replicas"))
}

/// Waits for more gateways that are all ready.
async fn more(deployment: &Deployment) -> Result<u32> {
    eventually("more gateways", NOTICED, async || {
        sleep(Duration::from_secs(1)).await;
        let now = replicas(deployment).await?;
        ensure!(now > LEAST, "still {now}");
        Ok(())
    })
    .await?;
    deployment.pods.settled(NOTICED).await?;
    replicas(deployment).await
}

/// Waits until the fewest are left, each step of one gateway.
async fn fewer(deployment: &Deployment) -> Result<()> {
    let began = Instant::now();
    let mut before = replicas(deployment).await?;
    while before > LEAST {
        ensure!(began.elapsed() < 2 * NOTICED, "still {before} gateways");
        sleep(Duration::from_secs(1)).await;
        let now = replicas(deployment).await?;
        ensure!(now + 1 >= before, "from {before} to {now} gateways at once");
        before = now;
    }
    deployment.pods.settled(NOTICED).await
}
