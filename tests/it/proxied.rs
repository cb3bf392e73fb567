//! Connections that come by way of a proxy which tells whose they are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::auth::ApiKeys;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{SOON, World, token_of};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n";
/// Version 2, of 2001:db8::7.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb";

/// What comes of these bytes: the answer's head.
async fn answer(world: &World, pieces: &[&[u8]]) -> Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(world.gateway.public()).await?;
    for piece in pieces {
        stream.write_all(piece).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
    };
    timeout(SOON, reading).await?;
    let head = String::from_utf8(head)?;
    Ok((stream, head))
}

fn upgrade(user: &str, fields: &str) -> Vec<u8> {
    let token = token_of(user);
    format!(
        "GET /ws/notifications?token={token} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// A world whose gateway expects the PROXY protocol, and an operator's key.
async fn world(settings: &[(&str, &str)]) -> (World, String) {
    let (key, hash) = ApiKeys::generate();
    let more =
        format!("[[auth.api_keys]]\nname = \"ops\"\nhash = \"{hash}\"\nscopes = [\"admin\"]\n");
    let own = [
        ("gateway.proxy_protocol", "true"),
        ("gateway.trusted_hops", "1"),
    ];
    let world = World::configured(&[&own[..], settings].concat(), &more).await;
    (world, key.expose().clone())
}

/// The address of the user's connection, as an operator sees it.
async fn address_of(world: &World, key: &str, user: &str) -> Result<String> {
    let url = format!("http://{}/connections?user={user}", world.gateway.admin());
    let request = reqwest::Client::new().get(url).bearer_auth(key);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let address = answer["connections"][0]["address"].as_str();
    Ok(address.with_context(|| format!("{answer}"))?.to_owned())
}

#[tokio::test]
async fn an_address_is_what_a_trusted_proxy_says() -> Result<()> {
    let (world, key) = world(&[]).await;
    let inner: &[u8] = b"PROXY TCP4 10.0.0.9 10.0.0.1 1 2\r\n";
    let forwarded = "X-Forwarded-For: 198.51.100.1, 203.0.113.5\r\n";
    for (at, (header, fields, address)) in [
        (LINE, "", "192.0.2.7"),
        (BINARY, "", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "", "127.0.0.1"),
        // Who is no trusted proxy is not believed what it says of others …
        (LINE, forwarded, "192.0.2.7"),
        // … and one that is says whose connection it carries on.
        (inner, forwarded, "203.0.113.5"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user-{at}");
        let whole = [header, &upgrade(&user, fields)].concat();
        let pieces: Vec<_> = header.chunks(1).collect();
        let request = upgrade(&format!("{user}-slowly"), fields);
        let slowly = [&pieces[..], &[&request[..]]].concat();
        let (_one, head) = answer(&world, &[&whole]).await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{at}: {head}");
        let (_other, head) = answer(&world, &slowly).await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{at}, slowly: {head}");
        for user in [user.clone(), format!("{user}-slowly")] {
            let is = address_of(&world, &key, &user).await?;
            ensure!(is == address, "{at}: {is}, not {address}");
        }
    }
    // A stream's as well.
    let token = token_of("reader");
    let request = format!("GET /sse/notifications?token={token} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (_stream, head) = answer(&world, &[LINE, request.as_bytes()]).await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    ensure!(address_of(&world, &key, "reader").await? == "192.0.2.7");
    Ok(())
}

#[tokio::test]
async fn what_is_no_header_is_refused() -> Result<()> {
    let (world, _) = world(&[("gateway.handshake_timeout", "1s")]).await;
    let request = upgrade("alice", "");
    for (pieces, status) in [
        (&[&request[..]][..], "400"),
        (
            &[b"PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n", &request],
            "400",
        ),
        (&[b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", &request], "400"),
        (&[LINE, LINE, &request], "400"),
        (&[b"PROXY TCP4 192.0.2.7 10.0"], "408"),
        (&[LINE, b"GET / HT"], "408"),
    ] {
        let (_stream, head) = answer(&world, pieces).await?;
        let said = format!("HTTP/1.1 {status} ");
        ensure!(head.starts_with(&said), "{status}: {head}");
    }
    let malformed = upgrade("alice", "X-Forwarded-For: nonsense\r\n");
    let inner: &[u8] = b"PROXY TCP4 10.0.0.9 10.0.0.1 1 2\r\n";
    let (_stream, head) = answer(&world, &[inner, &malformed]).await?;
    ensure!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let (_stream, head) = answer(&world, &[inner, &request]).await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Ok(())
}

#[tokio::test]
async fn nobody_else_may_send_one() -> Result<()> {
    let (world, key) = world(&[("gateway.trusted_proxies", "10.0.0.0/8,fd00::/8")]).await;
    let request = upgrade("alice", "X-Forwarded-For: 203.0.113.5\r\n");
    for header in [LINE, BINARY] {
        let (_stream, head) = answer(&world, &[header, &request]).await?;
        ensure!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
    let (_stream, head) = answer(&world, &[&request]).await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    ensure!(address_of(&world, &key, "alice").await? == "127.0.0.1");
    Ok(())
}
