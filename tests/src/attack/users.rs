//! Who has a token of its own.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{Aim, Attack, Floor};
use crate::bench::wire;

pub(super) const PINGS: Attack = Attack {
    name: "4 users who send nothing but pings",
    floor: Floor::Nothing,
    run: |aim, lasts| {
        async move {
            let pings = wire::client_frame(wire::PING, b"x").repeat(512);
            flood(aim, lasts, pings).await
        }
        .boxed()
    },
};

pub(super) const FRAGMENTS: Attack = Attack {
    name: "4 users with messages of empty parts",
    floor: Floor::Nothing,
    run: |aim, lasts| {
        async move {
            // A text that goes on, and on (RFC 6455, section 5.4).
            let mut parts = wire::client_frame(wire::TEXT, b"");
            parts[0] &= 0x7f;
            let mut more = wire::client_frame(0, b"");
            more[0] &= 0x7f;
            parts.extend(more.repeat(512));
            flood(aim, lasts, parts).await
        }
        .boxed()
    },
};

pub(super) const STOPPED_READERS: Attack = Attack {
    name: "32 devices that stop reading",
    floor: Floor::Without(|aim, lasts| followed(aim, lasts, true).boxed()),
    run: |aim, lasts| followed(aim, lasts, false).boxed(),
};

/// Somebody sends to a user with 32 devices, whether they read or not.
async fn followed(aim: Aim, lasts: Duration, read: bool) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut device = connect(&aim).await?;
        if read {
            tokio::spawn(async move {
                let mut piece = vec![0; 64 << 10];
                while matches!(device.read(&mut piece).await, Ok(1..)) {}
            });
        } else {
            held.push(device);
        }
    }
    let body = "x".repeat(60_000);
    let end = Instant::now() + lasts;
    let mut caller = TcpStream::connect(aim.dispatcher).await?;
    let mut answer = vec![0; 4096];
    while Instant::now() < end {
        let body = format!(
            "{{\"target_user\":\"attacker\",\"notification_type\":\"t\",\"content\":\"{body}\",\"ttl\":60}}"
        );
        caller
            .write_all(&wire::post("/api/notifications/send", &aim.key, &body))
            .await?;
        let _read = caller.read(&mut answer).await?;
        sleep(Duration::from_millis(20)).await;
    }
    drop(held);
    Ok(())
}

/// Four connections that write these bytes again and again, and connect again when they are ended.
async fn flood(aim: Aim, lasts: Duration, bytes: Vec<u8>) -> Result<()> {
    let end = tokio::time::Instant::now() + lasts;
    let flooding = (0..4).map(|_| {
        let (aim, bytes) = (aim.clone(), bytes.clone());
        async move {
            loop {
                let Ok(mut stream) = connect(&aim).await else {
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                while stream.write_all(&bytes).await.is_ok() {}
            }
        }
    });
    let flooding = futures_util::future::join_all(flooding);
    // Until its time is over.
    drop(tokio::time::timeout_at(end, flooding).await);
    Ok(())
}

async fn connect(aim: &Aim) -> Result<TcpStream> {
    let stream = TcpStream::connect(aim.gateway).await?;
    upgrade(stream, &format!("/ws/notifications?token={}", aim.token)).await
}

/// Makes a stream one that is told everything.
pub(super) async fn upgrade(mut stream: TcpStream, target: &str) -> Result<TcpStream> {
    stream.write_all(&wire::upgrade(target, false)).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    anyhow::ensure!(
        &answer == b"HTTP/1.1 101",
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(stream)
}
