//! Redis Cluster: routing, slots that move, primaries that die.

use std::{borrow::Cow, time::Duration};

use carillon_common::backend::redis::functions::{Functions, Library};
use carillon_common::backend::redis::link::Link;
use redis::cmd;
use tokio::time::sleep;

use crate::servers::Server;
use crate::{Heard, eventually, key, link};

/// Three primaries, and a replica of the first.
struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        let nodes: Vec<Server> = (0..4).map(|_| Server::cluster_node()).collect();
        for (node, range) in
            nodes
                .iter()
                .zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
        {
            node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", range.0, range.1]);
        }
        for node in &nodes[1..] {
            let bus: String =
                node.command::<Vec<String>>(&["CONFIG", "GET", "cluster-port"])[1].clone();
            let port = node.port.to_string();
            nodes[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = Self { nodes };
        let known =
            |node: &Server, what: &str| node.command::<String>(&["CLUSTER", "INFO"]).contains(what);
        eventually("the cluster's meeting", || async {
            cluster
                .nodes
                .iter()
                .all(|node| known(node, "cluster_known_nodes:4"))
        })
        .await;
        let id = cluster.id(0);
        eventually("replication", || async {
            // Refused until the replica has heard of the slots of its primary.
            let client = redis::Client::open(cluster.nodes[3].url()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let order = cmd("CLUSTER").arg("REPLICATE").arg(&id).take();
            order.query_async::<()>(&mut connection).await.is_ok()
        })
        .await;
        eventually("the cluster's health", || async {
            let slots: Vec<Vec<redis::Value>> = cluster.nodes[2].command(&["CLUSTER", "SLOTS"]);
            let replication: String = cluster.nodes[3].command(&["INFO", "replication"]);
            cluster
                .nodes
                .iter()
                .all(|node| known(node, "cluster_state:ok"))
                && slots.len() == 3
                && slots.iter().any(|range| range.len() == 4)
                && replication.contains("master_link_status:up")
        })
        .await;
        cluster
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].command(&["CLUSTER", "MYID"])
    }

    fn url(&self) -> String {
        format!(
            "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
            self.nodes[2].port, self.nodes[1].port
        )
    }

    /// Which node owns a partition, by our own topology.
    fn owner(&self, link: &Link, partition: u16) -> usize {
        let port = link.topology().borrow().owner(partition).unwrap().port;
        self.nodes
            .iter()
            .position(|node| node.port == port)
            .unwrap()
    }

    fn setslot(&self, node: usize, slot: u16, words: &[&str]) {
        let slot = slot.to_string();
        let command: Vec<&str> = ["CLUSTER", "SETSLOT", &slot]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        self.nodes[node].command::<()>(&command);
    }
}

async fn incr(link: &Link, partition: u16, name: &str) -> i64 {
    link.call(partition, cmd("INCR").arg(key(link, partition, name)))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_move_under_traffic() {
    let cluster = Cluster::start().await;
    let link = link(&cluster.url()).await;
    assert_eq!(link.primaries().len(), 3);
    for partition in 0..8 {
        assert_eq!(incr(&link, partition, "n").await, 1);
        assert_eq!(
            link.durable::<i64>(
                partition,
                cmd("INCR").arg(key(&link, partition, "n")).take(),
                0,
                Duration::ZERO
            )
            .await,
            Ok(2)
        );
    }
    assert_eq!(link.stats().redirects.get(), 0, "routed by our own slots");

    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 0, "ch:a");
    bus.subscribe(0, channel.clone()).await.unwrap();

    // Partition 0 moves from node 0 to node 1, first one of its keys.
    let slot = link.tags()[0].1;
    assert_eq!(cluster.owner(&link, 0), 0);
    let (from, to) = (cluster.id(0), cluster.id(1));
    cluster.setslot(1, slot, &["IMPORTING", &from]);
    cluster.setslot(0, slot, &["MIGRATING", &to]);
    let port = cluster.nodes[1].port.to_string();
    let n = key(&link, 0, "n");
    cluster.nodes[0].command::<()>(&["MIGRATE", "127.0.0.1", &port, &n, "0", "5000"]);
    assert_eq!(incr(&link, 0, "n").await, 3, "ASK");
    assert_eq!(
        incr(&link, 0, "new").await,
        1,
        "ASK for a key that is nowhere yet"
    );
    let mut pipeline = redis::pipe();
    pipeline.cmd("INCR").arg(&n).cmd("INCR").arg(&n);
    assert_eq!(link.pipeline::<(i64, i64)>(0, &pipeline).await, Ok((4, 5)));
    assert!(link.stats().redirects.get() >= 4);
    assert_eq!(cluster.owner(&link, 0), 0);

    heard.clear();
    cluster.setslot(1, slot, &["NODE", &to]);
    cluster.setslot(0, slot, &["NODE", &to]);
    assert_eq!(incr(&link, 0, "n").await, 6, "MOVED");
    eventually("the new topology", || async {
        cluster.owner(&link, 0) == 1
    })
    .await;
    eventually("Dirty", || async { heard.dirty(0) }).await;
    heard.hears(&link, 0, &channel).await;
    assert!(bus.healthy());
}

