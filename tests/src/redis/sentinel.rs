//! A primary with replicas, watched by Sentinels.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::Cmd;

use super::node::{Node, Role};
use super::{Options, authority, log_tails};
use crate::poll::eventually;

const NAME: &str = "mymaster";
/// A Sentinel that stalled for two seconds does nothing for the next thirty (it calls that TILT), and
/// one that was not elected tries again after ten. On a busy machine both may come, and more than once.
const SETTLE_WITHIN: Duration = Duration::from_secs(150);

/// One primary, its replicas and the Sentinels that watch them.
#[derive(Debug)]
pub struct Sentinel {
    data: Vec<Node>,
    sentinels: Vec<Node>,
}

impl Sentinel {
    /// Starts it and waits until the replicas are in sync and the Sentinels know everyone.
    ///
    /// # Errors
    /// When a server does not start or the deployment does not settle in time.
    pub async fn start(replicas: usize, sentinels: usize, options: &Options) -> Result<Self> {
        let primary = Node::start(Role::Data, &options.lines()).await?;
        let mut config = options.lines();
        config.push(replica_of(primary.addr()));
        let watch = watching(primary.addr(), sentinels / 2 + 1);

        let mut deployment = Self {
            data: vec![primary],
            sentinels: Vec::new(),
        };
        for _ in 0..replicas {
            deployment
                .data
                .push(Node::start(Role::Data, &config).await?);
        }
        // A Sentinel asks a primary for its replicas at once, and then only every ten seconds.
        eventually("the replicas are in sync", SETTLE_WITHIN, async || {
            deployment.replicas_follow(deployment.data[0].addr()).await
        })
        .await?;
        for _ in 0..sentinels {
            let sentinel = Node::start(Role::Sentinel, &watch).await?;
            sentinel.query::<()>(&brisk()).await?;
            deployment.sentinels.push(sentinel);
        }
        deployment.settle().await?;
        Ok(deployment)
    }

    /// `redis+sentinel://host:port,host:port,host:port/mymaster`
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "redis+sentinel://{}/{NAME}",
            authority(&self.sentinels, None)
        )
    }

    /// The same with `user:password@` in front of the hosts; for the data servers, since the
    /// Sentinels ask for no password.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!(
            "redis+sentinel://{}/{NAME}",
            authority(&self.sentinels, Some((user, password)))
        )
    }

    /// The primary and the replicas, in no particular order.
    pub fn data(&mut self) -> &mut [Node] {
        &mut self.data
    }

    /// The Sentinels.
    pub fn sentinels(&mut self) -> &mut [Node] {
        &mut self.sentinels
    }

    /// The primary that all running Sentinels agree on.
    ///
    /// # Errors
    /// When they do not agree or none answers.
    pub async fn primary(&self) -> Result<&Node> {
        let mut agreed = None;
        for sentinel in self.sentinels.iter().filter(|node| node.is_running()) {
            let ask = redis::cmd("SENTINEL")
                .arg("GET-MASTER-ADDR-BY-NAME")
                .arg(NAME)
                .to_owned();
            let (_, port): (String, u16) = sentinel.query(&ask).await?;
            ensure!(
                agreed.is_none_or(|known| known == port),
                "the Sentinels disagree"
            );
            agreed = Some(port);
        }
        let port = agreed.context("no Sentinel runs")?;
        let primary = self.data.iter().find(|node| node.addr().port() == port);
        primary.context("the Sentinels name an unknown primary")
    }

    /// Kills the primary (SIGKILL) and returns where it was; does not wait for a new one.
    ///
    /// # Errors
    /// When the Sentinels do not agree on a primary.
    pub async fn kill_primary(&mut self) -> Result<SocketAddr> {
        let old = self.primary().await?.addr();
        for node in self.data.iter_mut().filter(|node| node.addr() == old) {
            node.kill().await?;
        }
        Ok(old)
    }

    /// Waits until the Sentinels agree on a primary other than `old` and it takes writes.
    ///
    /// # Errors
    /// When that has not happened in time.
    pub async fn wait_for_another_primary(&self, old: SocketAddr) -> Result<SocketAddr> {
        eventually("another primary", SETTLE_WITHIN, async || {
            let primary = self.primary().await?;
            ensure!(primary.addr() != old, "still {old}");
            ensure!(primary.info("role").await? == "master", "not promoted yet");
            Ok(primary.addr())
        })
        .await
        .with_context(|| log_tails(self.sentinels.iter().chain(&self.data)))
    }

    /// Makes the Sentinels hand over to a replica while the primary lives, and waits for it.
    ///
    /// # Errors
    /// When no replica takes over in time.
    pub async fn failover(&self) -> Result<SocketAddr> {
        let old = self.primary().await?.addr();
        let order = redis::cmd("SENTINEL").arg("FAILOVER").arg(NAME).to_owned();
        eventually("a Sentinel takes the order", SETTLE_WITHIN, async || {
            self.sentinels[0].query::<()>(&order).await
        })
        .await?;
        let new = self.wait_for_another_primary(old).await?;
        self.settle().await?;
        Ok(new)
    }

    /// Starts every data server that was killed, as a replica of whoever is the primary now.
    ///
    /// A primary that comes back empty as the primary it was is copied by every replica that has not
    /// been told of its successor yet: all is lost.
    ///
    /// # Errors
    /// When one does not start or the deployment does not settle in time.
    pub async fn revive(&mut self) -> Result<()> {
        let primary = eventually("a primary", SETTLE_WITHIN, async || {
            Ok(self.primary().await?.addr())
        })
        .await?;
        for node in self.data.iter_mut().filter(|node| !node.is_running()) {
            node.configure(&replica_of(primary))?;
            node.restart().await?;
        }
        self.settle().await
    }

    /// Waits until the Sentinels agree, see each other, and all running replicas are in sync. On a
    /// busy machine that may be with another primary than a moment ago.
    ///
    /// # Errors
    /// When that has not happened in time.
    pub async fn settle(&self) -> Result<()> {
        eventually("the Sentinels are settled", SETTLE_WITHIN, async || {
            let primary = self.primary().await?.addr();
            for sentinel in &self.sentinels {
                self.knows_everyone(sentinel).await?;
            }
            self.replicas_follow(primary).await
        })
        .await
    }

    async fn knows_everyone(&self, sentinel: &Node) -> Result<()> {
        let ask = redis::cmd("SENTINEL").arg("MASTER").arg(NAME).to_owned();
        let view: HashMap<String, String> = sentinel.query(&ask).await?;
        let field = |name: &str| view.get(name).map_or("", String::as_str);
        ensure!(field("flags") == "master", "flags are {}", field("flags"));
        let expected = (self.data.len() - 1, self.sentinels.len() - 1);
        let seen = (
            field("num-slaves").parse()?,
            field("num-other-sentinels").parse()?,
        );
        ensure!(
            seen == expected,
            "replicas and Sentinels seen {seen:?}, expected {expected:?}"
        );
        Ok(())
    }

    /// Whether every running server but the primary replicates it without lag.
    async fn replicas_follow(&self, primary: SocketAddr) -> Result<()> {
        for node in self.data.iter().filter(|node| node.is_running()) {
            if node.addr() != primary {
                let follows = node.info("master_port").await?;
                ensure!(follows == primary.port().to_string(), "follows {follows}");
                let link = node.info("master_link_status").await?;
                ensure!(link == "up", "link is down");
            }
        }
        Ok(())
    }
}

