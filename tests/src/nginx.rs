//! The nginx of the examples before real servers: its configuration as it is, with other addresses and
//! folders.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::child::Child;
use crate::poll::eventually;
use crate::redis::free_port;

/// The folder of the examples.
pub const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
const SOON: Duration = Duration::from_secs(15);
/// For what takes as long as the machine is busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// Packages install it where users other than root do not look.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "nginx"];

/// Every address is one that many share: for a load that has one alone.
pub const SHARED: (&str, &str) = ("default 0;", "default 1;");

/// A running nginx; told to end when dropped, so that its workers end as well.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

/// What it has written.
#[derive(Debug)]
pub struct Logs {
    /// A line for each request.
    pub access: String,
    /// What went wrong.
    pub error: String,
}

impl Nginx {
    /// Starts it before these servers, and waits until it listens.
    ///
    /// # Errors
    /// When nginx is missing, or refuses its configuration.
    pub async fn start(gateways: &[SocketAddr], dispatchers: &[SocketAddr]) -> Result<Self> {
        Self::start_with(gateways, dispatchers, &[]).await
    }

    /// The same with parts of its configuration replaced by others.
    ///
    /// # Errors
    /// As above, and when a part is not in there.
    pub async fn start_with(
        gateways: &[SocketAddr],
        dispatchers: &[SocketAddr],
        changes: &[(&str, &str)],
    ) -> Result<Self> {
        const ATTEMPTS: usize = 5;
        for _ in 0..ATTEMPTS {
            let nginx = Self::launch(gateways, dispatchers, changes)?;
            match nginx.listens().await {
                Ok(()) => return Ok(nginx),
                // Another process took the port between the choice and the start.
                Err(error) if error.to_string().contains("Address already in use") => {}
                Err(error) => return Err(error),
            }
        }
        bail!("no free port in {ATTEMPTS} attempts")
    }

    fn launch(
        gateways: &[SocketAddr],
        dispatchers: &[SocketAddr],
        changes: &[(&str, &str)],
    ) -> Result<Self> {
        let dir = TempDir::new()?;
        let address = (Ipv4Addr::LOCALHOST, free_port()?).into();
        configure(dir.path(), address, gateways, dispatchers)?;
        let file = dir.path().join("nginx.conf");
        let mut text = fs::read_to_string(&file)?;
        for (part, other) in changes {
            ensure!(text.contains(part), "nginx.conf has no {part}");
            text = text.replace(part, other);
        }
        fs::write(&file, text)?;
        let output = File::create(dir.path().join("output"))?;
        let mut command = nginx(dir.path());
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child =
            Child::spawn(command).context("nginx does not start; `make setup` installs it")?;
        Ok(Self {
            child,
            dir,
            address,
        })
    }

    /// It writes its pid once it listens. That something answers at the address would not do: while another
    /// has the port, nginx tries again for seconds before it ends.
    async fn listens(&self) -> Result<()> {
        let ended = eventually("nginx listens or has ended", PATIENCE, async || {
            let ended = self.child.status().is_some();
            ensure!(ended || self.dir.path().join("pid").exists(), "neither");
            Ok(ended)
        });
        let ended = ended.await?;
        let output = fs::read_to_string(self.dir.path().join("output"))?;
        ensure!(!ended, "nginx has ended: {output}");
        Ok(())
    }

