//! The scenarios. Each leaves the cluster as it found it, or the next one mends it
//! ([`Stage::deployment`]).

mod admission;
mod autoscaling;
mod browser;
mod configuration;
mod crash;
mod dedicated_nodes;
mod edge;
mod failed_upgrade;
mod families;
mod foreign_redis;
mod install;
mod keys;
mod network;
mod nodes;
mod readme;
mod redis;
mod redis_cluster;
mod rollback;
mod rollout;
mod scaling;
mod shutdown;
mod slow;
mod systemd;
mod umbrella;

use std::pin::Pin;

use anyhow::Result;
use carillon_tests::figures::Figures;

use crate::{
    entrance::Entrance,
    load::{Load, Report},
    stage::{Sizes, Stage},
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
    "readme" readme::word_for_word: "the chart's README, word for word: ready within 90 s, helm test green, a notification shown, nothing left";
    "install-helm3" install::with_helm3: "the same by Helm 3, under the restricted profile and without a warning";
    "kustomize" install::with_kustomize: "k8s/overlays/kind: ready within 90 s, nothing left";
    "reapply" install::again: "an upgrade without a change replaces no pod";
    "cluster-domain" network::domain: "a cluster whose names do not end in cluster.local";
    "rollout" rollout::forward: "the next version, with a raised protocol, under traffic: nothing lost, no call fails, a client moves once";
    "rollout-back" rollout::back: "and back to this one: the same";
    "restart" rollout::restart: "kubectl rollout restart under traffic: the same";
    "rollback" rollback::in_the_middle: "back in the middle of a rollout: nothing lost, old pods keep their sockets";
    "bad-image" rollback::of_a_bad_image: "an image that does not start: undone, no socket closed";
    "failed-upgrade" failed_upgrade::leaves_old_pods_whole: "new pods crash: old ones are killed, deleted and undone, nothing lost, no call refused";
    "configuration" configuration::of_one_service: "a setting restarts the pods that read it, and only those; a new API key none";
    "keys" keys::come_and_go: "issuers and API keys added, rotated, broken and revoked in the mounted Secret: no other socket closed, nothing lost";
    "crash-gateway" crash::of_a_gateway: "kill -9: clients back within 5 s, nothing lost, presence right";
    "crash-memory" crash::of_memory: "killed by the kernel for its memory: the same";
    "crash-dispatcher" crash::of_a_dispatcher: "kill -9: every failed call succeeds within 5 s under its key";
    "node-drain" nodes::drained: "kubectl drain under traffic: nothing lost, no call fails";
    "shutdown" shutdown::timeline: "ready while load balancers learn, then drained, exit code 0 before the grace ends";
    "scale-up" scaling::up: "gateways added under traffic: clients move to them when asked, nothing lost";
    "autoscaling" autoscaling::by_cpu: "up under load and down one by one: nothing lost, an upgrade keeps the number";
    "autoscaling-on" autoscaling::switched_on: "switched on in a release that runs, by Helm 4 and 3: never fewer pods";
    "redis-restart" redis::restart: "Redis killed and back: no socket closed, pods stay ready, nothing lost";
    "redis-sentinel" redis::sentinel: "failovers: no socket closed, sends go on, nothing lost";
    "redis-cluster" redis_cluster::moved: "slots moved and a primary killed: no socket closed, nothing lost";
    "foreign-redis" foreign_redis::under_the_default_policy: "port 6380 and a Secret with a password alone: connections cut under the policy come back, no socket closed";
    "partition" network::partition: "gateways cut off from Redis: sockets stay, nothing lost";
    "slow-redis" slow::network: "25 ms each way, then nothing at all: no socket closed, pods stay ready, nothing lost";
    "network-policy" network::policy: "friends get through, strangers do not";
    "umbrella" umbrella::applied_twice: "a dependency, applied as Argo CD does: the second time changes nothing";
    "dedicated-nodes" dedicated_nodes::tested: "tainted nodes: ready, helm test green, and failing at once without its Secret";
    "families" families::both: "clusters of IPv6 alone and of both families, the same values: ready, helm test green, every Service answers by each";
    "edge-certificate" edge::renewed: "a new certificate at the ingress: no socket closed, nothing lost";
    "edge-restart" edge::restarted: "the ingress replaced: everyone back, nothing lost";
    "admission" admission::of_every_render: "every value set and overlay: taken by the API server under the restricted profile, and valid by kubeconform, strict";
    "browser" browser::survives_a_rollout: "Chromium through the ingress, wss: nothing missed in a rollout";
    "systemd" systemd::hosts: "without Kubernetes: two hosts as examples/systemd says, behind nginx: updated, killed, misconfigured, nothing lost";
};

/// Traffic around something that happens to the shared release.
async fn under_load(
    stage: &Stage,
    title: &str,
    what: impl AsyncFnOnce(&mut Figures) -> Result<()>,
) -> Result<(Figures, Report)> {
    let deployment = stage.deployment().await?;
    traffic(&deployment.entrance, stage.sizes, title, what).await
}

/// Traffic around something that happens to a deployment as it is.
async fn traffic(
    entrance: &Entrance,
    sizes: Sizes,
    title: &str,
    what: impl AsyncFnOnce(&mut Figures) -> Result<()>,
) -> Result<(Figures, Report)> {
    let mut figures = Figures::new(title);
    let load = Load::start(entrance, sizes.sockets, sizes.rate).await?;
    what(&mut figures).await?;
    let report = load.finish().await?;
    report.describe(&mut figures);
    report.keeps_the_promise()?;
    Ok((figures, report))
}
