//! Redis processes on free ports of this machine, killed when dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{ConnectionLike, FromRedisValue, Value};
use tempfile::TempDir;

/// One `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    dir: TempDir,
    args: Vec<String>,
    process: Option<Child>,
}

/// Below the ports that the kernel gives to outgoing connections: one of these could take the port before the
/// server has it, or while it is down.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

pub(crate) fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports = std::iter::repeat_with(|| rand::random_range(PORTS));
    ports.take(1_000).find(is_free).unwrap()
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let own = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self {
            port: free_port(),
            dir: TempDir::new().unwrap(),
            args: own(args),
            process: None,
        };
        server.run();
        server
    }

    pub(crate) fn replica_of(primary: &Server) -> Self {
        Self::start(&[
            "--replicaof",
            "127.0.0.1",
            &primary.port.to_string(),
            "--repl-ping-replica-period",
            "1",
        ])
    }

    pub(crate) fn cluster_node() -> Self {
        let bus = free_port().to_string();
        Self::start(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "1500",
            "--cluster-require-full-coverage",
            "no",
        ])
    }

    pub(crate) fn sentinel(primary: &Server, quorum: u8) -> Self {
        Self::sentinel_of(primary.port, quorum, "")
    }

    /// With more lines in its configuration.
    pub(crate) fn sentinel_of(primary: u16, quorum: u8, more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "sentinel monitor main 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds main 800\nsentinel failover-timeout main 3000\n{more}",
        );
        let path = dir.path().join("sentinel.conf");
        std::fs::write(&path, config).unwrap();
        let args = vec![path.display().to_string(), "--sentinel".into()];
        let mut server = Self {
            port: free_port(),
            dir,
            args,
            process: None,
        };
        server.run();
        server
    }

    /// Adds arguments for the next start; later ones win.
    pub(crate) fn configure(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    /// Starts the process (again) and waits until it answers.
    pub(crate) fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(self.args.first().filter(|arg| !arg.starts_with("--")))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir"])
            .arg(self.dir.path())
            .args(
                self.args
                    .iter()
                    .filter(|arg| !arg.ends_with("sentinel.conf")),
            )
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let start = Instant::now();
        while self.try_command(&["PING"]).is_none() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "redis-server does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Freezes or thaws the process.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn try_command(&self, words: &[&str]) -> Option<Value> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client
            .get_connection_with_timeout(Duration::from_secs(2))
            .ok()?;
        connection
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        connection.req_command(&cmd).ok()
    }

    /// Runs one command, which must succeed.
    #[track_caller]
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let value = self
            .try_command(words)
            .unwrap_or_else(|| panic!("{words:?}: no answer"));
        redis::from_redis_value(value.extract_error().unwrap()).unwrap()
    }

    /// How often a command has run, from `INFO commandstats`.
    pub(crate) fn count(&self, command: &str) -> u64 {
        let info: String = self.command(&["INFO", "commandstats"]);
        let start = format!("cmdstat_{command}:calls=");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(start.as_str()));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
