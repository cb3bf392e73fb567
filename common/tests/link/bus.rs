//! Subscriptions to one server, and how they come back.

use std::time::Duration;

use redis::cmd;
use tokio::time::{Instant, sleep, timeout};

use crate::servers::Server;
use crate::{Heard, eventually, key, link};

#[tokio::test(flavor = "multi_thread")]
async fn subscribed_channels_are_heard_until_unsubscribed() {
    let server = Server::start(&[]);
    let link = link(&server.url()).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    bus.subscribe(2, channel.clone()).await.unwrap();
    assert_eq!(
        link.call::<u64>(2, cmd("SPUBLISH").arg(&channel).arg("hello"))
            .await,
        Ok(1)
    );
    eventually("hearing", || async {
        heard.payloads(&channel) == ["hello"]
    })
    .await;
    eventually("health", || async { bus.healthy() }).await;
    eventually("a probe", || async { bus.stats().probes.get() > 0 }).await;

    bus.unsubscribe(2, channel.clone());
    eventually("silence", || async {
        link.call::<u64>(2, cmd("SPUBLISH").arg(&channel).arg("bye"))
            .await
            == Ok(0)
    })
    .await;
    bus.subscribe(2, channel.clone()).await.unwrap();
    heard.hears(&link, 2, &channel).await;
    assert!(!heard.dirty(2), "nothing was missed");
    assert_eq!(
        (bus.stats().rebuilds.get(), bus.stats().probes_lost.get()),
        (0, 0)
    );
    timeout(Duration::from_secs(10), bus.close()).await.unwrap();
    eventually("the connection's end", || async {
        link.call::<u64>(2, cmd("SPUBLISH").arg(&channel).arg("bye"))
            .await
            == Ok(0)
    })
    .await;
}

/// The library's own reconnection gives up after some tries and then waits for a command.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_outage_it_hears_again_by_itself() {
    let mut server = Server::start(&[]);
    let link = link(&server.url()).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    server.kill();
    let down = Instant::now();
    eventually("noticing", || async { !bus.healthy() }).await;
    let late = key(&link, 3, "ch:late");
    let refused = bus.subscribe(3, late.clone()).await.unwrap_err();
    assert!(refused.retryable(), "{refused}");
    sleep(Duration::from_secs(8).saturating_sub(down.elapsed())).await;
    server.run();
    eventually("Dirty", || async { heard.dirty(2) && heard.dirty(3) }).await;
    for name in [&channel, &late] {
        assert_eq!(server.command::<u64>(&["SPUBLISH", name, "back"]), 1);
        eventually("hearing", || async { heard.payloads(name) == ["back"] }).await;
    }
    assert!(bus.healthy());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_noticed() {
    let server = Server::start(&[]);
    let link = link(&server.url()).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    server.signal("-STOP");
    eventually("noticing", || async {
        bus.stats().rebuilds.get() > 0 && !bus.healthy()
    })
    .await;
    server.signal("-CONT");
    eventually("Dirty", || async { heard.dirty(2) }).await;
    heard.hears(&link, 2, &channel).await;
}

/// A connection that answers pings but does not deliver: only the probe notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_connection_is_rebuilt() {
    let server = Server::start(&[]);
    server.command::<()>(&["ACL", "SETUSER", "app", "on", ">pw", "+@all", "~*", "&*"]);
    let link = link(&format!("redis://app:pw@127.0.0.1:{}", server.port)).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    eventually("a probe", || async { bus.stats().probes.get() > 0 }).await;
    // The subscriber moves to another protocol under our feet: RESET drops its subscriptions.
    let clients: String = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    let id = clients
        .split("id=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    server.command::<u64>(&["CLIENT", "KILL", "ID", id]);
    eventually("Dirty", || async { heard.dirty(2) }).await;
    heard.hears(&link, 2, &channel).await;
}