/// The line of a data server's configuration that makes it a replica.
fn replica_of(primary: SocketAddr) -> String {
    format!("replicaof {} {}", primary.ip(), primary.port())
}

/// The configuration of a Sentinel.
fn watching(primary: SocketAddr, quorum: usize) -> Vec<String> {
    vec![
        format!(
            "sentinel monitor {NAME} 127.0.0.1 {} {quorum}",
            primary.port()
        ),
        format!("sentinel down-after-milliseconds {NAME} 1000"),
        format!("sentinel failover-timeout {NAME} 5000"),
        format!("sentinel parallel-syncs {NAME} 8"),
    ]
}

/// Makes a Sentinel look around every 200 ms instead of every two to ten seconds, so that it finds
/// replicas, its peers and servers that came back sooner.
fn brisk() -> Cmd {
    let mut command = redis::cmd("SENTINEL");
    command
        .arg("DEBUG")
        .arg("INFO-PERIOD")
        .arg(200)
        .arg("PUBLISH-PERIOD")
        .arg(200)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
        let mut redis = Sentinel::start(2, 3, &Options::default()).await.unwrap();
        let url = redis.url();
        assert!(url.starts_with("redis+sentinel://127.0.0.1:"), "{url}");
        assert!(
            url.matches("127.0.0.1:").count() == 3 && url.ends_with("/mymaster"),
            "{url}"
        );

        let set = redis::cmd("SET").arg("key").arg("1").to_owned();
        let get = redis::cmd("GET").arg("key").to_owned();
        let primary = redis.primary().await.unwrap();
        primary.query::<()>(&set).await.unwrap();
        // Each query has a connection of its own, and WAIT knows only the writes of its connection.
        eventually("every server has the key", SETTLE_WITHIN, async || {
            for node in redis.data.iter() {
                ensure!(node.query::<Option<u8>>(&get).await? == Some(1));
            }
            Ok(())
        })
        .await
        .unwrap();

        let old = redis.kill_primary().await.unwrap();
        let new = redis.wait_for_another_primary(old).await.unwrap();
        assert_ne!(old, new);
        redis.revive().await.unwrap();
        // Not always the one that took over: a machine that stalls for a second makes them do it again.
        let primary = redis.primary().await.unwrap();
        assert_eq!(primary.query::<Option<u8>>(&get).await.unwrap(), Some(1));
        assert_eq!(primary.info("connected_slaves").await.unwrap(), "2");

        let new = primary.addr();
        let newer = redis.failover().await.unwrap();
        assert_ne!(newer, new);
    }
}
