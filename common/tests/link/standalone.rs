//! Calls to one server.

use std::time::Duration;

use carillon_common::backend::redis::link::{Link, LinkError};
use carillon_common::backend::url::RedisUrl;
use redis::cmd;
use tokio::time::Instant;

use crate::servers::Server;
use crate::{eventually, key, link, quick};

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_pipelines_answer() {
    let server = Server::start(&[]);
    let link = link(&format!("{}/3", server.url())).await;
    let a = key(&link, 5, "a");
    link.call::<()>(5, cmd("SET").arg(&a).arg("1"))
        .await
        .unwrap();
    assert_eq!(link.call::<i64>(5, cmd("INCR").arg(&a)).await, Ok(2));

    let mut pipeline = redis::pipe();
    pipeline.cmd("INCR").arg(&a).ignore().cmd("GET").arg(&a);
    assert_eq!(link.pipeline::<(i64,)>(5, &pipeline).await, Ok((3,)));
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("INCR").arg(&a).cmd("GET").arg(&a);
    assert_eq!(link.pipeline::<(i64, i64)>(5, &pipeline).await, Ok((4, 4)));
    let mut pipeline = redis::pipe();
    pipeline.cmd("INCR").arg(&a).cmd("LPUSH").arg(&a).arg("x");
    let error = link.pipeline::<(i64, i64)>(5, &pipeline).await.unwrap_err();
    assert!(error.has_code("WRONGTYPE"), "{error}");

    let error = link
        .call::<i64>(5, cmd("GET").arg(key(&link, 5, "none")))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Shape(_)), "{error}");
    let error = link.call::<()>(5, &cmd("NONSENSE")).await.unwrap_err();
    assert!(error.has_code("ERR") && !error.retryable(), "{error}");
    assert_eq!(link.each_primary(&cmd("PING")).await.len(), 1);
    let error = link.call::<()>(99, &cmd("PING")).await.unwrap_err();
    assert!(matches!(error, LinkError::Unavailable(_)), "{error}");
    assert_eq!(
        link.stats().errors.with_label_values(&["unexpected"]).get(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_fails_calls_at_once_until_it_is_back() {
    let mut server = Server::start(&[]);
    let link = link(&server.url()).await;
    let ping = cmd("PING");
    server.kill();
    eventually("failing", || async {
        link.call::<()>(0, &ping).await.is_err()
    })
    .await;
    let start = Instant::now();
    for _ in 0..1000 {
        let error = link.call::<()>(0, &ping).await.unwrap_err();
        assert!(error.retryable(), "{error}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "calls to a dead server wait"
    );
    assert!(link.stats().connect_failures.get() < 100, "no backoff");
    server.run();
    eventually("answering", || async {
        link.call::<()>(0, &ping).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_leaves_the_result_unknown() {
    let server = Server::start(&[]);
    let link = link(&server.url()).await;
    server.signal("-STOP");
    let error = link.call::<()>(0, &cmd("PING")).await.unwrap_err();
    assert!(
        matches!(error, LinkError::Unknown { .. }) && error.retryable(),
        "{error}"
    );
    server.signal("-CONT");
    eventually("answering", || async {
        link.call::<()>(0, &cmd("PING")).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_server_is_asked_again() {
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    let link = link(&server.url()).await;
    server.command::<()>(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let set = || async {
        link.call::<()>(0, cmd("SET").arg(key(&link, 0, "a")).arg("1"))
            .await
    };
    eventually("a refusal", || async {
        set()
            .await
            .is_err_and(|error| error.has_code("READONLY") && error.retryable())
    })
    .await;
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    eventually("writing", || async { set().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_used_and_never_shown() {
    let server = Server::start(&[]);
    server.command::<()>(&["ACL", "SETUSER", "ann", "on", ">pa/ss", "+@all", "~*", "&*"]);
    server.command::<()>(&["ACL", "SETUSER", "default", "off"]);
    let url = |password: &str| {
        let url = format!("redis://ann:{password}@127.0.0.1:{}", server.port);
        RedisUrl::parse(&url).unwrap()
    };
    let link = Link::connect(url("pa%2Fss"), quick()).await.unwrap();
    assert_eq!(
        link.call::<String>(0, cmd("ACL").arg("WHOAMI")).await,
        Ok("ann".into())
    );
    assert!(!format!("{link:?}").contains("pa"), "{link:?}");
    let error = Link::connect(url("wrong-one"), quick()).await.unwrap_err();
    assert!(!error.to_string().contains("wrong-one"), "{error}");
}
