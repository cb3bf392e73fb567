//! Encrypted connections.

use carillon_common::backend::redis::link::{Link, LinkError};
use carillon_common::backend::redis::url::RedisUrl;
use redis::cmd;

use crate::servers::Server;
use crate::{Heard, key, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_only() {
    let (_server, port, ca) = Server::tls();
    let url = |query: &str| RedisUrl::parse(&format!("rediss://localhost:{port}{query}")).unwrap();
    let ca = format!("?ca_file={}", ca.display());
    let link = Link::connect(url(&ca), quick()).await.unwrap();
    assert_eq!(
        link.call::<String>(0, &cmd("PING")).await,
        Ok("PONG".into())
    );
    let heard = Heard::default();
    let bus = heard.start(&link);
    let channel = key(&link, 0, "ch:a");
    bus.subscribe(0, channel.clone()).await.unwrap();
    heard.hears(&link, 0, &channel).await;

    let error = Link::connect(url(""), quick()).await.unwrap_err();
    assert!(matches!(error, LinkError::Unavailable(_)), "{error}");
    let error = Link::connect(url("?ca_file=/none.pem"), quick())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/none.pem"), "{error}");
}
