//! Single requests: what nginx and the services refuse, and what of a request reaches them.

use anyhow::{Result, ensure};
use carillon_tests::client::notification;
use carillon_tests::nginx::Nginx;
use reqwest::Method;
use serde_json::Value;

use super::Edge;
use super::origin::Origin;

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_the_documented_ones() -> Result<()> {
    let edge = Edge::start().await?;
    let send = |bytes: usize| {
        let content = "x".repeat(bytes);
        let body = notification("alice", "t", &content);
        edge.api
            .request(Method::POST, "/api/notifications/send")
            .json(&body)
    };
    // 72 KiB is a dispatcher's limit, 1 MiB nginx's; a caller sees no difference.
    for (bytes, by_dispatcher) in [(100_000, true), (2_000_000, false)] {
        let answer = send(bytes).send().await?;
        ensure!(answer.status() == 413, "{bytes}: {}", answer.status());
        ensure!(answer.headers()["content-type"] == "application/problem+json");
        ensure!(answer.headers().contains_key("x-request-id") == by_dispatcher);
        let problem: Value = answer.json().await?;
        ensure!(problem["code"] == "body_too_large", "{problem}");
        ensure!(problem["retryable"] == false, "{problem}");
    }
    ensure!(send(60_000).send().await?.status() == 200);

    let head = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n").into_bytes()
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: ";
    let path = "/ws/notifications";
    let huge = format!("X-Large: {}\r\n", "x".repeat(200_000));
    for (what, request, status, header) in [
        (
            "no upgrade",
            head(path, ""),
            426,
            "sec-websocket-version: 13",
        ),
        (
            "an old version",
            head(path, &format!("{upgrade}8\r\n")),
            426,
            "sec-websocket-version: 13",
        ),
        ("another upgrade", head(path, "Upgrade: h2c\r\n"), 426, ""),
        (
            "another path",
            head("/ws/other", &format!("{upgrade}13\r\n")),
            404,
            "",
        ),
        (
            "no key",
            head("/api/notifications/online-count", ""),
            401,
            "www-authenticate",
        ),
        ("metrics", head("/metrics", ""), 404, ""),
        ("health", head("/readyz", ""), 404, ""),
        ("a huge head", head(path, &huge), 400, ""),
    ] {
        let answer = edge.nginx.ask(&request).await?;
        let line = answer.lines().next().unwrap_or_default();
        ensure!(line.contains(&status.to_string()), "{what}: {line}");
        ensure!(answer.contains(header), "{what}: {answer}");
    }

    for process in edge
        .deployment
        .gateways()
        .iter()
        .chain(edge.deployment.dispatchers())
    {
        process.kill().await?;
    }
    let answer = send(1).send().await?;
    ensure!(answer.status() == 503 && answer.headers()["retry-after"] == "1");
    let problem: Value = answer.json().await?;
    ensure!(problem["code"] == "outcome_unknown", "{problem}");
    let answer = edge
        .nginx
        .ask(&head(path, &format!("{upgrade}13\r\n")))
        .await?;
    ensure!(
        answer.contains("503") && answer.contains("retry-after: 2"),
        "{answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_the_services() -> Result<()> {
    let origins = [Origin::start().await?, Origin::start().await?];
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let nginx = Nginx::start(&addresses, &addresses).await?;
    let heads = || -> Vec<String> { origins.iter().flat_map(Origin::take_heads).collect() };

    let socket = "GET /ws/notifications?token=t HTTP/1.1\r\nHost: push.example\r\n\
                  Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                  X-Forwarded-For: 203.0.113.9\r\n\r\n";
    nginx.ask(socket.as_bytes()).await?;
    let asked = heads().concat();
    for expected in [
        "get /ws/notifications?token=t http/1.1",
        "upgrade: websocket",
        "connection: upgrade",
        "host: push.example",
        "x-forwarded-for: 203.0.113.9, 127.0.0.1",
        "x-forwarded-proto: http",
    ] {
        ensure!(asked.contains(expected), "no {expected} in {asked}");
    }
    let other = "GET /ws/notifications HTTP/1.1\r\nHost: push.example\r\nUpgrade: h2c\r\n\
                 Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    nginx.ask(other.as_bytes()).await?;
    let asked = heads().concat();
    ensure!(
        !asked.contains("upgrade"),
        "only a WebSocket is upgraded: {asked}"
    );

    // A POST that was sent is not sent again; a handshake is, once, to the other server.
    let length = "Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    for (request, attempts) in [
        (
            format!("POST /api/break HTTP/1.1\r\nHost: x\r\n{length}"),
            1,
        ),
        ("GET /ws/break HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 2),
    ] {
        let answer = nginx.ask(request.as_bytes()).await?;
        ensure!(answer.starts_with("http/1.1 503"), "{request}: {answer}");
        let asked = heads();
        ensure!(
            asked.len() == attempts,
            "sent {} times: {request}",
            asked.len()
        );
    }
    Ok(())
}
