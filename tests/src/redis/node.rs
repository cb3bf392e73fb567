//! One redis-server process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue};
use tempfile::TempDir;

use crate::child::Child;
use crate::poll::eventually;

const READY_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Below the ports that the kernel gives to outgoing connections, so that none of these takes the
/// port of a server that is about to restart.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A redis-server process with its own port and directory, which it keeps when restarted.
#[derive(Debug)]
pub struct Node {
    role: Role,
    port: u16,
    // Before its directory, so that it is dropped, and gone, first.
    child: Option<Child>,
    dir: TempDir,
}

/// What a redis-server process is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Data,
    Sentinel,
}

impl Node {
    /// Starts a server whose configuration is `config`, and waits until it answers.
    pub(super) async fn start(role: Role, config: &[String]) -> Result<Self> {
        const ATTEMPTS: usize = 5;
        for _ in 0..ATTEMPTS {
            let mut node = Self::prepare(role, config)?;
            match node.boot().await {
                Ok(()) => return Ok(node),
                // Another process took the port between the choice and the start.
                Err(error) if error.to_string().contains("Address already in use") => {}
                Err(error) => return Err(error),
            }
        }
        bail!("no free port in {ATTEMPTS} attempts")
    }

    fn prepare(role: Role, config: &[String]) -> Result<Self> {
        let node = Self {
            role,
            port: free_port()?,
            dir: TempDir::new()?,
            child: None,
        };
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            "protected-mode no".to_owned(),
            format!("port {}", node.port),
            format!("dir {}", node.dir.path().display()),
        ];
        if role == Role::Data {
            lines.push("save \"\"".to_owned());
            lines.push("enable-debug-command local".to_owned());
            // A replica is in sync at once, not after the usual wait for others.
            lines.push("repl-diskless-sync-delay 0".to_owned());
        }
        lines.extend_from_slice(config);
        fs::write(node.config_path(), lines.join("\n") + "\n")?;
        Ok(node)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Whether its process is there (it may be paused).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| child.status().is_none())
    }

    /// Runs a command as the default user, on a connection of its own.
    ///
    /// # Errors
    /// When the server cannot be reached, does not answer within five seconds, or refuses.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let client = redis::Client::open(format!("redis://{}", self.addr()))?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(command.query_async(&mut connection).await?)
    }

    /// One field of `INFO`.
    ///
    /// # Errors
    /// As [`Node::query`], and when there is no such field.
    pub async fn info(&self, field: &str) -> Result<String> {
        let info: String = self.query(redis::cmd("INFO").arg("everything")).await?;
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value
            .with_context(|| format!("INFO has no {field}"))?
            .to_owned())
    }

    /// Kills it (SIGKILL), as a crash of the process would.
    ///
    /// # Errors
    /// When the process does not go away.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Stops it (SIGTERM), as an orderly shutdown would.
    ///
    /// # Errors
    /// When it has not ended within 20 seconds.
    pub async fn stop_gracefully(&mut self) -> Result<()> {
        if let Some(child) = self.child.take() {
            child.signal(libc::SIGTERM);
            // If it is paused, it takes the signal when it goes on.
            child.signal(libc::SIGCONT);
            child
                .wait(STOP_WITHIN)
                .await
                .with_context(|| self.log_tail())?;
        }
        Ok(())
    }

    /// Starts it with the same port, directory and configuration; stops it first if it runs.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop_gracefully().await?;
        self.boot().await
    }

    /// Adds a line to its configuration, for the next start; later lines win.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, line: &str) -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.config_path())?;
        Ok(writeln!(file, "{line}")?)
    }

    /// Halts the process (SIGSTOP): its sockets stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        format!("log of redis-server on port {}:\n{tail}", self.port)
    }

    fn signal(&self, signal: libc::c_int) {
        if let Some(child) = &self.child {
            child.signal(signal);
        }
    }

    /// Starts the process and waits until it answers.
    async fn boot(&mut self) -> Result<()> {
        self.child = Some(self.spawn()?);
        let node = &*self;
        let ready = eventually("redis-server answers", READY_WITHIN, async || {
            // The outer error is final, the inner one means "not yet".
            if !node.is_running() {
                return Ok(Err("redis-server ended while it started"));
            }
            let pong: String = node.query(&redis::cmd("PING")).await?;
            ensure!(pong == "PONG", "unexpected answer {pong}");
            Ok(Ok(()))
        });
        match ready.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ended)) => bail!("{ended}; {}", self.log_tail()),
            Err(late) => bail!("{late:#}; {}", self.log_tail()),
        }
    }

    fn spawn(&self) -> Result<Child> {
        let mut command = Command::new("redis-server");
        command
            .arg(self.config_path())
            .stdout(self.log()?)
            .stderr(self.log()?);
        if self.role == Role::Sentinel {
            command.arg("--sentinel");
        }
        Child::spawn(command).context("redis-server does not start: is it installed? (make setup)")
    }

    fn config_path(&self) -> PathBuf {
        self.dir.path().join("redis.conf")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("redis.log")
    }

    fn log(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
    }
}

/// A port on which nothing listens now.
pub fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {PORTS:?}")
}
