//! The real binaries, started as an operator starts them.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::child::Child;
use crate::poll::eventually;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// How to start a service: program, arguments, configuration.
#[derive(Clone, Debug)]
pub struct Service {
    program: PathBuf,
    arguments: Vec<String>,
    config: String,
    overrides: Vec<(String, String)>,
}

/// Where a process listens, as it says itself (`--addresses-file`).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Addresses {
    /// Sockets on a gateway, REST on a dispatcher, both on a standalone process.
    pub public: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

impl Service {
    /// `carillon-gateway`
    #[must_use]
    pub fn gateway() -> Self {
        Self::program(built("carillon-gateway"))
    }

    /// `carillon-dispatcher`
    #[must_use]
    pub fn dispatcher() -> Self {
        Self::program(built("carillon-dispatcher"))
    }

    /// `carillon standalone`
    #[must_use]
    pub fn standalone() -> Self {
        Self::program(built("carillon")).argument("standalone")
    }

    /// Any program that takes `--config` and `--addresses-file`.
    #[must_use]
    pub fn program(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            config: String::new(),
            overrides: Vec::new(),
        }
    }

    /// Where a program of this workspace is.
    #[must_use]
    pub fn built(name: &str) -> PathBuf {
        built(name)
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds text to its configuration file (TOML).
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Overrides one setting through the environment: `inbox.max` becomes `CARILLON__INBOX__MAX`.
    #[must_use]
    pub fn set(mut self, setting: &str, value: impl ToString) -> Self {
        let name = format!("CARILLON__{}", setting.replace('.', "__").to_uppercase());
        self.overrides.push((name, value.to_string()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.overrides.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts it under `ulimit -n`: no more than so many open files.
    #[must_use]
    pub fn open_files(self, most: u32) -> Self {
        let limited = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        let program = self.program.to_string_lossy().into_owned();
        let arguments = ["-c".to_owned(), limited, program];
        Self {
            program: "/bin/sh".into(),
            arguments: arguments.into_iter().chain(self.arguments).collect(),
            ..self
        }
    }

    /// Starts it under another program, given with its arguments.
    #[must_use]
    pub fn under(self, command: &[String]) -> Self {
        let Some((program, arguments)) = command.split_first() else {
            return self;
        };
        let own = self.program.to_string_lossy().into_owned();
        Self {
            program: program.into(),
            arguments: arguments
                .iter()
                .cloned()
                .chain([own])
                .chain(self.arguments)
                .collect(),
            ..self
        }
    }

    /// Starts it and waits until it has said where it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen within 30 seconds; the error carries
    /// the tail of its log.
    pub async fn start(&self) -> Result<Process> {
        let dir = TempDir::new()?;
        fs::write(dir.path().join("carillon.toml"), &self.config)?;
        let child = Child::spawn(self.command(dir.path())?);
        let child = child.with_context(|| {
            format!(
                "{} does not start: is the workspace built?",
                self.program.display()
            )
        })?;
        let name = self
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Process::ready(Launched { name, dir, child }).await
    }

    fn command(&self, dir: &Path) -> io::Result<Command> {
        let log = File::create(dir.join("log"))?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| {
            ["CARILLON_", "OTEL_"]
                .iter()
                .any(|start| name.starts_with(start))
        }) {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .arg("--config")
            .arg(dir.join("carillon.toml"))
            .arg("--addresses-file")
            .arg(dir.join("addresses.json"))
            .envs(self.overrides.iter().map(|(name, value)| (name, value)))
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }
}

/// A running service; killed when dropped. Its log's tail is printed when the test panics.
#[derive(Debug)]
pub struct Process {
    launched: Launched,
    addresses: Addresses,
}

/// A process that was started and may not listen yet.
#[derive(Debug)]
struct Launched {
    name: String,
    // Before its directory, so that it is dropped, and gone, first.
    child: Child,
    dir: TempDir,
}

impl Process {
    async fn ready(launched: Launched) -> Result<Self> {
        let file = launched.dir.path().join("addresses.json");
        let ready = eventually("it says where it listens", READY_WITHIN, async || {
            // The outer error means "not yet", the inner one is final.
            if let Some(status) = launched.child.status() {
                return Ok(Err(status));
            }
            Ok(Ok(serde_json::from_slice(&fs::read(&file)?)?))
        });
        match ready.await {
            Ok(Ok(addresses)) => Ok(Self {
                launched,
                addresses,
            }),
            Ok(Err(status)) => {
                bail!(
                    "{} ended at its start, {status}; {}",
                    launched.name,
                    launched.log_tail()
                )
            }
            Err(late) => bail!("{}: {late:#}; {}", launched.name, launched.log_tail()),
        }
    }

    /// The address of the public port.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        self.addresses.public
    }

    /// The address of the admin port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// `http://…` of the public port.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}", self.public())
    }

    /// `ws://…` of the public port, without a path.
    #[must_use]
    pub fn ws(&self) -> String {
        format!("ws://{}", self.public())
    }

    /// The process id, for its memory and CPU time.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.launched.child.pid()
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go away.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.launched.child.kill().await
    }

    /// Asks it to end (SIGTERM), as an orchestrator does; see [`Process::wait`].
    pub fn terminate(&self) {
        self.launched.child.signal(libc::SIGTERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        self.launched.child.signal(signal);
    }

    /// Halts it (SIGSTOP): its sockets stay open and nothing answers.
    pub fn pause(&self) {
        self.launched.child.signal(libc::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.launched.child.signal(libc::SIGCONT);
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it has not `within` this time.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        self.launched
            .child
            .wait(within)
            .await
            .with_context(|| self.launched.log_tail())
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.launched.child.status().is_none()
    }

    /// Its configuration file, which it reads again when it changes.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.launched.dir.path().join("carillon.toml")
    }

    /// All it has logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.launched.dir.path().join("log"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.launched.log_tail());
        }
    }
}

