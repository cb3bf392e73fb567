//! A TCP proxy that breaks, freezes or slows the network between two parties.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::redis::free_port;

/// Bytes in one piece, and pieces under way in one direction: 256 KiB at most.
const PIECE: usize = 16 * 1024;
const PIECES: usize = 16;

/// A proxy in front of one address; everything passes until told otherwise.
#[derive(Debug)]
pub struct ChaosProxy {
    addr: SocketAddr,
    upstream: SocketAddr,
    weather: watch::Sender<Weather>,
    /// None while the network is broken.
    link: Option<Link>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    frozen: bool,
    delay: Duration,
}

/// The listener's task and those of its connections.
#[derive(Debug)]
struct Link {
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl ChaosProxy {
    /// Starts a proxy to `upstream` on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST, upstream).await
    }

    /// The same on another address of this machine.
    ///
    /// # Errors
    /// When no port can be bound there.
    pub async fn start_on(address: Ipv4Addr, upstream: SocketAddr) -> Result<Self> {
        // One that no outgoing connection is given while the network is broken and nobody listens.
        let listener = TcpListener::bind((address, free_port()?)).await?;
        let addr = listener.local_addr()?;
        let weather = watch::Sender::new(Weather::default());
        let link = Some(Link::open(listener, upstream, &weather));
        Ok(Self {
            addr,
            upstream,
            weather,
            link,
        })
    }

    /// Where to connect instead of to the upstream.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets every connection and refuses new ones, until [`ChaosProxy::restore`]. When it
    /// returns, all sockets are closed.
    pub async fn break_networking(&mut self) {
        if let Some(link) = self.link.take() {
            link.cut.cancel();
            link.tasks.wait().await;
        }
    }

    /// Accepts connections again, on the same address.
    ///
    /// # Errors
    /// When the address was taken in the meantime.
    pub async fn restore(&mut self) -> Result<()> {
        if self.link.is_none() {
            let listener = TcpListener::bind(self.addr).await?;
            self.link = Some(Link::open(listener, self.upstream, &self.weather));
        }
        Ok(())
    }

    /// Passes nothing on, in either direction, while sockets stay open and new ones are accepted:
    /// to both sides the other is silent. Ends of streams are held back too.
    pub fn freeze(&self) {
        self.weather.send_modify(|weather| weather.frozen = true);
    }

    /// Passes on what was held back, and everything after it.
    pub fn thaw(&self) {
        self.weather.send_modify(|weather| weather.frozen = false);
    }

    /// Delays what is read from now on, in each direction, by this much.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.cut.cancel();
        }
    }
}

impl Link {
    fn open(listener: TcpListener, upstream: SocketAddr, weather: &watch::Sender<Weather>) -> Self {
        let link = Self {
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (cut, tasks, weather) = (link.cut.clone(), link.tasks.clone(), weather.subscribe());
        let accepting = async move {
            while let Some(accepted) = cut.run_until_cancelled(listener.accept()).await {
                // A connection that fails while it is accepted is the network's business.
                if let Ok((client, _)) = accepted {
                    tasks.spawn(connection(client, upstream, weather.clone(), cut.clone()));
                }
            }
        };
        link.tasks.spawn(accepting);
        link.tasks.close();
        link
    }
}

/// The life of one proxied connection.
async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    cut: CancellationToken,
) {
    let connecting = async {
        thawed(&mut weather).await;
        TcpStream::connect(upstream).await
    };
    let Some(Ok(mut server)) = cut.run_until_cancelled(connecting).await else {
        reset(&client);
        return;
    };
    let carried = cut
        .run_until_cancelled(carry(&mut client, &mut server, &weather))
        .await;
    if !matches!(carried, Some(Ok(()))) {
        reset(&client);
        reset(&server);
    }
}

/// Both directions, until both have ended or one has failed.
async fn carry(
    client: &mut TcpStream,
    server: &mut TcpStream,
    weather: &watch::Receiver<Weather>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = carry_one_way(from_client, to_server, weather.clone());
    let down = carry_one_way(from_server, to_client, weather.clone());
    tokio::try_join!(up, down).map(|_| ())
}

async fn carry_one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let seen = weather.clone();
    let reading = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            piece.truncate(length);
            let due = Instant::now() + seen.borrow().delay;
            queue
                .send((due, piece))
                .await
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
    };
    let writing = async move {
        while let Some((due, piece)) = queued.recv().await {
            sleep_until(due).await;
            thawed(&mut weather).await;
            to.write_all(&piece).await?;
        }
        thawed(&mut weather).await;
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(|_| ())
}

async fn thawed(weather: &mut watch::Receiver<Weather>) {
    if weather.wait_for(|weather| !weather.frozen).await.is_err() {
        // The proxy is gone, and this task about to be cut.
        pending::<Infallible>().await;
    }
}

/// Makes the socket's end a reset rather than an orderly close.
fn reset(socket: &TcpStream) {
    // Fails only on a socket that is already disconnected.
    drop(socket.set_zero_linger());
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const BRIEFLY: Duration = Duration::from_millis(100);

    /// A server that answers every byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        addr
    }

    async fn echoes(socket: &mut TcpStream) -> Result<()> {
        socket.write_all(b"x").await?;
        let mut byte = [0];
        timeout(SOON, socket.read_exact(&mut byte)).await??;
        ensure!(byte == *b"x");
        Ok(())
    }

    #[tokio::test]
    async fn breaks_and_restores() {
        let mut proxy = ChaosProxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        echoes(&mut socket).await.unwrap();

        proxy.break_networking().await;
        let broken = timeout(SOON, socket.read(&mut [0])).await.unwrap();
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        proxy.restore().await.unwrap();
        echoes(&mut TcpStream::connect(proxy.addr()).await.unwrap())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn freezes_old_and_new_connections_and_thaws_them() {
        let proxy = ChaosProxy::start(echo().await).await.unwrap();
        let mut old = TcpStream::connect(proxy.addr()).await.unwrap();
        echoes(&mut old).await.unwrap();

        proxy.freeze();
        let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
        for socket in [&mut old, &mut new] {
            socket.write_all(b"x").await.unwrap();
            let early = timeout(BRIEFLY, socket.read(&mut [0])).await;
            assert!(
                early.is_err(),
                "a frozen network passed something: {early:?}"
            );
        }
        proxy.thaw();
        for socket in [&mut old, &mut new] {
            let length = timeout(SOON, socket.read(&mut [0; 8]))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(length, 1);
        }
    }

    #[tokio::test]
    async fn delays_each_direction() {
        let proxy = ChaosProxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        proxy.delay(BRIEFLY);
        let start = Instant::now();
        echoes(&mut socket).await.unwrap();
        assert!(start.elapsed() >= 2 * BRIEFLY, "took {:?}", start.elapsed());
    }

    #[tokio::test]
    async fn carries_much_and_its_end() {
        let proxy = ChaosProxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        let (mut from, mut to) = socket.split();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let sending = async {
            to.write_all(&sent).await?;
            to.shutdown().await
        };
        let mut received = Vec::new();
        let receiving = from.read_to_end(&mut received);
        timeout(SOON, async { tokio::try_join!(sending, receiving) })
            .await
            .unwrap()
            .unwrap();
        assert!(sent == received, "what came back differs");
    }

    #[tokio::test]
    async fn a_dead_upstream_is_a_reset() {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = ChaosProxy::start(upstream.local_addr().unwrap())
            .await
            .unwrap();
        drop(upstream);
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        assert!(timeout(SOON, socket.read(&mut [0])).await.unwrap().is_err());
    }
}
