//! A listener that does nothing of its own: what the same attack does to any service of this machine.

use std::net::SocketAddr;
use std::thread;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Runs until it is dropped.
pub(super) struct Bare {
    /// Where it listens.
    pub(super) address: SocketAddr,
    _over: oneshot::Sender<()>,
}

impl Bare {
    /// On a thread of its own, as a service has a process of its own.
    pub(super) async fn start() -> Result<Self> {
        let (listening, address) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let told = listening.send(listener.local_addr()?);
                told.map_err(|_| std::io::Error::other("nobody waits for the address"))?;
                tokio::select! {
                    result = serve(listener) => result,
                    // Told by nothing but the drop of its sender.
                    _ = ended => Ok(()),
                }
            })
        });
        Ok(Self {
            address: address.await.context("the bare listener has not started")?,
            _over: over,
        })
    }
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(hold(stream));
    }
}

/// Reads to the end; a head that ends is answered, and with it the connection ends.
async fn hold(mut stream: TcpStream) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        if piece[..read].ends_with(b"\r\n\r\n") {
            let answer =
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(answer).await;
        }
    }
}
