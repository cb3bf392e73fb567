//! Clusters whose pods have IPv6 addresses alone, or one of each family: one node each, beside the tests' own.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use carillon_tests::{figures::Figures, poll::eventually};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    access::Access,
    cluster::{IMAGES, REDIS, file, root},
    command::{feed, run},
    deployment::{RELEASE, prerequisites},
    stage::Stage,
};

const CLUSTER: &str = "carillon-families";
const NODE: &str = "carillon-families-control-plane";
const NAMESPACE: &str = "carillon";
const READY_WITHIN: &str = "180s";
/// The same for either cluster.
const VALUES: [&str; 5] = [
    "redis.mode=dev",
    "auth.existingSecret=carillon-auth",
    "tests.existingSecret=carillon-test",
    "gateway.service.ipFamilyPolicy=PreferDualStack",
    "dispatcher.service.ipFamilyPolicy=PreferDualStack",
];
const SERVICES: [(&str, u16); 2] = [("gateway", 8080), ("dispatcher", 8081)];

pub(super) async fn both(_: &Stage) -> Result<Figures> {
    let mut figures = Figures::new("families of addresses");
    for (family, addresses) in [("ipv6", 1), ("dual", 2)] {
        let cluster = Alone::create(family).await?;
        let result = cluster.serves(family, addresses, &mut figures).await;
        cluster.delete().await?;
        result.with_context(|| format!("in a cluster of ipFamily {family}"))?;
    }
    Ok(figures)
}

/// A cluster of one node, which no other command of the tests means.
struct Alone {
    dir: TempDir,
}

impl Alone {
    async fn create(family: &str) -> Result<Self> {
        let cluster = Self {
            dir: TempDir::new()?,
        };
        cluster.delete().await?;
        // JSON is YAML, too. The network of pods comes below: not every one knows both families.
        let config = json!({
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {
                "ipFamily": family,
                "apiServerAddress": "127.0.0.1",
                "disableDefaultCNI": true,
            },
            "nodes": [{ "role": "control-plane" }],
        });
        fs::write(cluster.path("kind"), config.to_string())?;
        let (kubeconfig, config) = (cluster.path("kubeconfig"), cluster.path("kind"));
        let mut words = vec!["create", "cluster", "--name", CLUSTER];
        words.extend(["--kubeconfig", &kubeconfig, "--config", &config]);
        let image = std::env::var("KIND_NODE_IMAGE").unwrap_or_default();
        if !image.is_empty() {
            words.extend(["--image", &image]);
        }
        run("kind", &words).await?;
        cluster.connect_pods().await?;
        let images = [&["load", "docker-image", "--name", CLUSTER], &IMAGES[..3]].concat();
        run("kind", &images).await?;
        run("kind", &["load", "docker-image", "--name", CLUSTER, REDIS]).await?;
        Ok(cluster)
    }

    /// Gives pods addresses of the node's own ranges; between nodes there is nothing to route.
    async fn connect_pods(&self) -> Result<()> {
        let words = ["get", "node", NODE, "-o", "jsonpath={.spec.podCIDRs[*]}"];
        let within = Duration::from_secs(60);
        let ranges = eventually("ranges of addresses", within, async || {
            let said = self.kubectl(&words).await?;
            ensure!(!said.trim().is_empty(), "none yet");
            Ok(said)
        });
        let ranges = ranges.await?;
        let (mut subnets, mut routes) = (Vec::new(), Vec::new());
        for range in ranges.split_whitespace() {
            subnets.push(json!([{ "subnet": range }]));
            let everywhere = if range.contains(':') {
                "::/0"
            } else {
                "0.0.0.0/0"
            };
            routes.push(json!({ "dst": everywhere }));
        }
        let ipam = json!({ "type": "host-local", "ranges": subnets, "routes": routes });
        let network = json!({ "cniVersion": "0.4.0", "name": "alone",
            "plugins": [{ "type": "ptp", "ipam": ipam }] });
        let folder = "/etc/cni/net.d";
        let script = format!("mkdir -p {folder} && cat >{folder}/10-alone.conflist");
        let words = ["exec", "-i", NODE, "sh", "-c", &script];
        feed("docker", &words, &network.to_string()).await?;
        let words = ["wait", "--for=condition=Ready", "node", NODE];
        self.kubectl(&[&words[..], &["--timeout=120s"]].concat())
            .await
            .map(drop)
    }

