//! What one address may take up at nginx.

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Handshake, Socket, TokenIn},
    nginx::Nginx,
    poll::eventually,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Edge, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn one_address_takes_up_so_much_and_is_told() -> Result<()> {
    let edge = Edge::start().await?;
    let upgrade = |more: &str| {
        let head = format!(
            "GET /ws/notifications HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        );
        head.into_bytes()
    };
    // Nobody who is let in has any business with these: what comes too fast never reaches a gateway.
    let answers = stream::iter(0..1_500)
        .map(|_| edge.nginx.ask(b"GET /ws/notifications HTTP/1.0\r\n\r\n"))
        .buffer_unordered(50);
    let answers: Vec<String> = answers.try_collect().await?;
    let told =
        |answer: &&String| answer.starts_with("http/1.1 503") && answer.contains("retry-after: 5");
    let refused = answers.iter().filter(told).count();
    ensure!((100..=500).contains(&refused), "{refused} of 1 500");

    let gateways: Vec<_> = edge
        .deployment
        .gateways()
        .iter()
        .map(|it| it.public())
        .collect();
    let few = [("carillon_sockets 1000;", "carillon_sockets 2;")];
    let nginx = Nginx::start_with(&gateways, &gateways, &few).await?;
    let token = edge.deployment.token("alice");
    let connect = || {
        let handshake = Handshake::to(&nginx.ws()).token(TokenIn::Query, &token);
        async move { Socket::connect(&handshake).await }
    };
    let (first, _second) = (connect().await?, connect().await?);
    let answer = nginx.ask(&upgrade("")).await?;
    ensure!(told(&&answer), "{answer}");
    drop(first);
    let free = eventually("a place is free again", PATIENCE, async || connect().await);
    free.await?;
    Ok(())
}