impl Launched {
    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        format!("log of {} ({}):\n{tail}", self.name, self.child.pid())
    }
}

/// A binary of this workspace, beside the running one: `target/<profile>/<name>`.
fn built(name: &str) -> PathBuf {
    let running = std::env::current_exe().unwrap_or_default();
    let dir = running.parent().unwrap_or(Path::new("."));
    // Test binaries are in target/<profile>/deps, others in target/<profile>.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    dir.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with the same manners as the services', whose `body` runs once it is ready.
    fn script(body: &str) -> Service {
        let ready = r#"
            while [ $# -gt 0 ]; do case $1 in
                --config) config=$2 ;; --addresses-file) addresses=$2 ;;
            esac; shift; done
            say() { echo '{"public":"127.0.0.1:1","admin":"127.0.0.1:2"}' >"$addresses"; }
        "#;
        Service::program("/bin/sh")
            .argument("-c")
            .argument(format!("{ready}\n{body}"))
            .argument("sh")
    }

    #[tokio::test]
    async fn passes_configuration_and_reads_addresses() {
        let service = script("cat $config; echo $CARILLON__INBOX__MAX; say; exec sleep 600")
            .config("[inbox]")
            .set("inbox.max", 7);
        let process = service.start().await.unwrap();
        assert_eq!((process.public().port(), process.admin().port()), (1, 2));
        assert_eq!(process.log().unwrap(), "[inbox]\n7\n");
        assert!(process.is_running());
        process.kill().await.unwrap();
        assert!(!process.is_running());
    }

    #[tokio::test]
    async fn reports_the_exit_code_of_an_orderly_end() {
        let service = script("trap 'exit 3' TERM; say; while :; do sleep 0.05; done");
        let process = service.start().await.unwrap();
        process.terminate();
        let status = process.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(3));
    }

    #[tokio::test]
    async fn an_early_end_is_reported_with_the_log() {
        let error = script("echo bad setting; exit 64")
            .start()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("bad setting") && error.contains("64"),
            "{error}"
        );
    }

    #[test]
    fn binaries_are_beside_the_running_one() {
        let path = Service::gateway().program;
        assert!(path.ends_with("carillon-gateway"));
        assert!(
            !path.parent().unwrap().ends_with("deps"),
            "{}",
            path.display()
        );
    }
}
