//! What the scenarios share: a release that most of them treat in turn, and their sizes.

use std::{path::Path, time::Duration};

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::{cluster::Cluster, command::run, deployment::Deployment};

/// How much traffic.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Sockets.
    pub(crate) sockets: usize,
    /// Sends a second.
    pub(crate) rate: usize,
}

impl Sizes {
    /// Over how long a gateway closes its sockets: as many a second at any size, since this machine
    /// has to open as many anew.
    #[must_use]
    pub(crate) fn window(self) -> Duration {
        Duration::from_secs(15.max(self.sockets as u64 * 15 / 1_000))
    }

    /// One of so many equal parts.
    #[must_use]
    pub(crate) fn part(self, parts: usize) -> Self {
        Self {
            sockets: (self.sockets / parts).max(1),
            rate: (self.rate / parts).max(1),
        }
    }

    /// What is left without a part.
    #[must_use]
    pub(crate) fn less(self, part: Self) -> Self {
        Self {
            sockets: self.sockets - part.sockets,
            rate: self.rate - part.rate,
        }
    }
}

/// The scenarios' stage.
pub(crate) struct Stage {
    /// How much traffic.
    pub(crate) sizes: Sizes,
    /// Where it stands.
    pub(crate) cluster: Cluster,
    shared: OnceCell<Deployment>,
}

impl Stage {
    /// Nothing is installed yet.
    #[must_use]
    pub(crate) fn new(cluster: Cluster, sizes: Sizes) -> Self {
        Self {
            sizes,
            cluster,
            shared: OnceCell::new(),
        }
    }

    /// The shared release, as the tests' values have it: whatever an earlier scenario did to it is
    /// undone.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn deployment(&self) -> Result<&Deployment> {
        self.deployment_with(&[]).await
    }

    /// The same with settings.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn deployment_with(&self, settings: &[&str]) -> Result<&Deployment> {
        let prepare = || Deployment::prepare("carillon", "helm", self.sizes.window());
        let deployment = self.shared.get_or_try_init(prepare).await?;
        deployment.upgrade(settings).await?;
        Ok(deployment)
    }

    /// Writes what the cluster says into a folder, for whoever looks after a failure.
    pub(crate) async fn describe(&self, folder: &Path) {
        let everywhere = [
            ("pods.txt", &["get", "pods", "-A", "-o", "wide"][..]),
            (
                "events.txt",
                &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            ),
            ("describe.txt", &["describe", "pods", "-n", "carillon"]),
            (
                "gateways.log",
                &[
                    "logs",
                    "-n",
                    "carillon",
                    "-l",
                    "app.kubernetes.io/component=gateway",
                    "--tail=2000",
                    "--prefix",
                ],
            ),
            (
                "dispatchers.log",
                &[
                    "logs",
                    "-n",
                    "carillon",
                    "-l",
                    "app.kubernetes.io/component=dispatcher",
                    "--tail=2000",
                    "--prefix",
                ],
            ),
        ];
        if let Err(error) = std::fs::create_dir_all(folder) {
            println!("cannot write {}: {error}", folder.display());
            return;
        }
        for (name, words) in everywhere {
            let text = run("kubectl", words)
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            if let Err(error) = std::fs::write(folder.join(name), text) {
                println!("cannot write {name}: {error}");
            }
        }
        println!("what the cluster says is in {}", folder.display());
    }
}
