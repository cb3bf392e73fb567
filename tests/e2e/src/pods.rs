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

/// Takes what memory is left to the process `$1` and a little more, in its control group; of the two the
/// kernel is to choose the process. Prints how many it has killed there for that since.
const EXHAUST: &str = r#"
group=$(sed -n 's/^[0-9]*:memory://p' /proc/$1/cgroup)
if [ -n "$group" ]; then
    group=/sys/fs/cgroup/memory$group limit=memory.limit_in_bytes own=total_rss events=memory.oom_control
else
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$1/cgroup) limit=memory.max own=anon events=memory.events
fi
killed() { sed -n 's/^oom_kill //p' "$group/$events"; }
before=$(killed)
# Against what cannot be reclaimed, so that it does not fit beside the process, and fits without it.
more=$(($(cat "$group/$limit") - $(sed -n "s/^$own //p" "$group/memory.stat") + 4194304))
# Neither this shell nor what it starts is chosen, nor killed with the group.
echo -1000 >/proc/self/oom_score_adj
echo $$ >"$group/cgroup.procs"
head -c $more /dev/zero | tail -c $more >/dev/null
echo $(($(killed) - before))
"#;

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

    /// How often containers of any of the pods were restarted.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(crate) async fn restarts(&self) -> Result<i32> {
        let pods = self.labelled("").await?;
        Ok(pods.iter().map(|pod| pod.restarts).sum())
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

    /// Kills a pod's program as a crash does: no signal that it could handle, no goodbye.
    ///
    /// # Errors
    /// When its process is not found.
    pub(crate) async fn kill(&self, pod: &Seen) -> Result<()> {
        signal(pod, "KILL").await
    }

    /// Stops a pod's program, which is not over: nothing restarts it.
    ///
    /// # Errors
    /// When its process is not found.
    pub(crate) async fn stop(&self, pod: &Seen) -> Result<()> {
        signal(pod, "STOP").await
    }

    /// Uses up a pod's memory, so that the kernel kills its program.
    ///
    /// # Errors
    /// When its process is not found, does not end, or not for its memory.
    pub(crate) async fn exhaust(&self, pod: &Seen) -> Result<()> {
        let id = process(pod).await?;
        let words = ["sh", "-c", EXHAUST, "sh", &id];
        let killed = Cluster::on_node(&pod.node, &words).await?;
        // The kubelet's word for it is a race of two events within the runtime; the kernel counts.
        ensure!(killed.trim() != "0", "the kernel killed nothing for it");
        eventually("the kernel ends it", Duration::from_secs(30), async || {
            let there = Cluster::on_node(&pod.node, &["test", "-d", &format!("/proc/{id}")]).await;
            ensure!(there.is_err(), "process {id} still runs");
            Ok(())
        })
        .await
    }

    /// With what code the container of a pod ended since it was seen, as soon as the kubelet has said so.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn end_of(&self, pod: &Seen) -> Result<i32> {
        let within = Duration::from_secs(60);
        eventually("how the container ended", within, async || {
            let status = self.get(&pod.name).await?.and_then(|it| it.status);
            let containers = status.and_then(|it| it.container_statuses);
            let containers = containers.unwrap_or_default();
            let container = containers.first().context("no container")?;
            ensure!(container.restart_count > pod.restarts, "not restarted yet");
            let before = container.last_state.clone().and_then(|it| it.terminated);
            Ok(before.context("no end")?.exit_code)
        })
        .await
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

async fn signal(pod: &Seen, name: &str) -> Result<()> {
    let id = process(pod).await?;
    let kill = ["kill", &format!("-{name}"), &id];
    Cluster::on_node(&pod.node, &kill).await.map(drop)
}

/// The id of a pod's process on its node.
async fn process(pod: &Seen) -> Result<String> {
    let words = ["ctr", "--namespace", "k8s.io", "tasks", "list"];
    let tasks = Cluster::on_node(&pod.node, &words).await?;
    let line = tasks.lines().find(|line| line.starts_with(&pod.container));
    let id = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(id
        .with_context(|| format!("no process of {}", pod.name))?
        .to_owned())
}
