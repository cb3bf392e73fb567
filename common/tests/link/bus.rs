//! Subscriptions to one server, and how they come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::cmd;
use tokio::net::{TcpListener, TcpStream};
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

/// The name of the server leads elsewhere now, but the old server lives and answers pings: only
/// the probe notices that nothing published arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_yesterdays_server_is_noticed_by_the_probe() {
    let (old, new) = (Server::start(&[]), Server::start(&[]));
    let name = Forwarder::start(old.port).await;
    let link = link(&format!("redis://127.0.0.1:{}", name.port)).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 2, "ch:a");
    bus.subscribe(2, channel.clone()).await.unwrap();
    eventually("a probe", || async { bus.stats().probes.get() > 0 }).await;
    name.target.store(new.port, Ordering::SeqCst);
    old.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("Dirty", || async { heard.dirty(2) }).await;
    assert_eq!(bus.stats().probes_lost.get(), 1);
    assert_eq!(new.command::<u64>(&["SPUBLISH", &channel, "hello"]), 1);
    eventually("hearing", || async {
        heard.payloads(&channel) == ["hello"]
    })
    .await;
}

/// Passes new connections on to whatever port is the target then.
struct Forwarder {
    port: u16,
    target: Arc<AtomicU16>,
    task: tokio::task::JoinHandle<()>,
}

impl Forwarder {
    async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target));
        let targets = target.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = targets.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { port, target, task }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Subscribing and unsubscribing while the connection is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_survive_churn() {
    let server = Server::start(&[]);
    let link = link(&server.url()).await;
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = |number: u16| (number % 8, key(&link, number % 8, &format!("ch:{number}")));
    for round in 0..40_u16 {
        let calls = (0..30).map(|number| {
            let (partition, name) = channel(number);
            bus.subscribe(partition, name)
        });
        let calls = futures_util::future::join_all(calls);
        if round % 4 == 0 {
            server.command::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
        assert!(calls.await.iter().all(Result::is_ok), "round {round}");
        for number in (0..30).filter(|number| (number + round) % 3 == 0) {
            let (partition, name) = channel(number);
            bus.unsubscribe(partition, name);
        }
    }
    let kept: Vec<u16> = (0..30).filter(|number| (number + 39) % 3 > 0).collect();
    eventually("the kept channels, and no others", || async {
        let live: Vec<String> = server.command(&["PUBSUB", "SHARDCHANNELS", "*ch:*"]);
        live.len() == kept.len()
    })
    .await;
    for number in kept {
        let (partition, name) = channel(number);
        heard.hears(&link, partition, &name).await;
    }
    assert!(bus.stats().rebuilds.get() > 0);
}
