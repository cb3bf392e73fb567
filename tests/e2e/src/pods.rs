//! The release's pods, through the API server.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use carillon_tests::poll::eventually;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};

use crate::cluster::Cluster;

/// The pods of one release.
#[derive(Clone)]
pub(crate) struct Pods {
    api: Api<Pod>,
}

/// What a test needs to know of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    /// Its name.
    pub(crate) name: String,
    /// Its unique id.
    pub(crate) uid: String,
    /// Where it runs.
    pub(crate) node: String,
    /// Ready, and not leaving.
    pub(crate) ready: bool,
    /// Being deleted.
    pub(crate) leaving: bool,
    /// Restarts of its containers.
    pub(crate) restarts: i32,
    /// The image of its container.
    pub(crate) image: String,
    /// The first container's id, without its scheme.
    pub(crate) container: String,
}

impl Pods {
    /// Of a namespace.
    ///
    /// # Errors
    /// Without a kubeconfig.
    pub(crate) async fn of(namespace: &str) -> Result<Self> {
        let client = Client::try_default().await.context("a kubeconfig")?;
        Ok(Self {
            api: Api::namespaced(client, namespace),
        })
    }

    /// The pods of a component: `gateway`, `dispatcher`, `redis`.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(crate) async fn list(&self, component: &str) -> Result<Vec<Seen>> {
        self.labelled(&format!("app.kubernetes.io/component={component}"))
            .await
    }

    /// The pods with these labels.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(crate) async fn labelled(&self, selector: &str) -> Result<Vec<Seen>> {
        let pods = self
            .api
            .list(&ListParams::default().labels(selector))
            .await?;
        let mut seen: Vec<_> = pods.items.iter().map(seen).collect();
        seen.sort();
        Ok(seen)
    }

    /// Waits until all pods are ready and none is leaving.
    ///
    /// # Errors
    /// When `within` has passed.
    pub(crate) async fn settled(&self, within: Duration) -> Result<()> {
        eventually(
            "every pod is ready and none is leaving",
            within,
            async || {
                tokio::time::sleep(Duration::from_millis(300)).await;
                for component in ["gateway", "dispatcher"] {
                    let pods = self.list(component).await?;
                    ensure!(!pods.is_empty(), "no {component}");
                    let waiting: Vec<_> = pods.iter().filter(|pod| !pod.ready).collect();
                    ensure!(waiting.is_empty(), "not settled: {waiting:?}");
                }
                Ok(())
            },
        )
        .await
    }

    /// By component and pod: uid and restarts, to see what a change replaced.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(crate) async fn identities(
        &self,
        component: &str,
    ) -> Result<BTreeMap<String, (String, i32)>> {
        let pods = self.list(component).await?.into_iter();
        Ok(pods
            .map(|pod| (pod.name, (pod.uid, pod.restarts)))
            .collect())
    }

    /// Kills a pod's program as a crash does: no signal that it could heed, no goodbye.
    ///
    /// # Errors
    /// When its process is not found.
    pub(crate) async fn kill(&self, pod: &Seen) -> Result<()> {
        let tasks = Cluster::on_node(
            &pod.node,
            &["ctr", "--namespace", "k8s.io", "tasks", "list"],
        )
        .await?;
        let line = tasks.lines().find(|line| line.starts_with(&pod.container));
        let id = line
            .and_then(|line| line.split_whitespace().nth(1))
            .with_context(|| format!("no process of {}", pod.name))?;
        Cluster::on_node(&pod.node, &["kill", "-9", id]).await?;
        Ok(())
    }

    /// Deletes a pod in order, as a rollout or an eviction does.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// A pod's address.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) async fn address(&self, name: &str) -> Result<String> {
        let status = self.api.get(name).await?.status;
        status
            .and_then(|it| it.pod_ip)
            .with_context(|| format!("{name} has no address"))
    }

    /// The pod itself.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Pod>> {
        Ok(self.api.get_opt(name).await?)
    }
}

fn seen(pod: &Pod) -> Seen {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions
        .iter()
        .any(|it| it.type_ == "Ready" && it.status == "True");
    let container = containers
        .first()
        .and_then(|it| it.container_id.clone())
        .unwrap_or_default();
    Seen {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        node: spec.node_name.unwrap_or_default(),
        ready: ready && !leaving,
        leaving,
        restarts: containers.iter().map(|it| it.restart_count).sum(),
        image: spec
            .containers
            .first()
            .and_then(|it| it.image.clone())
            .unwrap_or_default(),
        container: container.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}
