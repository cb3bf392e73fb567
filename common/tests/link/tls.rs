//! Encrypted connections.

use carillon_common::backend::FaultKind;
use carillon_common::backend::redis::link::{Link, LinkError};
use carillon_common::backend::url::RedisUrl;
use carillon_common::tls::Identity;
use redis::cmd;

use crate::authority::Authority;
use crate::servers::{Server, free_port};
use crate::{Heard, eventually, key, link, quick};

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

async fn refused(url: RedisUrl) -> (FaultKind, String) {
    let error = Link::connect(url, quick()).await.unwrap_err();
    assert!(
        matches!(error, LinkError::Refused(_)) && !error.retryable(),
        "{error}"
    );
    (error.kind(), error.to_string())
}

/// Calls and the bus work.
async fn works(url: RedisUrl) {
    let link = Link::connect(url, quick()).await.unwrap();
    for partition in 0..8 {
        let set = cmd("SET")
            .arg(key(&link, partition, "a"))
            .arg("1")
            .to_owned();
        link.call::<()>(partition, &set).await.unwrap();
    }
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 0, "ch:a");
    bus.subscribe(0, channel.clone()).await.unwrap();
    heard.hears(&link, 0, &channel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_only() {
    let (authority, port) = (Authority::new(), free_port());
    let _server = Server::start(&strs(&authority.server(port, "no")));
    let text = format!("rediss://localhost:{port}");
    works(authority.url(&text, None)).await;

    let (kind, error) = refused(RedisUrl::parse(&text).unwrap()).await;
    assert_eq!(kind, FaultKind::Tls);
    assert!(
        error.contains("UnknownIssuer") && error.contains("backend.ca_file"),
        "{error}"
    );
    let (kind, error) =
        refused(RedisUrl::parse(&format!("{text}?ca_file=/none.pem")).unwrap()).await;
    assert_eq!(kind, FaultKind::Misconfigured);
    assert!(error.contains("/none.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_certificate_gets_it() {
    let (authority, port) = (Authority::new(), free_port());
    let _server = Server::start(&strs(&authority.server(port, "yes")));
    let text = format!("rediss://localhost:{port}");
    let identity = authority.sign("carillon");
    works(authority.url(&text, Some(identity.clone()))).await;

    let strangers = Authority::new();
    for shown in [None, Some(strangers.sign("stranger"))] {
        let (kind, error) = refused(authority.url(&text, shown)).await;
        assert_eq!(kind, FaultKind::Tls, "{error}");
        assert!(error.contains("backend.cert_file"), "{error}");
    }
    let gone = Identity {
        key_file: "/none.key".into(),
        ..identity
    };
    let (kind, error) = refused(authority.url(&text, Some(gone))).await;
    assert_eq!(kind, FaultKind::Misconfigured);
    assert!(
        error.contains("key_file") && error.contains("/none.key"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_anew_for_each_connection() {
    let (authority, port) = (Authority::new(), free_port());
    let mut server = Server::start(&strs(&authority.server(port, "yes")));
    let identity = authority.sign("carillon");
    let url = authority.url(
        &format!("rediss://localhost:{port}"),
        Some(identity.clone()),
    );
    let link = Link::connect(url, quick()).await.unwrap();
    let ping = cmd("PING");
    let good = std::fs::read(&identity.key_file).unwrap();
    std::fs::write(&identity.key_file, "renewing").unwrap();
    server.kill();
    server.run();
    eventually("a refusal", || async {
        let answer = link.call::<()>(0, &ping).await;
        answer.is_err_and(|error| error.to_string().contains("private key"))
    })
    .await;
    std::fs::write(&identity.key_file, good).unwrap();
    eventually("answering", || async {
        link.call::<()>(0, &ping).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_on_one_side_alone_is_told_apart_from_an_outage() {
    let (authority, port) = (Authority::new(), free_port());
    let server = Server::start(&strs(&authority.server(port, "yes")));
    let plain = RedisUrl::parse(&format!("redis://localhost:{port}")).unwrap();
    let (kind, error) = refused(plain).await;
    assert_eq!(kind, FaultKind::Tls);
    assert!(
        error.contains("speaks TLS alone") && error.contains("rediss"),
        "{error}"
    );

    let identity = Some(authority.sign("carillon"));
    let text = format!("rediss://localhost:{}", server.port);
    let (kind, error) = refused(authority.url(&text, identity)).await;
    assert_eq!(kind, FaultKind::Tls);
    assert!(error.contains("speaks no TLS"), "{error}");

    let nobody = authority.url(&format!("rediss://localhost:{}", free_port()), None);
    let error = Link::connect(nobody, quick()).await.unwrap_err();
    assert_eq!(error.kind(), FaultKind::Unreachable, "{error}");
    // A link that works has nothing to tell.
    assert!(link(&server.url()).await.stats().faults().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_primary_get_the_certificate() {
    let (authority, port, sentinel_port) = (Authority::new(), free_port(), free_port());
    let _primary = Server::start(&strs(&authority.server(port, "yes")));
    let lines = authority.server(sentinel_port, "yes");
    let lines: Vec<String> = lines
        .chunks(2)
        .map(|pair| format!("{} {}\n", pair[0].trim_start_matches("--"), pair[1]))
        .collect();
    let _sentinel = Server::sentinel_of(port, 1, &lines.concat());
    let text = format!("rediss+sentinel://127.0.0.1:{sentinel_port}/main");
    works(authority.url(&text, Some(authority.sign("carillon")))).await;
    let (kind, error) = refused(authority.url(&text, None)).await;
    assert_eq!(kind, FaultKind::Tls, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_get_the_certificate() {
    let authority = Authority::new();
    let ports = [free_port(), free_port()];
    let nodes = ports.map(|port| {
        let bus = free_port().to_string();
        let mut args = authority.server(port, "yes");
        args.extend(["--tls-cluster", "yes", "--cluster-enabled", "yes"].map(str::to_owned));
        args.extend(["--cluster-port".to_owned(), bus]);
        Server::start(&strs(&args))
    });
    for (node, range) in nodes.iter().zip([("0", "8191"), ("8192", "16383")]) {
        node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", range.0, range.1]);
    }
    let bus = &nodes[1].command::<Vec<String>>(&["CONFIG", "GET", "cluster-port"])[1];
    let port = ports[1].to_string();
    nodes[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
    eventually("the cluster's health", || async {
        let state = |node: &Server| node.command::<String>(&["CLUSTER", "INFO"]);
        nodes
            .iter()
            .all(|node| state(node).contains("cluster_state:ok"))
    })
    .await;
    let text = format!("rediss+cluster://127.0.0.1:{}", ports[0]);
    works(authority.url(&text, Some(authority.sign("carillon")))).await;
    let (kind, error) = refused(authority.url(&text, None)).await;
    assert_eq!(kind, FaultKind::Tls, "{error}");
}