    async fn serves(&self, family: &str, addresses: usize, figures: &mut Figures) -> Result<()> {
        let access = Access::new().await?;
        let objects = prerequisites(NAMESPACE, &access)?.to_string();
        let env = self.env();
        feed("env", &[&env, "kubectl", "apply", "-f", "-"], &objects).await?;
        self.install().await?;
        let test = ["test", RELEASE, "--namespace", NAMESPACE];
        let tested = self
            .helm(&[&test[..], &["--timeout", "120s"]].concat())
            .await?;
        ensure!(tested.contains("Succeeded"), "helm test: {tested}");
        self.watches_pods().await?;
        for (service, port) in SERVICES {
            let name = format!("service/{RELEASE}-{service}");
            let words = ["get", &name, "-o", "jsonpath={.spec.clusterIPs[*]}"];
            let said = self.in_namespace(&words).await?;
            let found: Vec<_> = said.split_whitespace().collect();
            let of_ipv6 = found.iter().filter(|it| it.contains(':')).count();
            ensure!(
                (found.len(), of_ipv6) == (addresses, 1),
                "{service} has {found:?}"
            );
            for address in &found {
                answers(address, port).await?;
            }
            figures.row(&format!("{family}: {service} answers by"), found.join(", "));
        }
        Ok(())
    }

    async fn install(&self) -> Result<()> {
        let chart = root()?.join("helm/carillon").display().to_string();
        let images = file("images.yaml").display().to_string();
        let mut words = vec!["upgrade", "--install", RELEASE, &chart];
        words.extend(["--namespace", NAMESPACE, "--values", &images]);
        words.extend(["--wait", "--timeout", READY_WITHIN]);
        for value in &VALUES {
            words.extend(["--set", value]);
        }
        self.helm(&words).await.map(drop)
    }

    /// Dispatchers reach the API server, whose address is of that family, too.
    async fn watches_pods(&self) -> Result<()> {
        let of = "app.kubernetes.io/component=dispatcher";
        let log = self.in_namespace(&["logs", "-l", of, "--tail=-1"]).await?;
        ensure!(log.contains("watching the gateway pods"), "{log}");
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let kubeconfig = self.path("kubeconfig");
        let words = ["delete", "cluster", "--name", CLUSTER];
        run(
            "kind",
            &[&words[..], &["--kubeconfig", &kubeconfig]].concat(),
        )
        .await
        .map(drop)
    }

    async fn kubectl(&self, words: &[&str]) -> Result<String> {
        let env = self.env();
        run("env", &[&[&env, "kubectl"], words].concat()).await
    }

    async fn in_namespace(&self, words: &[&str]) -> Result<String> {
        self.kubectl(&[&["--namespace", NAMESPACE], words].concat())
            .await
    }

    async fn helm(&self, words: &[&str]) -> Result<String> {
        let env = self.env();
        run("env", &[&[&env, "helm"], words].concat()).await
    }

    fn env(&self) -> String {
        format!("KUBECONFIG={}", self.path("kubeconfig"))
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// That a Service shows its page at an address, as the node reaches it.
async fn answers(address: &str, port: u16) -> Result<()> {
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    let url = format!("http://{host}:{port}/");
    let curl = ["exec", NODE, "curl", "--silent", "--fail", "--globoff"];
    let asked = ["--max-time", "10", "--header", "Accept: text/html", &url];
    let page = run("docker", &[&curl[..], &asked].concat()).await?;
    ensure!(!page.trim().is_empty(), "{url} shows nothing");
    Ok(())
}
