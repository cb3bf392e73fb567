//! Durable calls: group commit, and what happens without replicas.

use std::time::{Duration, Instant};

use carillon_common::backend::redis::link::{Link, LinkError, LinkSettings};
use carillon_common::backend::url::RedisUrl;
use futures_util::future::join_all;
use redis::{Cmd, cmd};

use crate::servers::Server;
use crate::{eventually, key, link, quick};

const PATIENCE: Duration = Duration::from_secs(10);

fn incr(link: &Link, name: &str) -> Cmd {
    cmd("INCR").arg(key(link, 1, name)).take()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_share_a_wait() {
    let primary = Server::start(&[]);
    let replica = Server::replica_of(&primary);
    let link = link(&primary.url()).await;
    link.durable::<i64>(1, incr(&link, "n"), 1, PATIENCE)
        .await
        .unwrap();

    let start = Instant::now();
    let calls = (0..2000).map(|_| link.durable::<i64>(1, incr(&link, "n"), 1, PATIENCE));
    let mut results: Vec<i64> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    println!(
        "2000 durable calls in {:?}, {} WAITs",
        start.elapsed(),
        primary.count("wait")
    );
    results.sort_unstable();
    assert_eq!(results, (2..=2001).collect::<Vec<i64>>());
    assert!(
        primary.count("wait") < 200,
        "{} WAITs",
        primary.count("wait")
    );
    assert_eq!(replica.command::<i64>(&["GET", &key(&link, 1, "n")]), 2001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_spares_its_neighbours() {
    let primary = Server::start(&[]);
    let _replica = Server::replica_of(&primary);
    let link = link(&primary.url()).await;
    link.call::<()>(1, cmd("LPUSH").arg(key(&link, 1, "list")).arg("x"))
        .await
        .unwrap();
    let calls = (0..100).map(|i| {
        let name = if i % 10 == 0 { "list" } else { "n" };
        link.durable::<i64>(1, incr(&link, name), 1, PATIENCE)
    });
    let (fine, failed): (Vec<_>, Vec<_>) =
        join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!((fine.len(), failed.len()), (90, 10));
    assert!(
        failed
            .into_iter()
            .all(|result| result.is_err_and(|error| error.has_code("WRONGTYPE")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_replicas_are_reported() {
    let primary = Server::start(&[]);
    let mut replica = Server::replica_of(&primary);
    let link = link(&primary.url()).await;
    link.durable::<i64>(1, incr(&link, "n"), 1, PATIENCE)
        .await
        .unwrap();
    // As long as one replica may take.
    let error = link
        .durable::<i64>(1, incr(&link, "n"), 2, Duration::from_secs(2))
        .await
        .unwrap_err();
    assert_eq!(error, LinkError::TooFewReplicas { wanted: 2, got: 1 });
    assert!(error.retryable());
    replica.signal("-STOP");
    let short = Duration::from_millis(200);
    let error = link
        .durable::<i64>(1, incr(&link, "n"), 1, short)
        .await
        .unwrap_err();
    assert_eq!(error, LinkError::TooFewReplicas { wanted: 1, got: 0 });
    assert_eq!(
        link.durable::<i64>(1, incr(&link, "n"), 0, short).await,
        Ok(4)
    );
    replica.kill();
    replica.run();
    eventually("confirmation", || async {
        link.durable::<i64>(1, incr(&link, "n"), 1, PATIENCE)
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded() {
    let primary = Server::start(&[]);
    let settings = LinkSettings {
        commit_queue: 10,
        commit_batch: 5,
        commit_connections: 1,
        ..quick()
    };
    let link = Link::connect(RedisUrl::parse(&primary.url()).unwrap(), settings)
        .await
        .unwrap();
    let short = Duration::from_millis(100);
    let calls = (0..50).map(|_| link.durable::<i64>(1, incr(&link, "n"), 1, short));
    let results = join_all(calls).await;
    let refused =
        |result: &&Result<i64, LinkError>| matches!(result, Err(LinkError::Unavailable(_)));
    assert!(results.iter().filter(refused).count() >= 30, "{results:?}");
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().is_err_and(LinkError::retryable))
    );
}
