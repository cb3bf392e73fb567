//! The scenarios. Each leaves the cluster as it found it, or the next one mends it
//! ([`Stage::deployment`]).

mod browser;
mod configuration;
mod crash;
mod install;
mod network;
mod nodes;
mod redis;
mod rollback;
mod rollout;
mod shutdown;

use std::pin::Pin;

use anyhow::Result;
use carillon_tests::figures::Figures;

use crate::{
    load::{Load, Report},
    stage::Stage,
};

type Running<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// A scenario.
pub(crate) struct Scenario {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it asserts.
    pub(crate) asserts: &'static str,
    /// Runs it; answers with its figures.
    pub(crate) run: for<'a> fn(&'a Stage) -> Running<'a>,
}

macro_rules! scenarios {
    ($($name:literal $run:path: $asserts:literal;)*) => {
        &[$(Scenario {
            name: $name,
            asserts: $asserts,
            run: |stage| Box::pin(async move { Ok($run(stage).await?.to_string()) }),
        },)*]
    };
}

/// All of them, in the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = scenarios! {
    "install" install::with_helm: "ready within 90 s without a warning, helm test green, nothing left after uninstall";
    "install-helm3" install::with_helm3: "the same with Helm 3";
    "reapply" install::again: "an upgrade without a change replaces no pod";
    "rollout" rollout::under_load: "a new version under traffic: nothing lost, no call fails, a client moves once";
    "restart" rollout::restart: "kubectl rollout restart under traffic: the same";
    "rollback" rollback::in_the_middle: "back in the middle of a rollout: nothing lost, old pods keep their sockets";
    "bad-image" rollback::of_a_bad_image: "an image that does not start: undone, no socket closed";
    "configuration" configuration::of_one_service: "a setting restarts the pods that read it, and only those; a new API key none";
    "crash-gateway" crash::of_a_gateway: "kill -9: clients back within 5 s, nothing lost, presence right";
    "crash-dispatcher" crash::of_a_dispatcher: "kill -9: every failed call succeeds within 5 s under its key";
    "node-drain" nodes::drained: "kubectl drain under traffic: nothing lost, no call fails";
    "shutdown" shutdown::timeline: "ready while load balancers learn, then drained, exit code 0 before the grace ends";
    "redis-restart" redis::restart: "Redis killed and back: no socket closed, pods stay ready, nothing lost";
    "redis-sentinel" redis::sentinel: "failovers: no socket closed, sends go on, nothing lost";
    "partition" network::partition: "gateways cut off from Redis: sockets stay, nothing lost";
    "network-policy" network::policy: "friends get through, strangers do not";
    "browser" browser::survives_a_rollout: "Chromium through the ingress, wss: nothing missed in a rollout";
};

/// Traffic around something that happens.
async fn under_load(
    stage: &Stage,
    title: &str,
    what: impl AsyncFnOnce(&mut Figures) -> Result<()>,
) -> Result<(Figures, Report)> {
    let deployment = stage.deployment().await?;
    let mut figures = Figures::new(title);
    let load = Load::start(deployment, stage.sizes.sockets, stage.sizes.rate).await?;
    what(&mut figures).await?;
    let report = load.finish().await?;
    report.describe(&mut figures);
    report.keeps_the_promise()?;
    Ok((figures, report))
}
