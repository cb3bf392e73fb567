//! Carillon in the cluster, installed with Helm.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::poll::eventually;
use serde_json::{Value, json};

use crate::{
    access::Access,
    cluster::{file, root},
    command::{feed, run},
    entrance::Entrance,
    pods::Pods,
};

/// The release of the scenarios.
pub(crate) const RELEASE: &str = "carillon";
/// Where the ingress is reached: more ports than one, for more sockets than the way through one has
/// room for (kind.yaml).
const WAYS: [&str; 3] = ["localhost:8443", "localhost:8444", "localhost:8445"];
/// Where whoever needs one way only goes.
pub(crate) const INGRESS: &str = WAYS[0];

/// A release, and the way to it.
pub(crate) struct Deployment {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Keys and certificates.
    pub(crate) access: Access,
    /// Its pods.
    pub(crate) pods: Pods,
    /// Over how long a gateway closes its sockets.
    pub(crate) window: Duration,
    /// Where clients and services come in: the ingress.
    pub(crate) entrance: Entrance,
    /// `helm`, or another version of it.
    helm: &'static str,
}

impl Deployment {
    /// A namespace that enforces the restricted Pod Security Standard, and the Secrets of a release.
    ///
    /// # Errors
    /// When Kubernetes refuses it.
    pub(crate) async fn prepare(
        namespace: &str,
        helm: &'static str,
        window: Duration,
    ) -> Result<Self> {
        let access = Access::new().await?;
        let objects = prerequisites(namespace, &access)?;
        // One that an earlier run left knows none of these keys, and perhaps older images.
        removed(helm, namespace).await?;
        feed("kubectl", &["apply", "-f", "-"], &objects.to_string()).await?;
        let sockets = WAYS.map(|way| format!("wss://{way}")).join(",");
        let rest = format!("https://{INGRESS}");
        Ok(Self {
            pods: Pods::of(namespace).await?,
            namespace: namespace.to_owned(),
            entrance: Entrance::new(sockets, rest, access.folder())?,
            access,
            window,
            helm,
        })
    }

    /// Gives the ingress a new certificate.
    ///
    /// # Errors
    /// When Kubernetes refuses it.
    pub(crate) async fn renew_certificate(&self) -> Result<()> {
        self.access.certify().await?;
        let secret = certificate(&self.namespace, &self.access)?;
        feed("kubectl", &["apply", "-f", "-"], &secret.to_string()).await?;
        Ok(())
    }

    /// Where a client connects.
    #[must_use]
    pub(crate) fn socket(&self) -> String {
        format!("wss://{INGRESS}")
    }

    /// Installs or upgrades the release with the tests' values and these settings, and waits until
    /// its new pods are ready (and, for gateways, the old ones gone).
    ///
    /// # Errors
    /// When Helm or Kubernetes refuses it, or it does not become ready.
    pub(crate) async fn upgrade(&self, settings: &[&str]) -> Result<()> {
        self.start_upgrade(settings).await?;
        self.rolled_out().await
    }

    /// The same without waiting; answers with what Helm said.
    ///
    /// # Errors
    /// When Helm or Kubernetes refuses it.
    pub(crate) async fn start_upgrade(&self, settings: &[&str]) -> Result<String> {
        self.install(settings, &[]).await
    }

    /// The same, and takes what others have changed.
    ///
    /// # Errors
    /// When Helm or Kubernetes refuses it, or it does not become ready.
    pub(crate) async fn take_back(&self) -> Result<()> {
        self.install(&[], &["--force-conflicts"]).await?;
        self.rolled_out().await
    }

    /// Installs or upgrades with these settings, and flags of Helm.
    ///
    /// # Errors
    /// When Helm or Kubernetes refuses it.
    pub(crate) async fn install(&self, settings: &[&str], flags: &[&str]) -> Result<String> {
        let chart = root()?.join("helm/carillon").display().to_string();
        let images = file("images.yaml").display().to_string();
        let values = file("values.yaml").display().to_string();
        let mut words = vec![
            "upgrade",
            "--install",
            RELEASE,
            &chart,
            "--namespace",
            &self.namespace,
            "--values",
            &images,
            "--values",
            &values,
        ];
        words.extend(flags);
        let window = format!("gateway.drain.windowSeconds={}", self.window.as_secs());
        for setting in [&[window.as_str()], settings].concat() {
            words.extend(["--set", setting]);
        }
        run(self.helm, &words).await
    }

