//! Cut networks, and networks that are to be cut.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};

use super::under_load;
use crate::{
    cluster::{Cluster, file},
    command::run,
    deployment::{Deployment, RELEASE},
    stage::Stage,
};

/// Below `lease.isolation_deadline`, above the lease.
const CUT: Duration = Duration::from_secs(30);

pub(super) async fn partition(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let (mut figures, report) = under_load(stage, "gateways cut off from Redis", async |figures| {
        let redis = deployment.pods.list("redis").await?;
        let redis = redis.first().context("no Redis")?;
        let address = deployment.pods.address(&redis.name).await?;
        let gateways = deployment.pods.list("gateway").await?;
        let far = gateways.iter().find(|pod| pod.node != redis.node);
        let node = &far.context("every gateway is on Redis' node")?.node;
        let table = format!(
            "add table inet cut; add chain inet cut forwarded {{ type filter hook forward priority -300; }}; \
             add rule inet cut forwarded ip daddr {address} drop; add rule inet cut forwarded ip saddr {address} drop"
        );
        Cluster::on_node(node, &["nft", &table]).await?;
        tokio::time::sleep(CUT).await;
        let ready = deployment.pods.list("gateway").await?;
        Cluster::on_node(node, &["nft", "delete table inet cut"]).await?;
        ensure!(ready.iter().all(|pod| pod.ready), "gateways are not ready: {ready:?}");
        figures.row("cut off for", format!("{CUT:?}, everything on {node}"));
        tokio::time::sleep(Duration::from_secs(10)).await;
        Ok(())
    })
    .await?;
    ensure!(
        report.closes.is_empty(),
        "sockets closed: {:?}",
        report.closes
    );
    figures.row("sockets closed", 0);
    Ok(figures)
}

/// Who may read metrics.
const SCRAPED: [&str; 2] = [
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=strangers",
    "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=scraper",
];

/// A pod of `manifests/probe.yaml` that tries to reach something.
struct Probe<'a> {
    deployment: &'a Deployment,
    name: &'static str,
    namespace: &'static str,
}

impl Probe<'_> {
    async fn reaches(&self, host: &str, port: u16) -> bool {
        let (pod, port) = (self.name, port.to_string());
        let words = [
            "exec",
            "--namespace",
            self.namespace,
            pod,
            "--",
            "busybox",
            "nc",
            "-w",
            "3",
            host,
            &port,
        ];
        self.deployment.kubectl(&words).await.is_ok()
    }
}

pub(super) async fn policy(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment_with(&SCRAPED).await?;
    let manifest = file("manifests/probe.yaml").display().to_string();
    run("kubectl", &["apply", "-f", &manifest]).await?;
    for (namespace, pod) in [
        ("carillon", "like-a-gateway"),
        ("strangers", "stranger"),
        ("strangers", "scraper"),
    ] {
        let words = [
            "wait",
            "--namespace",
            namespace,
            "--for=jsonpath={.status.phase}=Running",
            "pod",
            pod,
            "--timeout=60s",
        ];
        deployment.kubectl(&words).await?;
    }
    let result = reach(deployment).await;
    // One of them is like a gateway's pod, and never ready.
    let now = [
        "delete",
        "-f",
        &manifest,
        "--wait=false",
        "--grace-period=0",
        "--force",
    ];
    run("kubectl", &now).await?;
    deployment.upgrade(&[]).await?;
    result
}

async fn reach(deployment: &Deployment) -> Result<Figures> {
    let address = async |component: &str| -> Result<String> {
        let pods = deployment.pods.list(component).await?;
        let pod = pods.iter().find(|pod| pod.ready).context("no pod")?;
        deployment.pods.address(&pod.name).await
    };
    let (redis, gateway, dispatcher) = (
        address("redis").await?,
        address("gateway").await?,
        address("dispatcher").await?,
    );
    let api = run_get("svc/kubernetes", "default").await?;
    let gateways = Probe {
        deployment,
        name: "like-a-gateway",
        namespace: "carillon",
    };
    let stranger = Probe {
        deployment,
        name: "stranger",
        namespace: "strangers",
    };
    let scraper = Probe {
        deployment,
        name: "scraper",
        namespace: "strangers",
    };
    let mut figures = Figures::new("who reaches what");
    let expected = [
        (&gateways, "Redis", redis.as_str(), 6379, true),
        (&gateways, "a dispatcher", &dispatcher, 8081, false),
        (&gateways, "the API server", &api, 443, false),
        (&stranger, "Redis", &redis, 6379, false),
        (&stranger, "a gateway's sockets", &gateway, 8080, true),
        (&stranger, "a dispatcher's REST", &dispatcher, 8081, true),
        (&stranger, "a gateway's metrics", &gateway, 9090, false),
        (
            &stranger,
            "a dispatcher's metrics",
            &dispatcher,
            9090,
            false,
        ),
        (&scraper, "a gateway's metrics", &gateway, 9090, true),
        (&scraper, "a dispatcher's metrics", &dispatcher, 9090, true),
    ];
    as_expected(&expected, &mut figures).await?;

    // Each service by itself: nobody but pods like these of the namespace may send now.
    let shop = "networkPolicy.dispatcher.ingressFrom[0].podSelector.matchLabels.app=shop";
    let narrowed = [&SCRAPED[..], &[shop]].concat();
    deployment.start_upgrade(&narrowed).await?;
    let expected = [
        (
            &stranger,
            "a dispatcher's REST now",
            dispatcher.as_str(),
            8081,
            false,
        ),
        (&stranger, "a gateway's sockets still", &gateway, 8080, true),
    ];
    as_expected(&expected, &mut figures).await?;
    Ok(figures)
}

/// What a probe tries to reach, and whether it may.
type Expected<'a> = (&'a Probe<'a>, &'a str, &'a str, u16, bool);

async fn as_expected(expected: &[Expected<'_>], figures: &mut Figures) -> Result<()> {
    let mut wrong = Vec::new();
    for &(probe, what, host, port, allowed) in expected {
        // A policy takes a moment to know a new pod.
        let as_expected = eventually(what, Duration::from_secs(20), async || {
            let reached = probe.reaches(host, port).await;
            ensure!(reached == allowed, "reached: {reached}");
            Ok(())
        });
        let verdict = as_expected.await.is_ok();
        let shown = if allowed { "reaches" } else { "does not reach" };
        figures.row(
            &format!("{} {shown} {what}", probe.name),
            if verdict { "yes" } else { "NO" },
        );
        if !verdict {
            wrong.push(format!("{} {shown} {what}: not so", probe.name));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

async fn run_get(object: &str, namespace: &str) -> Result<String> {
    let words = [
        "get",
        object,
        "--namespace",
        namespace,
        "-o",
        "jsonpath={.spec.clusterIP}",
    ];
    run("kubectl", &words).await
}

pub(super) async fn domain(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let pod = format!("{RELEASE}-redis-0");
    let words = ["exec", &pod, "--", "busybox", "cat", "/etc/resolv.conf"];
    let resolver = deployment.kubectl(&words).await?;
    let search = resolver
        .lines()
        .find_map(|line| line.strip_prefix("search "))
        .context("a search path")?;
    let own = format!("{}.svc.", deployment.namespace);
    let domain = search.split(' ').find_map(|name| name.strip_prefix(&own));
    let domain = domain.context("the namespace's own domain")?;
    ensure!(domain != "cluster.local", "the usual domain proves nothing");
    // Everything is ready and found each other: Redis by the gateways, both by the ingress.
    deployment.entrance.online().await?;
    let mut figures = Figures::new("another cluster domain");
    figures.row("names end in", domain);
    Ok(figures)
}
