//! Who has no token.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Attack, Floor};
use crate::bench::wire;
use crate::client::token;

const CONNECTIONS: usize = 3_000;
const A_SECOND: usize = 400;

pub(super) const BYTE_BY_BYTE: Attack = Attack {
    name: "3 000 handshakes, byte by byte",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let head = wire::upgrade("/ws/notifications", false);
            let mut held = hold(aim.gateway, CONNECTIONS, b"").await;
            let end = Instant::now() + lasts;
            let mut bytes = head.chunks(1).cycle();
            while Instant::now() < end {
                let byte = bytes.next().unwrap_or_default();
                held.retain_mut(|stream| matches!(stream.try_write(byte), Ok(1..)));
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        }
        .boxed()
    },
};

pub(super) const SILENT: Attack = Attack {
    name: "3 000 connections that say nothing",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let held = hold(aim.gateway, CONNECTIONS, b"").await;
            sleep(lasts).await;
            drop(held);
            Ok(())
        }
        .boxed()
    },
};

pub(super) const PLAIN_GETS: Attack = Attack {
    name: "400 plain GETs a second, unread",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let request = b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
            storm(aim.gateway, lasts, move || request.clone()).await
        }
        .boxed()
    },
};

pub(super) const WITHOUT_TOKEN: Attack = Attack {
    name: "400 handshakes a second without a token",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let request = wire::upgrade("/ws/notifications", false);
            storm(aim.gateway, lasts, move || request.clone()).await
        }
        .boxed()
    },
};

pub(super) const BAD_TOKENS: Attack = Attack {
    name: "400 handshakes a second with forged tokens",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let mut number = 0;
            storm(aim.gateway, lasts, move || {
                number += 1;
                let lives = Duration::from_secs(60);
                let forged = token::hs256(
                    "a secret of the attacker's own, 32+",
                    &format!("u{number}"),
                    lives,
                );
                wire::upgrade(&format!("/ws/notifications?token={forged}"), false)
            })
            .await
        }
        .boxed()
    },
};

/// So many connections, each with these bytes sent.
pub(super) async fn hold(address: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let connecting = timeout(Duration::from_secs(1), TcpStream::connect(address));
        if let Ok(Ok(mut stream)) = connecting.await
            && (bytes.is_empty() || stream.write_all(bytes).await.is_ok())
        {
            held.push(stream);
        }
    }
    held
}

/// Requests at an even pace, whose answers are read to their end.
async fn storm(
    address: SocketAddr,
    lasts: Duration,
    mut request: impl FnMut() -> Vec<u8>,
) -> Result<()> {
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < lasts {
        let due = (begun.elapsed().as_secs_f64() * A_SECOND as f64) as usize;
        while sent < due {
            sent += 1;
            let request = request();
            tokio::spawn(async move {
                let asking = async {
                    let mut stream = TcpStream::connect(address).await?;
                    stream.write_all(&request).await?;
                    stream.read_to_end(&mut Vec::new()).await
                };
                // Whatever it is answered.
                drop(timeout(Duration::from_secs(5), asking).await);
            });
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