    /// Runs Helm on this release.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn helm(&self, words: &[&str]) -> Result<String> {
        let mut all = words.to_vec();
        all.extend(["--namespace", &self.namespace]);
        run(self.helm, &all).await
    }

    /// Runs kubectl in this namespace.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn kubectl(&self, words: &[&str]) -> Result<String> {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(words);
        run("kubectl", &all).await
    }

    /// Waits until every gateway listens to broadcasts in the release's own Redis, which may have
    /// been replaced a moment ago.
    async fn listening(&self) -> Result<()> {
        let gateways = self.pods.list("gateway").await?.len().to_string();
        let within = Duration::from_secs(60);
        eventually("every gateway listens", within, async || {
            let words = ["pubsub", "shardchannels", r"*:ch:\*"];
            let channel = self.redis_cli(&words).await?;
            let words = ["pubsub", "shardnumsub", channel.trim()];
            let listening = self.redis_cli(&words).await?;
            let all = listening.lines().nth(1) == Some(&gateways);
            ensure!(all, "of {gateways}: {listening}");
            Ok(())
        })
        .await
    }

    /// Runs redis-cli in the release's own Redis.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn redis_cli(&self, words: &[&str]) -> Result<String> {
        let pod = format!("{RELEASE}-redis-0");
        self.kubectl(&[&["exec", &pod, "--", "redis-cli"], words].concat())
            .await
    }

    /// Waits until every pod of the release is of its newest revision and ready, and no other left.
    ///
    /// # Errors
    /// When that takes longer than a rollout with its drain.
    pub(crate) async fn rolled_out(&self) -> Result<()> {
        for component in ["gateway", "dispatcher"] {
            let name = format!("deployment/{RELEASE}-{component}");
            self.kubectl(&["rollout", "status", &name, "--timeout=240s"])
                .await?;
        }
        let redis = format!("statefulset/{RELEASE}-redis");
        let there = self.kubectl(&["get", &redis, "--ignore-not-found"]).await?;
        if !there.is_empty() {
            self.kubectl(&["rollout", "status", &redis, "--timeout=120s"])
                .await?;
        }
        self.pods.settled(Duration::from_secs(180)).await?;
        if !there.is_empty() {
            self.listening().await?;
        }
        // The ingress learns of the last change a moment later.
        self.entrance.answers(Duration::from_secs(60)).await
    }

    /// Removes the release.
    ///
    /// # Errors
    /// When Helm cannot.
    pub(crate) async fn uninstall(&self) -> Result<()> {
        let words = ["uninstall", RELEASE, "--wait", "--timeout", "180s"];
        self.helm(&words).await.map(drop)
    }
}

/// A namespace that enforces the restricted Pod Security Standard, and the Secrets of a release in it.
///
/// # Errors
/// When a certificate cannot be read, or a token signed.
pub(crate) fn prerequisites(namespace: &str, access: &Access) -> Result<Value> {
    let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
    let labels = json!({ level("enforce"): "restricted", level("warn"): "restricted" });
    let [issuers, secret, keys] = &access.auth;
    let files = access
        .auth
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!(text)));
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace",
          "metadata": { "name": namespace, "labels": labels } },
        { "apiVersion": "v1", "kind": "Secret",
          "metadata": { "name": "carillon-auth", "namespace": namespace },
          "stringData": Value::Object(files.collect()) },
        // The same apart, as the chart's README and kustomize have it.
        { "apiVersion": "v1", "kind": "Secret",
          "metadata": { "name": "carillon-issuers", "namespace": namespace },
          "stringData": { (issuers.0): issuers.1, (secret.0): secret.1 } },
        { "apiVersion": "v1", "kind": "Secret",
          "metadata": { "name": "carillon-keys", "namespace": namespace },
          "stringData": { (keys.0): keys.1 } },
        { "apiVersion": "v1", "kind": "Secret",
          "metadata": { "name": "carillon-test", "namespace": namespace },
          "stringData": { "token": access.token("helm-test")?, "key": access.key } },
        certificate(namespace, access)?,
    ]}))
}

/// Removes the release from a namespace, if it is there.
///
/// # Errors
/// When Helm cannot.
pub(crate) async fn removed(helm: &str, namespace: &str) -> Result<()> {
    let words = ["uninstall", RELEASE, "-n", namespace, "--ignore-not-found"];
    run(helm, &[&words[..], &["--wait"]].concat())
        .await
        .map(drop)
}

/// Waits until nothing of the release is left in a namespace.
///
/// # Errors
/// What is.
pub(crate) async fn nothing_left(namespace: &str) -> Result<()> {
    let kinds =
        "all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,ingress,pdb,pvc";
    let selector = format!("app.kubernetes.io/instance={RELEASE}");
    let words = ["get", kinds, "-n", namespace, "-l", &selector, "-o", "name"];
    let within = Duration::from_secs(90);
    eventually("nothing of the release is left", within, async || {
        let left = run("kubectl", &words).await?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await
}

/// The Secret of the ingress's certificate.
fn certificate(namespace: &str, access: &Access) -> Result<Value> {
    let read = |name| std::fs::read_to_string(access.path(name));
    Ok(
        json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": "carillon-tls", "namespace": namespace },
            "stringData": { "tls.crt": read("tls.crt")?, "tls.key": read("tls.key")? } }),
    )
}
