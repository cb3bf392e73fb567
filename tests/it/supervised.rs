//! What the programs tell a service manager, over a socket like systemd's.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use carillon_tests::poll::eventually;
use carillon_tests::process::Service;
use carillon_tests::redis::{Options, Standalone};
use tempfile::TempDir;

use crate::world::SOON;

/// What `WatchdogSec=` would be.
const WATCHDOG: Duration = Duration::from_millis(600);

/// A service manager that hears.
struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
}

impl Manager {
    fn listen() -> Result<Self> {
        let dir = TempDir::new()?;
        let socket = UnixDatagram::bind(dir.path().join("notify"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, dir })
    }

    fn start(&self, service: Service) -> Service {
        service
            .variable("NOTIFY_SOCKET", self.dir.path().join("notify").display())
            .variable("WATCHDOG_USEC", WATCHDOG.as_micros())
            .set("gateway.listen", "127.0.0.1:0")
            .set("dispatcher.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("drain.delay", "0s")
            .set("drain.window", "1s")
    }

    /// The next message, if there is one by now: its lines.
    fn heard(&self) -> Result<Option<Vec<String>>> {
        let mut message = [0; 4096];
        match self.socket.recv(&mut message) {
            Ok(length) => {
                let text = String::from_utf8(message[..length].to_vec())?;
                Ok(Some(text.lines().map(str::to_owned).collect()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => bail!(error),
        }
    }

    /// Waits for a message with a line that begins so; answers the whole of it, and those before it.
    async fn hears(&self, beginning: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let mut before = Vec::new();
        eventually(beginning, SOON, async || {
            while let Some(lines) = self.heard()? {
                if lines.iter().any(|line| line.starts_with(beginning)) {
                    return Ok(lines);
                }
                before.push(lines);
            }
            bail!("heard {before:?}")
        })
        .await
        .map(|lines| (lines, before))
    }
}

fn programs() -> [Service; 3] {
    [
        Service::gateway(),
        Service::dispatcher(),
        Service::standalone(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_of_start_reload_and_end() -> Result<()> {
    for program in programs() {
        let manager = Manager::listen()?;
        let service = manager.start(program).set("backend.url", "memory://");
        let process = service.start().await?;
        let (ready, before) = manager.hears("READY=1").await?;
        ensure!(ready.contains(&"STATUS=ready".to_owned()), "{ready:?}");
        ensure!(!before.concat().contains(&"STOPPING=1".to_owned()));

        process.signal(libc::SIGHUP);
        let (reloading, _) = manager.hears("RELOADING=1").await?;
        let since = reloading
            .iter()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let since: u64 = since.unwrap_or_default().parse()?;
        ensure!(since > 0, "{reloading:?}");
        manager.hears("READY=1").await?;

        process.terminate();
        let (stopping, _) = manager.hears("STOPPING=1").await?;
        ensure!(
            stopping.contains(&"STATUS=draining".to_owned()),
            "{stopping:?}"
        );
        ensure!(process.wait(SOON).await?.code() == Some(0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_hears_of_the_event_loop_alone() -> Result<()> {
    for program in programs() {
        let manager = Manager::listen()?;
        let service = manager.start(program).set("backend.url", "memory://");
        let process = service.start().await?;
        for _ in 0..3 {
            manager.hears("WATCHDOG=1").await?;
        }
        process.pause();
        // What was said before it stood still has arrived by the first silence of a tick's length.
        let deadline = tokio::time::Instant::now() + SOON;
        let mut silent_for = Duration::ZERO;
        const LOOK: Duration = Duration::from_millis(50);
        while silent_for < 2 * WATCHDOG {
            ensure!(tokio::time::Instant::now() < deadline, "it goes on");
            tokio::time::sleep(LOOK).await;
            silent_for += LOOK;
            if manager.heard()?.is_some() {
                silent_for = Duration::ZERO;
            }
        }
        process.resume();
        manager.hears("WATCHDOG=1").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_ready_before_its_store_and_says_what_is_wrong_later() -> Result<()> {
    for program in [Service::gateway(), Service::dispatcher()] {
        let manager = Manager::listen()?;
        let mut redis = Standalone::start(&Options::default()).await?;
        redis.stop_gracefully().await?;
        let service = manager.start(program).set("backend.url", redis.url());
        let waiting = async {
            manager.hears("STATUS=connecting to the store").await?;
            // It is alive while it waits.
            for _ in 0..3 {
                let (_, before) = manager.hears("WATCHDOG=1").await?;
                ensure!(!before.concat().contains(&"READY=1".to_owned()));
            }
            redis.restart().await?;
            manager.hears("READY=1").await
        };
        let (process, _) = tokio::try_join!(service.start(), waiting)?;
        redis.stop_gracefully().await?;
        let (wrong, _) = manager.hears("STATUS=").await?;
        ensure!(!wrong.contains(&"STATUS=ready".to_owned()), "{wrong:?}");
        redis.restart().await?;
        manager.hears("STATUS=ready").await?;
        ensure!(process.is_running());
    }
    Ok(())
}