    /// Where services call: `http://host:port`.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where clients connect: `ws://host:port`.
    #[must_use]
    pub fn ws(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Sends bytes and reads the answer's head, in lower case.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, request: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        // It may refuse before it has read everything.
        drop(stream.write_all(request).await);
        let mut answer = Vec::new();
        let reading = async {
            while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
                if !matches!(stream.read_buf(&mut answer).await, Ok(length) if length > 0) {
                    break;
                }
            }
        };
        timeout(SOON, reading).await.context("no answer")?;
        Ok(String::from_utf8_lossy(&answer).to_lowercase())
    }

    /// Ends it once every request has ended, and gives its logs. A request is logged when it has ended:
    /// at a SIGTERM the last ones would be cut off, and be in no log.
    ///
    /// # Errors
    /// When it does not end: then somebody still holds a socket.
    pub async fn stop(self) -> Result<Logs> {
        self.child.signal(libc::SIGQUIT);
        self.child.wait(PATIENCE).await?;
        Ok(Logs {
            access: fs::read_to_string(self.dir.path().join("access.log"))?,
            error: fs::read_to_string(self.dir.path().join("error.log"))?,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A SIGKILL would leave the workers behind.
        self.child.signal(libc::SIGTERM);
        let patience = Instant::now() + Duration::from_secs(5);
        while self.child.status().is_none() && Instant::now() < patience {
            sleep(Duration::from_millis(10));
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("error.log"));
            eprintln!("nginx: {}", log.unwrap_or_default());
        }
    }
}

/// The command for a configuration in this folder.
#[must_use]
pub fn nginx(dir: &Path) -> Command {
    let program = PROGRAMS.iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(program.unwrap_or(&PROGRAMS[2]));
    // As root its workers would be another user, who cannot enter the folder.
    let user = if is_root() { "user root; " } else { "" };
    command
        .arg("-p")
        .arg(dir)
        .args(["-c", "nginx.conf", "-g"])
        .arg(format!(
            "daemon off; {user}pid {};",
            dir.join("pid").display()
        ));
    command
}

fn is_root() -> bool {
    #[expect(unsafe_code, reason = "geteuid(2) has no safe wrapper in std")]
    // SAFETY: takes nothing, touches no memory and cannot fail.
    unsafe {
        libc::geteuid() == 0
    }
}

/// Writes the configuration of the examples into a folder, for this address and these servers.
///
/// # Errors
/// When the examples are not as they were, or the folder cannot be written.
pub fn configure(
    dir: &Path,
    address: SocketAddr,
    gateways: &[SocketAddr],
    dispatchers: &[SocketAddr],
) -> Result<()> {
    let text = fs::read_to_string(format!("{EXAMPLES}/nginx/nginx.conf"))?;
    ensure!(text.contains("/var/log/nginx/"), "it logs elsewhere");
    let here = format!("{}/", dir.display());
    fs::write(
        dir.join("nginx.conf"),
        text.replace("/var/log/nginx/", &here),
    )?;
    fs::write(dir.join("listen.conf"), format!("listen {address};\n"))?;

    let text = fs::read_to_string(format!("{EXAMPLES}/compose/upstreams.conf"))?;
    let mut upstreams = with_servers(&text, "carillon_gateways", gateways)?;
    upstreams = with_servers(&upstreams, "carillon_dispatchers", dispatchers)?;
    for folder in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        upstreams.push_str(&format!("{folder}_temp_path {here}{folder};\n"));
    }
    Ok(fs::write(dir.join("upstreams.conf"), upstreams)?)
}

/// The same upstream with other servers, and the options that its own have.
fn with_servers(text: &str, name: &str, servers: &[SocketAddr]) -> Result<String> {
    let start = text
        .find(&format!("upstream {name} {{"))
        .with_context(|| format!("no upstream {name}"))?;
    let end = start + text[start..].find("\n}").context("it has no end")?;
    let is_server = |line: &&str| line.trim_start().starts_with("server ");
    let (old, others): (Vec<_>, Vec<_>) = text[start..end].lines().partition(is_server);
    let options = old
        .first()
        .and_then(|line| line.trim_start().splitn(3, ' ').nth(2))
        .context("it has no servers")?;
    let servers = servers
        .iter()
        .map(|address| format!("    server {address} {options}"));
    // Servers stand before `keepalive`, as nginx wants it.
    let mut lines: Vec<String> = others.iter().map(|line| (*line).to_owned()).collect();
    let keepalive = lines
        .iter()
        .position(|line| line.trim_start().starts_with("keepalive"));
    let place = keepalive.unwrap_or(lines.len());
    lines.splice(place..place, servers);
    Ok(format!(
        "{}{}{}",
        &text[..start],
        lines.join("\n"),
        &text[end..]
    ))
}