/// The client library resubscribes all channels of a node in one command, which Cluster refuses.
#[tokio::test(flavor = "multi_thread")]
async fn channels_of_several_slots_come_back_together() {
    let cluster = Cluster::start().await;
    let link = link(&cluster.url()).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    assert_eq!((cluster.owner(&link, 0), cluster.owner(&link, 1)), (0, 0));
    let channels = [key(&link, 0, "ch:a"), key(&link, 1, "ch:b")];
    for (partition, channel) in (0..).zip(&channels) {
        bus.subscribe(partition, channel.clone()).await.unwrap();
    }
    let killed: u64 = cluster.nodes[0].command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert!(killed >= 1);
    eventually("Dirty", || async { heard.dirty(0) && heard.dirty(1) }).await;
    for (partition, channel) in (0..).zip(&channels) {
        let publish = cmd("SPUBLISH").arg(channel).arg("back").take();
        assert_eq!(link.call::<u64>(partition, &publish).await, Ok(1));
        eventually("hearing", || async { heard.payloads(channel) == ["back"] }).await;
    }
    assert!(!heard.dirty(7), "the other nodes missed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_takes_over() {
    const LIBRARY: Library = Library {
        name: Cow::Borrowed("carillon_1"),
        source: Cow::Borrowed(
            "#!lua name=carillon_1\n\
                 redis.register_function('c1_incr', function(keys) return redis.call('INCR', keys[1]) end)",
        ),
    };
    let mut cluster = Cluster::start().await;
    let link = link(&cluster.url()).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 0, "ch:a");
    bus.subscribe(0, channel.clone()).await.unwrap();
    let functions = Functions::new(LIBRARY);
    let keys = [key(&link, 0, "n")];
    let none: &[&str] = &[];
    let patience = Duration::from_secs(10);
    assert_eq!(
        functions
            .call::<i64>(&link, 0, "incr", &keys, none, None)
            .await,
        Ok(1)
    );
    let incr = cmd("INCR").arg(&keys[0]).take();
    assert_eq!(link.durable::<i64>(0, incr, 1, patience).await, Ok(2));

    cluster.nodes[0].kill();
    eventually("the others go on", || async {
        link.call::<i64>(7, cmd("INCR").arg(key(&link, 7, "n")))
            .await
            .is_ok()
    })
    .await;
    eventually("a call to the promoted replica", || async {
        functions
            .call::<i64>(&link, 0, "incr", &keys, none, None)
            .await
            == Ok(3)
    })
    .await;
    eventually("the new topology", || async {
        cluster.owner(&link, 0) == 3
    })
    .await;
    eventually("Dirty", || async { heard.dirty(0) }).await;
    heard.hears(&link, 0, &channel).await;
    // The old primary, back as a replica, is no primary of ours.
    cluster.nodes[0].run();
    sleep(Duration::from_millis(100)).await;
    eventually("health", || async {
        bus.healthy() && link.primaries().len() == 3
    })
    .await;
    assert_eq!(cluster.owner(&link, 0), 3);
}
