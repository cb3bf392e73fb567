//! A failover by Sentinel, followed by calls and by the bus.

use std::time::Duration;

use redis::cmd;

use crate::servers::Server;
use crate::{Heard, eventually, key, link};

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed() {
    let mut primary = Server::start(&[]);
    let replica = Server::replica_of(&primary);
    let first = Server::sentinel(&primary, 1);
    eventually("the sentinel's discovery", || async {
        let replicas: Vec<redis::Value> = first.command(&["SENTINEL", "REPLICAS", "main"]);
        replicas.len() == 1
    })
    .await;
    // The first sentinel does not exist, the second knows.
    let url = format!(
        "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main",
        crate::servers::free_port(),
        first.port
    );
    let link = link(&url).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    let set = cmd("SET").arg(key(&link, 2, "a")).arg("1").take();
    let patience = Duration::from_secs(10);
    link.durable::<()>(2, set.clone(), 1, patience)
        .await
        .unwrap();

    primary.kill();
    eventually("writing to the new primary", || async {
        link.call::<()>(2, &set).await.is_ok()
    })
    .await;
    assert_eq!(link.primaries()[0].port, replica.port);
    assert_eq!(
        link.call::<i64>(2, cmd("GET").arg(key(&link, 2, "a")))
            .await,
        Ok(1)
    );
    eventually("Dirty", || async { heard.dirty(2) }).await;
    heard.hears(&link, 2, &channel).await;
    assert!(bus.healthy());

    // The old primary comes back as a replica and confirms durable calls.
    primary.run();
    eventually("a durable call", || async {
        link.durable::<()>(2, set.clone(), 1, patience)
            .await
            .is_ok()
    })
    .await;
    assert!(link.stats().topology_changes.get() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_failover_is_followed_while_the_old_primary_lives() {
    let primary = Server::start(&[]);
    let replica = Server::replica_of(&primary);
    let sentinel = Server::sentinel(&primary, 1);
    eventually("the sentinel's discovery", || async {
        let replicas: Vec<redis::Value> = sentinel.command(&["SENTINEL", "REPLICAS", "main"]);
        let info: String = replica.command(&["INFO", "replication"]);
        replicas.len() == 1 && info.contains("master_link_status:up")
    })
    .await;
    let link = link(&format!(
        "redis+sentinel://127.0.0.1:{}/main",
        sentinel.port
    ))
    .await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    eventually("the order", || async {
        let client = redis::Client::open(sentinel.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let order = cmd("SENTINEL").arg("FAILOVER").arg("main").take();
        order.query_async::<()>(&mut connection).await.is_ok()
    })
    .await;
    eventually("the change", || async {
        link.primaries()[0].port == replica.port
    })
    .await;
    eventually("writing", || async {
        link.call::<()>(2, cmd("SET").arg(key(&link, 2, "a")).arg("1"))
            .await
            .is_ok()
    })
    .await;
    eventually("Dirty", || async { heard.dirty(2) }).await;
    heard.hears(&link, 2, &channel).await;
}
