//! One node of a cluster, and how it sees the others.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use redis::{Cmd, FromRedisValue};

use crate::redis::Options;
use crate::redis::node::{Node, Role, free_port};

/// A node of the cluster.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) node: Node,
    pub(super) id: String,
    pub(super) bus_port: u16,
    pub(super) shard: usize,
}

impl Member {
    pub(super) async fn start(shard: usize, options: &Options) -> Result<Self> {
        let bus_port = free_port()?;
        let mut config = vec![
            "cluster-enabled yes".to_owned(),
            format!("cluster-port {bus_port}"),
            "cluster-node-timeout 2000".to_owned(),
            // A replica may take over however long it has been without its primary.
            "cluster-replica-validity-factor 0".to_owned(),
            "cluster-allow-replica-migration no".to_owned(),
        ];
        config.extend(options.lines());
        let node = Node::start(Role::Data, &config).await?;
        let id = node.query(redis::cmd("CLUSTER").arg("MYID")).await?;
        Ok(Self {
            node,
            id,
            bus_port,
            shard,
        })
    }

    pub(super) async fn cluster<T: FromRedisValue>(&self, arguments: &[&str]) -> Result<T> {
        let answer = self.node.query(redis::cmd("CLUSTER").arg(arguments)).await;
        answer.with_context(|| format!("CLUSTER {}", arguments.join(" ")))
    }

    pub(super) async fn migrate_keys(&self, slot: &str, target: &Member) -> Result<usize> {
        let mut moved = 0;
        loop {
            let keys: Vec<Vec<u8>> = self.cluster(&["GETKEYSINSLOT", slot, "100"]).await?;
            if keys.is_empty() {
                return Ok(moved);
            }
            self.node
                .query::<()>(&migrate(target.node.addr(), &keys))
                .await?;
            moved += keys.len();
        }
    }
}

fn migrate(to: SocketAddr, keys: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd("MIGRATE");
    command
        .arg("127.0.0.1")
        .arg(to.port())
        .arg("")
        .arg(0)
        .arg(5_000)
        .arg("KEYS")
        .arg(keys);
    command
}

/// A line of `CLUSTER NODES`: id, address, flags, primary, ping, pong, epoch, link, slots.
pub(super) struct NodeLine<'a> {
    pub(super) id: &'a str,
    flags: &'a str,
    primary: &'a str,
    slots: Vec<&'a str>,
}

impl<'a> NodeLine<'a> {
    pub(super) fn parse(line: &'a str) -> Result<Self> {
        let fields: Vec<_> = line.split(' ').collect();
        let [
            id,
            _addr,
            flags,
            primary,
            _ping,
            _pong,
            _epoch,
            _link,
            slots @ ..,
        ] = &fields[..]
        else {
            anyhow::bail!("not a line of CLUSTER NODES: {line}");
        };
        Ok(Self {
            id,
            flags,
            primary,
            slots: slots.to_vec(),
        })
    }

    /// What two nodes must agree on. (A slot on the move is listed by its owner alone.)
    pub(super) fn summary(&self) -> String {
        let flags = self.flags.trim_start_matches("myself,");
        let slots: Vec<_> = self
            .slots
            .iter()
            .filter(|slots| !slots.starts_with('['))
            .collect();
        format!("{flags} {} {slots:?}", self.primary)
    }

    pub(super) fn serves(&self, slot: u16) -> bool {
        self.slots
            .iter()
            .filter(|slots| !slots.starts_with('['))
            .any(|slots| {
                let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
                let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
                bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
            })
    }
}
