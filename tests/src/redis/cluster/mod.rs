//! A Redis Cluster.

mod member;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::member::{Member, NodeLine};
use super::node::Node;
use super::{Options, authority, log_tails};
use crate::poll::eventually;

const SLOTS: usize = 16_384;
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Primaries with replicas; a *shard* is a primary and its replicas, counted from 0.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    shards: usize,
}

impl Cluster {
    /// Starts it with `shards` primaries and `replicas` of each, the slots spread evenly, and waits
    /// until all agree and the replicas are in sync.
    ///
    /// # Errors
    /// When a server does not start or the cluster does not settle within a minute.
    pub async fn start(shards: usize, replicas: usize, options: &Options) -> Result<Self> {
        let mut members = Vec::new();
        for index in 0..shards * (1 + replicas) {
            members.push(Member::start(index % shards, options).await?);
        }
        let cluster = Self { members, shards };
        cluster.assign_slots().await?;
        cluster.meet().await?;
        cluster.attach_replicas().await?;
        cluster.settle().await?;
        Ok(cluster)
    }

    /// `redis+cluster://host:port,…`, every node named.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", authority(self.nodes(), None))
    }

    /// The same with `user:password@` in front.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!(
            "redis+cluster://{}",
            authority(self.nodes(), Some((user, password)))
        )
    }

    /// Every node, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.iter().map(|member| &member.node)
    }

    /// The present primary of a shard, as a majority of the running nodes could see it.
    ///
    /// # Errors
    /// When no running node of the shard is a primary.
    pub async fn primary(&self, shard: usize) -> Result<&Node> {
        Ok(&self.primary_member(shard).await?.node)
    }

    /// Kills a shard's primary (SIGKILL) and returns where it was; does not wait for a new one.
    ///
    /// # Errors
    /// When the shard has no primary.
    pub async fn kill_primary(&mut self, shard: usize) -> Result<SocketAddr> {
        let old = self.primary(shard).await?.addr();
        for member in self
            .members
            .iter_mut()
            .filter(|member| member.node.addr() == old)
        {
            member.node.kill().await?;
        }
        Ok(old)
    }

    /// Crashes a shard's primary and starts it again before a replica can replace it: it is back with
    /// what it has on disk, which its replicas then copy.
    ///
    /// # Errors
    /// When the shard has no primary, it does not start, or the cluster does not settle in time.
    pub async fn crash_primary(&mut self, shard: usize) -> Result<()> {
        let primary = self.primary(shard).await?.addr();
        let replicas: Vec<_> = self
            .running(shard)
            .map(|member| &member.node)
            .filter(|node| node.addr() != primary)
            .map(Node::addr)
            .collect();
        let of = |node: &&Node| replicas.contains(&node.addr());
        self.nodes().filter(of).for_each(Node::pause);
        for member in &mut self.members {
            if member.node.addr() == primary {
                member.node.kill().await?;
                member.node.restart().await?;
            }
        }
        self.nodes().filter(of).for_each(Node::resume);
        self.settle().await
    }

    /// Waits until a shard has a primary other than `old` and all nodes that run agree.
    ///
    /// # Errors
    /// When that has not happened within a minute.
    pub async fn wait_for_another_primary(
        &self,
        shard: usize,
        old: SocketAddr,
    ) -> Result<SocketAddr> {
        eventually("another primary", SETTLE_WITHIN, async || {
            let primary = self.primary(shard).await?.addr();
            ensure!(primary != old, "still {old}");
            self.check_settled().await?;
            Ok(primary)
        })
        .await
        .with_context(|| log_tails(self.nodes()))
    }

    /// Hands a shard over to one of its replicas while the primary lives, and waits for it.
    ///
    /// # Errors
    /// When the shard has no running replica, or it has not taken over within a minute.
    pub async fn failover(&self, shard: usize) -> Result<SocketAddr> {
        let old = self.primary(shard).await?.addr();
        let replica = self.running(shard).find(|member| member.node.addr() != old);
        let replica = replica.context("the shard has no running replica")?;
        replica.cluster::<()>(&["FAILOVER"]).await?;
        self.wait_for_another_primary(shard, old).await
    }

    /// Moves a slot with its keys to another shard, as a resharding does; returns how many keys.
    ///
    /// # Errors
    /// When a step is refused or the nodes do not agree on the new owner within a minute.
    pub async fn move_slot(&self, slot: u16, to: usize) -> Result<usize> {
        let from = self.owner(slot).await?;
        let target = self.primary_member(to).await?;
        ensure!(from.id != target.id, "slot {slot} is there already");

        let slot = slot.to_string();
        target
            .cluster::<()>(&["SETSLOT", &slot, "IMPORTING", &from.id])
            .await?;
        from.cluster::<()>(&["SETSLOT", &slot, "MIGRATING", &target.id])
            .await?;
        let moved = from.migrate_keys(&slot, target).await?;
        // First the new owner, then the old one, then everyone else.
        target
            .cluster::<()>(&["SETSLOT", &slot, "NODE", &target.id])
            .await?;
        from.cluster::<()>(&["SETSLOT", &slot, "NODE", &target.id])
            .await?;
        for shard in 0..self.shards {
            let other = self.primary_member(shard).await?;
            other
                .cluster::<()>(&["SETSLOT", &slot, "NODE", &target.id])
                .await?;
        }
        self.settle().await?;
        Ok(moved)
    }

    /// The shard that serves a slot.
    ///
    /// # Errors
    /// When no primary says that the slot is its own.
    pub async fn shard_of(&self, slot: u16) -> Result<usize> {
        Ok(self.owner(slot).await?.shard)
    }

    /// Starts every node that was killed; they come back as replicas if they were replaced.
    ///
    /// # Errors
    /// When one does not start or the cluster does not settle within a minute.
    pub async fn revive(&mut self) -> Result<()> {
        for member in self
            .members
            .iter_mut()
            .filter(|member| !member.node.is_running())
        {
            member.node.restart().await?;
        }
        self.settle().await
    }

    /// Waits until all running nodes serve every slot, agree on who is who, and are in sync.
    ///
    /// # Errors
    /// When that has not happened within a minute.
    pub async fn settle(&self) -> Result<()> {
        eventually("the cluster is settled", SETTLE_WITHIN, async || {
            self.check_settled().await
        })
        .await
    }

    async fn check_settled(&self) -> Result<()> {
        let mut agreed = None;
        for member in self
            .members
            .iter()
            .filter(|member| member.node.is_running())
        {
            let info: String = member.cluster(&["INFO"]).await?;
            ensure!(
                info.contains("cluster_state:ok"),
                "{} is not ok",
                member.node.addr()
            );
            if member.node.info("role").await? == "slave" {
                let link = member.node.info("master_link_status").await?;
                ensure!(link == "up", "{} is not in sync", member.node.addr());
            }
            let view = self.view_of(member).await?;
            ensure!(
                agreed.as_ref().is_none_or(|known| *known == view),
                "the nodes disagree"
            );
            agreed = Some(view);
        }
        agreed.map(|_| ()).context("no node runs")
    }

    /// How a node sees those that run: their role, their primary and their slots, by id.
    async fn view_of(&self, member: &Member) -> Result<BTreeMap<String, String>> {
        let nodes: String = member.cluster(&["NODES"]).await?;
        let view = nodes
            .lines()
            .map(NodeLine::parse)
            .collect::<Result<Vec<_>>>()?;
        let running = |id: &str| {
            self.members
                .iter()
                .any(|m| m.id == id && m.node.is_running())
        };
        let view: BTreeMap<_, _> = view
            .into_iter()
            .filter(|line| running(line.id))
            .map(|line| (line.id.to_owned(), line.summary()))
            .collect();
        let expected = self
            .members
            .iter()
            .filter(|member| member.node.is_running())
            .count();
        ensure!(
            view.len() == expected,
            "knows {} of {expected} nodes",
            view.len()
        );
        ensure!(
            view.values().all(|line| !line.contains("fail")),
            "sees a node as failed"
        );
        Ok(view)
    }

    async fn assign_slots(&self) -> Result<()> {
        for (shard, member) in self.members.iter().take(self.shards).enumerate() {
            let first = shard * SLOTS / self.shards;
            let last = (shard + 1) * SLOTS / self.shards - 1;
            let range = [first.to_string(), last.to_string()];
            member
                .cluster::<()>(&["ADDSLOTSRANGE", &range[0], &range[1]])
                .await?;
            // Distinct from the start, so that no collision has to be resolved.
            let epoch = (shard + 1).to_string();
            member.cluster::<()>(&["SET-CONFIG-EPOCH", &epoch]).await?;
        }
        Ok(())
    }

    async fn meet(&self) -> Result<()> {
        let first = &self.members[0];
        for member in &self.members[1..] {
            let port = member.node.addr().port().to_string();
            let bus = member.bus_port.to_string();
            first
                .cluster::<()>(&["MEET", "127.0.0.1", &port, &bus])
                .await?;
        }
        eventually("every node knows every node", SETTLE_WITHIN, async || {
            for member in &self.members {
                self.view_of(member).await?;
            }
            Ok(())
        })
        .await
    }

    async fn attach_replicas(&self) -> Result<()> {
        for replica in &self.members[self.shards..] {
            let primary = &self.members[replica.shard];
            replica.cluster::<()>(&["REPLICATE", &primary.id]).await?;
        }
        Ok(())
    }

    fn running(&self, shard: usize) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |m| m.shard == shard && m.node.is_running())
    }

    async fn primary_member(&self, shard: usize) -> Result<&Member> {
        for member in self.running(shard) {
            if member.node.info("role").await? == "master" {
                return Ok(member);
            }
        }
        anyhow::bail!("shard {shard} has no primary")
    }

    async fn owner(&self, slot: u16) -> Result<&Member> {
        for shard in 0..self.shards {
            let member = self.primary_member(shard).await?;
            let nodes: String = member.cluster(&["NODES"]).await?;
            let own = nodes.lines().find(|line| line.starts_with(&member.id));
            let own = NodeLine::parse(own.context("a node does not list itself")?)?;
            if own.serves(slot) {
                return Ok(member);
            }
        }
        anyhow::bail!("nobody serves slot {slot}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slot of `{1}`, by CRC16.
    const SLOT: u16 = 9842;

    async fn count_keys(cluster: &Cluster, shard: usize) -> usize {
        let slot = SLOT.to_string();
        let primary = cluster.primary_member(shard).await.unwrap();
        primary.cluster(&["COUNTKEYSINSLOT", &slot]).await.unwrap()
    }

    #[tokio::test]
    async fn a_slot_moves_with_its_keys_and_a_killed_primary_is_replaced() {
        let mut cluster = Cluster::start(3, 1, &Options::default()).await.unwrap();
        assert_eq!(cluster.url().matches("127.0.0.1:").count(), 6);

        let from = cluster.shard_of(SLOT).await.unwrap();
        let to = (from + 1) % 3;
        for key in 0..150 {
            let set = redis::cmd("SET")
                .arg(format!("{{1}}:{key}"))
                .arg(key)
                .to_owned();
            cluster
                .primary(from)
                .await
                .unwrap()
                .query::<()>(&set)
                .await
                .unwrap();
        }
        assert_eq!(cluster.move_slot(SLOT, to).await.unwrap(), 150);
        assert_eq!(cluster.shard_of(SLOT).await.unwrap(), to);
        assert_eq!(count_keys(&cluster, to).await, 150);

        let moved_by_order = cluster.primary(0).await.unwrap().addr();
        assert_ne!(cluster.failover(0).await.unwrap(), moved_by_order);

        let old = cluster.kill_primary(to).await.unwrap();
        let new = cluster.wait_for_another_primary(to, old).await.unwrap();
        cluster.revive().await.unwrap();
        assert_eq!(cluster.primary(to).await.unwrap().addr(), new);
        assert_eq!(count_keys(&cluster, to).await, 150);
    }
}
