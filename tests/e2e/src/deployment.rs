//! Carillon in the cluster, installed with Helm.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::poll::eventually;
use serde_json::{Value, json};

use crate::{
    access::Access,
    cluster::{file, root},
    command::{feed, run},
    pods::Pods,
};

/// The release of the scenarios.
pub(crate) const RELEASE: &str = "carillon";
/// Where the ingress is reached.
const INGRESS: &str = "localhost:8443";

/// A release, and the way to it.
pub(crate) struct Deployment {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Keys and certificates.
    pub(crate) access: Access,
    /// Its pods.
    pub(crate) pods: Pods,
    /// `helm`, or another version of it.
    helm: &'static str,
    http: reqwest::Client,
}

impl Deployment {
    /// A namespace that enforces the restricted Pod Security Standard, and the Secrets of a release.
    ///
    /// # Errors
    /// When Kubernetes refuses it.
    pub(crate) async fn prepare(namespace: &str, helm: &'static str) -> Result<Self> {
        let access = Access::new().await?;
        let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
        let labels = json!({ level("enforce"): "restricted", level("warn"): "restricted" });
        let files = access
            .auth
            .iter()
            .map(|(name, text)| ((*name).to_owned(), json!(text)));
        let read = |name| std::fs::read_to_string(access.path(name)).map(Value::from);
        let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Namespace",
              "metadata": { "name": namespace, "labels": labels } },
            { "apiVersion": "v1", "kind": "Secret",
              "metadata": { "name": "carillon-auth", "namespace": namespace },
              "stringData": Value::Object(files.collect()) },
            { "apiVersion": "v1", "kind": "Secret",
              "metadata": { "name": "carillon-test", "namespace": namespace },
              "stringData": { "token": access.token("helm-test")?, "key": access.key } },
            { "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
              "metadata": { "name": "carillon-tls", "namespace": namespace },
              "stringData": { "tls.crt": read("tls.crt")?, "tls.key": read("tls.key")? } },
        ]});
        // One that an earlier run left knows none of these keys, and perhaps older images.
        let words = [
            "uninstall",
            RELEASE,
            "--namespace",
            namespace,
            "--ignore-not-found",
            "--wait",
        ];
        run(helm, &words).await?;
        feed("kubectl", &["apply", "-f", "-"], &objects.to_string()).await?;
        let certificate = reqwest::Certificate::from_pem(&std::fs::read(access.path("tls.crt"))?)?;
        let http = reqwest::Client::builder()
            .tls_certs_only([certificate])
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()?;
        Ok(Self {
            pods: Pods::of(namespace).await?,
            namespace: namespace.to_owned(),
            access,
            helm,
            http,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub(crate) fn sockets(&self) -> String {
        format!("wss://{INGRESS}")
    }

    /// Where services call.
    #[must_use]
    pub(crate) fn rest(&self) -> String {
        format!("https://{INGRESS}")
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

    /// The same without waiting.
    ///
    /// # Errors
    /// When Helm or Kubernetes refuses it.
    pub(crate) async fn start_upgrade(&self, settings: &[&str]) -> Result<()> {
        let chart = root()?.join("helm/carillon").display().to_string();
        let values = file("values.yaml").display().to_string();
        let mut words = vec![
            "upgrade",
            "--install",
            RELEASE,
            &chart,
            "--namespace",
            &self.namespace,
            "--values",
            &values,
        ];
        for setting in settings {
            words.extend(["--set", setting]);
        }
        run(self.helm, &words).await?;
        Ok(())
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
        // The ingress learns of the last change a moment later.
        eventually(
            "the ingress routes to the dispatchers",
            Duration::from_secs(60),
            async || self.online().await.map(drop),
        )
        .await
    }

    /// How many users are online, asked through the ingress.
    ///
    /// # Errors
    /// When there is no such answer.
    pub(crate) async fn online(&self) -> Result<u64> {
        let answer = self
            .http
            .get(format!("{}/api/notifications/online-count", self.rest()))
            .bearer_auth(&self.access.key)
            .send()
            .await?
            .error_for_status()?;
        let body: Value = answer.json().await?;
        body["online_count"].as_u64().context("online_count")
    }

    /// Calls a route through the ingress.
    ///
    /// # Errors
    /// When it is not answered 2xx.
    pub(crate) async fn post(&self, route: &str, body: &Value) -> Result<Value> {
        let request = self
            .http
            .post(format!("{}{route}", self.rest()))
            .bearer_auth(&self.access.key);
        Ok(request
            .json(body)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// Removes the release; answers with what of it is left.
    ///
    /// # Errors
    /// When Helm cannot.
    pub(crate) async fn uninstall(&self) -> Result<Vec<String>> {
        self.helm(&["uninstall", RELEASE, "--wait", "--timeout", "180s"])
            .await?;
        let kinds =
            "all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,ingress,pdb,pvc";
        let selector = format!("app.kubernetes.io/instance={RELEASE}");
        let left = eventually(
            "nothing of the release is left",
            Duration::from_secs(90),
            async || {
                let left = self
                    .kubectl(&["get", kinds, "-l", &selector, "-o", "name"])
                    .await?;
                ensure!(left.trim().is_empty(), "{left}");
                Ok(())
            },
        );
        match left.await {
            Ok(()) => Ok(Vec::new()),
            Err(error) => Ok(vec![error.to_string()]),
        }
    }
}
