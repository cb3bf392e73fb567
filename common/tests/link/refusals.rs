//! Servers that are there and do not serve: each told apart from an outage.

use std::fs;

use carillon_common::backend::FaultKind;
use carillon_common::backend::redis::link::{Link, LinkError};
use carillon_common::backend::url::{Credentials, RedisUrl};
use redis::cmd;
use tempfile::TempDir;

use crate::servers::{Server, free_port};
use crate::{eventually, key, link, quick};

#[track_caller]
fn parse(text: &str) -> RedisUrl {
    RedisUrl::parse(text).unwrap()
}

/// How connecting fails.
async fn refused(text: &str) -> (FaultKind, String) {
    let error = Link::connect(parse(text), quick()).await.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_that_is_refused() {
    let server = Server::start(&[]);
    server.command::<()>(&["ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all"]);
    server.command::<()>(&["CONFIG", "SET", "requirepass", "secret-one"]);
    let at = format!("127.0.0.1:{}", server.port);
    for (who, words) in [
        ("", "NOAUTH"),
        (":wrong-one@", "WRONGPASS"),
        ("ann:wrong-one@", "WRONGPASS"),
        ("ann@", "WRONGPASS"),
        ("nobody:pw@", "WRONGPASS"),
    ] {
        let (kind, error) = refused(&format!("redis://{who}{at}")).await;
        assert_eq!(kind, FaultKind::Auth, "{error}");
        assert!(
            error.contains(words) && error.contains("backend.password_file"),
            "{error}"
        );
        assert!(!error.contains("wrong-one"), "{error}");
    }
    link(&format!("redis://:secret-one@{at}")).await;
    link(&format!("redis://ann:pw@{at}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_file_is_taken_as_it_is_and_read_anew() {
    const PASSWORD: &str = "p@ss/w?rd#1%2F &:x";
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    let mut server = Server::start(&["--requirepass", PASSWORD]);
    let url = RedisUrl {
        credentials: Credentials {
            password_file: Some(file.clone()),
            ..Credentials::default()
        },
        ..parse(&server.url())
    };
    fs::write(&file, "another\n").unwrap();
    let error = Link::connect(url.clone(), quick()).await.unwrap_err();
    assert_eq!(error.kind(), FaultKind::Auth, "{error}");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let link = Link::connect(url, quick()).await.unwrap();
    let ping = cmd("PING");
    // It is changed while the server is away.
    fs::write(&file, "rotated").unwrap();
    server.kill();
    server.configure(&["--requirepass", "rotated"]);
    server.run();
    eventually("answering", || async {
        link.call::<()>(0, &ping).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there() {
    let server = Server::start(&[]);
    let (kind, error) = refused(&format!("{}/99", server.url())).await;
    assert_eq!(kind, FaultKind::Misconfigured);
    assert!(
        error.contains("out of range") && error.contains("`databases`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_kind() {
    let (server, node) = (Server::start(&[]), Server::cluster_node());
    let sentinel = Server::sentinel(&server, 1);
    for (url, words) in [
        (node.url(), "node of a cluster"),
        (format!("{}/1", node.url()), "redis+cluster://"),
        (sentinel.url(), "is a sentinel"),
        (
            format!("redis+cluster://127.0.0.1:{}", server.port),
            "write redis://",
        ),
        (
            format!("redis+sentinel://127.0.0.1:{}/main", server.port),
            "is no sentinel",
        ),
    ] {
        let (kind, error) = refused(&url).await;
        assert_eq!(kind, FaultKind::WrongServer, "{url}: {error}");
        assert!(error.contains(words), "{url}: {error}");
    }
    let url = format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port);
    let (kind, error) = refused(&url).await;
    assert_eq!(kind, FaultKind::Misconfigured);
    assert!(
        error.contains("`other`") && error.contains("sentinel monitor"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica() {
    let primary = Server::start(&[]);
    let replica = Server::replica_of(&primary);
    let (kind, error) = refused(&replica.url()).await;
    assert_eq!(kind, FaultKind::Replica);
    assert!(error.contains("name the primary"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_all_the_clients_it_takes() {
    let server = Server::start(&["--maxclients", "3"]);
    let client = redis::Client::open(server.url()).unwrap();
    let mut clients = Vec::new();
    // Whoever saw that the server is up may still have a place.
    eventually("three places", || {
        clients.extend(client.get_connection());
        std::future::ready(clients.len() == 3)
    })
    .await;
    let error = Link::connect(parse(&server.url()), quick())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::MaxClients, "{error}");
    assert!(
        error.retryable() && error.to_string().contains("raise maxclients"),
        "{error}"
    );
    drop(clients);
    eventually("a place", || async {
        Link::connect(parse(&server.url()), quick()).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_keep_users_of_their_own() {
    let primary = Server::start(&["--requirepass", "data-one"]);
    let lines = "requirepass sentinel-one\nsentinel auth-pass main data-one\n";
    let sentinel = Server::sentinel_of(primary.port, 1, lines);
    let at = format!("127.0.0.1:{},127.0.0.1:{}", sentinel.port, free_port());
    let good = format!("redis+sentinel://:data-one@{at}/main?sentinel_password=sentinel-one");
    eventually("the sentinel", || async {
        Link::connect(parse(&good), quick()).await.is_ok()
    })
    .await;
    for (url, words) in [
        (
            format!("redis+sentinel://:data-one@{at}/main"),
            "backend.sentinel_password_file",
        ),
        (
            good.replace("=sentinel", "=wrong"),
            "backend.sentinel_password_file",
        ),
        (good.replace(":data", ":wrong"), "backend.password_file"),
        (good.replace(":data-one@", ""), "backend.password_file"),
    ] {
        let (kind, error) = refused(&url).await;
        assert_eq!(kind, FaultKind::Auth, "{url}: {error}");
        assert!(error.contains(words), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_a_link_that_runs_is_shown_as_long_as_it_is_met() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let link = link(&server.url()).await;
    let set = || async {
        link.call::<()>(0, cmd("SET").arg(key(&link, 0, "a")).arg("1"))
            .await
    };
    let errors = |kind: FaultKind| {
        let errors = &link.stats().errors;
        errors.with_label_values(&[kind.as_str()]).get()
    };
    set().await.unwrap();
    assert!(link.stats().faults().is_empty());
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = set().await.unwrap_err();
    assert!(matches!(error, LinkError::Server { .. }), "{error}");
    assert_eq!(error.kind(), FaultKind::OutOfMemory);
    assert_eq!(errors(FaultKind::OutOfMemory), 1);
    assert_eq!(errors(FaultKind::Unreachable), 0);
    let shown = link.stats().faults().concat();
    assert!(shown.starts_with("the memory of Redis is full"), "{shown}");
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    set().await.unwrap();

    server.command::<()>(&["ACL", "SETUSER", "default", "-set"]);
    let error = set().await.unwrap_err();
    assert_eq!(error.kind(), FaultKind::Permission, "{error}");
    assert_eq!(errors(FaultKind::Permission), 1);
    assert_eq!(link.stats().faults().len(), 2);
}
