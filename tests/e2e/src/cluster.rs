//! The Kubernetes that the tests run in: made by kind, or one that is there already.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::command::run;

/// The images that are loaded onto the nodes.
pub(crate) const IMAGES: [&str; 5] = [
    "carillon-gateway:test",
    "carillon-dispatcher:test",
    "carillon:test",
    "carillon-gateway:next",
    "carillon-dispatcher:next",
];
/// The Redis of the tests.
pub(crate) const REDIS: &str = "redis:7.0";

/// A metrics server made on this machine.
const METRICS_SERVER: &str = "metrics-server:0.9";

/// A cluster of kind's.
pub(crate) struct Cluster {
    name: String,
    keep: bool,
}

/// A file of these tests.
#[must_use]
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The repository's root.
///
/// # Errors
/// When these tests were moved elsewhere.
pub(crate) fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    Ok(root.context("the tests are in tests/e2e")?.to_owned())
}

impl Cluster {
    /// Makes a cluster, or takes the one of this name that is there; with `keep` it stays afterwards.
    ///
    /// # Errors
    /// When kind cannot make one.
    pub(crate) async fn up(name: &str, keep: bool) -> Result<Self> {
        if !is_there(name).await? {
            create(name).await?;
        }
        let cluster = Self {
            name: name.to_owned(),
            keep,
        };
        cluster.load(&IMAGES).await?;
        cluster.load(&[REDIS]).await?;
        let ingress = std::env::var("INGRESS_MANIFEST")
            .context("INGRESS_MANIFEST names the manifest of an ingress controller")?;
        run("kubectl", &["apply", "-f", &ingress]).await?;
        Ok(cluster)
    }

    /// Lets the cluster measure what pods use.
    ///
    /// # Errors
    /// When the metrics server does not start.
    pub(crate) async fn measures(&self) -> Result<()> {
        let manifest = std::env::var("METRICS_MANIFEST")
            .context("METRICS_MANIFEST names the manifest of a metrics server")?;
        // Where it is not published but made here.
        if run("docker", &["image", "inspect", METRICS_SERVER])
            .await
            .is_ok()
        {
            self.load(&[METRICS_SERVER]).await?;
        }
        run("kubectl", &["apply", "-f", &manifest]).await?;
        let server = ["-n", "kube-system", "deployment/metrics-server"];
        let shown = run("kubectl", &[&["get", "-o", "yaml"], &server[..]].concat()).await?;
        // The certificates of kind's nodes are their own.
        if !shown.contains("--kubelet-insecure-tls") {
            let more = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--kubelet-insecure-tls"}]"#;
            let patch = ["patch", "--type=json", "--patch", more];
            run("kubectl", &[&patch, &server[..]].concat()).await?;
        }
        let status = ["rollout", "status", "--timeout=120s"];
        run("kubectl", &[&status, &server[..]].concat())
            .await
            .map(drop)
    }

    /// Puts images of this machine onto every node.
    ///
    /// # Errors
    /// When one is not here.
    pub(crate) async fn load(&self, images: &[&str]) -> Result<()> {
        let mut arguments = vec!["load", "docker-image", "--name", &self.name];
        arguments.extend(images);
        run("kind", &arguments).await?;
        Ok(())
    }

    /// Runs a program on a node, as root.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn on_node(node: &str, words: &[&str]) -> Result<String> {
        let mut arguments = vec!["exec", node];
        arguments.extend(words);
        run("docker", &arguments).await
    }

    /// The nodes that pods of the tests run on.
    ///
    /// # Errors
    /// When Kubernetes does not say.
    pub(crate) async fn workers() -> Result<Vec<String>> {
        let zoned = "--selector=topology.kubernetes.io/zone";
        let said = run("kubectl", &["get", "nodes", zoned, "--output=name"]).await?;
        let names = said.lines().filter_map(|line| line.strip_prefix("node/"));
        Ok(names.map(str::to_owned).collect())
    }

    /// A node's address, of which this machine has the way.
    ///
    /// # Errors
    /// When the engine knows none.
    pub(crate) async fn address(node: &str) -> Result<Ipv4Addr> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let words = ["inspect", node, "--format", format];
        first_address(&run("docker", &words).await?)
    }

    /// This machine's address, as nodes and pods reach it.
    ///
    /// # Errors
    /// When kind's network has none.
    pub(crate) async fn host() -> Result<Ipv4Addr> {
        let format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
        let words = ["network", "inspect", "kind", "--format", format];
        first_address(&run("docker", &words).await?)
    }

    /// Removes it, unless it is to stay.
    ///
    /// # Errors
    /// When kind cannot.
    pub(crate) async fn down(&self) -> Result<()> {
        if !self.keep {
            run("kind", &["delete", "cluster", "--name", &self.name]).await?;
        }
        Ok(())
    }
}

fn first_address(said: &str) -> Result<Ipv4Addr> {
    let mut addresses = said.split_whitespace();
    let address = addresses.find_map(|address| address.parse().ok());
    address.with_context(|| format!("no IPv4 address: {said:?}"))
}

/// Whether a cluster of this name is there and answers; one that does not is removed.
async fn is_there(name: &str) -> Result<bool> {
    let there = run("kind", &["get", "clusters"]).await?;
    if !there.lines().any(|line| line == name) {
        return Ok(false);
    }
    let reachable = async {
        run("kind", &["export", "kubeconfig", "--name", name]).await?;
        let words = [
            "wait",
            "--for=condition=Ready",
            "nodes",
            "--all",
            "--timeout=20s",
        ];
        run("kubectl", &words).await
    };
    if reachable.await.is_ok() {
        return Ok(true);
    }
    println!("the cluster {name} does not answer: it is made anew");
    run("kind", &["delete", "cluster", "--name", name]).await?;
    Ok(false)
}

async fn create(name: &str) -> Result<()> {
    let config = file("kind.yaml").display().to_string();
    let mut arguments = vec!["create", "cluster", "--name", name, "--config", &config];
    let image = std::env::var("KIND_NODE_IMAGE").unwrap_or_default();
    if !image.is_empty() {
        arguments.extend(["--image", &image]);
    }
    arguments.extend(["--wait", "180s"]);
    run("kind", &arguments).await.map(drop)
}
