//! A thousand devices that stop reading: what each holds of the gateway and of its kernel, and for how long.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use super::kernel_memory;
use super::users::upgrade;
use crate::bench::proc;
use crate::bench::rig::Rig;

const USERS: usize = 32;
/// As many as one user may have on a gateway.
const DEVICES: usize = 32;
/// Each, of so many bytes: more than anybody keeps for a socket.
const SENDS: usize = 12;
const BYTES: usize = 60_000;
/// What each may hold, in the gateway and its kernel together.
const MOST: u64 = 256 << 10;
/// From the first 4102 to the end of it.
const GONE_WITHIN: Duration = Duration::from_secs(30);

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

/// Has them connect, stop reading, and be sent to.
///
/// # Errors
/// When they cannot connect, or nobody can be sent to.
pub async fn stopped_readers(rig: &Rig) -> Result<Held> {
    let mut held = Vec::with_capacity(USERS * DEVICES);
    for user in 0..USERS {
        let token = rig.token(&format!("reader-{user}"));
        for device in 0..DEVICES {
            held.push(connect(rig, &token, device).await?);
            // Below `gateway.handshake_rate`.
            sleep(Duration::from_millis(5)).await;
        }
    }
    sleep(Duration::from_secs(1)).await;
    let pid = rig.gateway().pid();
    let now = || Ok::<_, anyhow::Error>((proc::memory(pid)?, kernel_memory()?));
    let before = now()?;
    let mut caller = TcpStream::connect(rig.dispatcher.public()).await?;
    let content = "x".repeat(BYTES);
    let mut most = (0, 0);
    let mut most_at = Instant::now();
    let mut look = || {
        let (gateway, kernel) = now()?;
        let more = (
            gateway.saturating_sub(before.0),
            kernel.saturating_sub(before.1),
        );
        if more.0 + more.1 > most.0 + most.1 {
            (most, most_at) = (more, Instant::now());
        }
        Ok::<_, anyhow::Error>((more.0 + more.1, most.0 + most.1, most_at))
    };
    for _ in 0..SENDS {
        for user in 0..USERS {
            caller
                .write_all(&rig.send(&format!("reader-{user}"), &content))
                .await?;
            let mut answer = [0; 4096];
            let read = caller.read(&mut answer).await?;
            ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "not accepted");
        }
        look()?;
    }
    let until_free = loop {
        let (more, most, since) = look()?;
        if more * 10 < most {
            break since.elapsed();
        }
        ensure!(
            since.elapsed() < Duration::from_secs(120),
            "{more} of {most} bytes are held"
        );
        sleep(Duration::from_millis(250)).await;
    };
    let readers = held.len() as u64;
    Ok(Held {
        readers,
        gateway: most.0 / readers,
        kernel: most.1 / readers,
        until_free,
    })
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

/// A device with the least window there is, so that what is sent to it stays with us.
async fn connect(rig: &Rig, token: &str, device: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    SockRef::from(&socket).set_recv_buffer_size(1)?;
    let stream = socket.connect(rig.gateway().public()).await?;
    upgrade(
        stream,
        &format!("/ws/notifications?token={token}&device=d{device}"),
    )
    .await
}
