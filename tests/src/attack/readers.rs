//! A thousand readers that stop: what each holds of the gateway and of its kernel, and for how long.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use super::kernel_memory;
use super::users::upgrade;
use crate::bench::proc;
use crate::bench::rig::Rig;

/// Of a user each: devices of one user would share what waits for them.
const READERS: usize = 1_024;
/// To each, of so many bytes: more than anybody keeps for a socket.
const SENDS: usize = 6;
const BYTES: usize = 60_000;
/// Who send at once: all is to be sent before the first reader is given up.
const CALLERS: usize = 4;
/// What each may hold, in the gateway and its kernel together.
const MOST: u64 = 256 << 10;
/// From the first 4102 to the end of it.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const GIVEN_UP: Duration = Duration::from_secs(120);

/// What they held.
#[derive(Debug)]
pub struct Held {
    /// How many there were.
    pub readers: u64,
    /// Of the gateway, for each, in bytes.
    pub gateway: u64,
    /// Of the kernel, for each, both ends of the socket.
    pub kernel: u64,
    /// How long it took until nine tenths of it were given back, after the most was held.
    pub until_free: Duration,
}

/// The most that was held, and since when.
struct Most {
    pid: u32,
    before: (u64, u64),
    gateway: u64,
    kernel: u64,
    since: Instant,
}

impl Most {
    fn from(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            before: (proc::memory(pid)?, kernel_memory()?),
            gateway: 0,
            kernel: 0,
            since: Instant::now(),
        })
    }

    /// What is held now; remembers the most.
    fn look(&mut self) -> Result<u64> {
        let gateway = proc::memory(self.pid)?.saturating_sub(self.before.0);
        let kernel = kernel_memory()?.saturating_sub(self.before.1);
        if gateway + kernel > self.gateway + self.kernel {
            (self.gateway, self.kernel) = (gateway, kernel);
            self.since = Instant::now();
        }
        Ok(gateway + kernel)
    }

    /// Nine tenths of it are given back.
    async fn free(&mut self) -> Result<Duration> {
        loop {
            let now = self.look()?;
            let took = self.since.elapsed();
            if now * 10 < self.gateway + self.kernel {
                return Ok(took);
            }
            ensure!(took < GIVEN_UP, "{} KiB are still held", now >> 10);
            sleep(Duration::from_millis(250)).await;
        }
    }
}

/// Has them connect, stop reading, and be sent to.
///
/// # Errors
/// When they cannot connect, or nobody can be sent to.
pub async fn stopped_readers(rig: &Rig) -> Result<Held> {
    let mut held = Vec::with_capacity(READERS);
    for reader in 0..READERS {
        held.push(connect(rig, &rig.token(&name(reader))).await?);
        // Below `gateway.handshake_rate`.
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let mut most = Most::from(rig.gateway().pid())?;
    for _ in 0..SENDS {
        try_join_all((0..CALLERS).map(|caller| send_to_each(rig, caller))).await?;
        most.look()?;
    }
    let until_free = most.free().await?;
    let readers = held.len() as u64;
    Ok(Held {
        readers,
        gateway: most.gateway / readers,
        kernel: most.kernel / readers,
        until_free,
    })
}

/// Of those that this caller sends to.
async fn send_to_each(rig: &Rig, caller: usize) -> Result<()> {
    let mut stream = TcpStream::connect(rig.dispatcher.public()).await?;
    let content = "x".repeat(BYTES);
    let mut answer = [0; 4096];
    for reader in (caller..READERS).step_by(CALLERS) {
        stream.write_all(&rig.send(&name(reader), &content)).await?;
        let read = stream.read(&mut answer).await?;
        ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "not accepted");
    }
    Ok(())
}

fn name(reader: usize) -> String {
    format!("reader-{reader}")
}

impl Held {
    /// # Errors
    /// When it is more, or for longer, than may be.
    pub fn check(&self) -> Result<()> {
        let each = self.gateway + self.kernel;
        ensure!(each <= MOST, "each holds {} KiB", each >> 10);
        ensure!(
            self.until_free <= GONE_WITHIN,
            "held for {:?}",
            self.until_free
        );
        Ok(())
    }
}

/// One with the least window there is, so that what is sent to it stays with us.
async fn connect(rig: &Rig, token: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    SockRef::from(&socket).set_recv_buffer_size(1)?;
    let stream = socket.connect(rig.gateway().public()).await?;
    upgrade(stream, &format!("/ws/notifications?token={token}")).await
}
