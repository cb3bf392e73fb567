//! Credentials in `auth.dir` that change while the services run.

mod broken;
mod live;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::auth::ApiKeys;
use carillon_tests::client::{Handshake, Socket, TokenIn, notification, token};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::world::{SOON, metric_of};

const SUCCESS: &str = "carillon_config_reload_success";
/// As README promises: sockets whose key went are closed within this of the reload.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

const FIRST: &str = "the first secret that tokens are signed with";
const SECOND: &str = "another one, which takes its place in the end";

/// An API key, and the table that accepts it.
struct ApiKey {
    key: String,
    table: String,
}

impl ApiKey {
    fn of(name: &str) -> Self {
        let (key, hash) = ApiKeys::generate();
        let table = format!(
            "[[api_keys]]\nname = \"{name}\"\nhash = \"{hash}\"\nscopes = [\"send\", \"read\"]\n"
        );
        let key = key.expose().clone();
        Self { key, table }
    }

    /// The status of a send with it.
    async fn sends(&self, process: &Process) -> Result<u16> {
        let (status, _) = self.send(process, None).await?;
        Ok(status)
    }

    /// The status, and the id of what was sent.
    async fn send(&self, process: &Process, repeat: Option<&str>) -> Result<(u16, String)> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut request = http
            .post(format!("{}/api/notifications/send", process.http()))
            .bearer_auth(&self.key)
            .json(&notification("alice", "t", "x"));
        if let Some(key) = repeat {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await?;
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        Ok((status, id))
    }

    /// Waits until a send with it is answered so; answers how long that took.
    async fn until(&self, process: &Process, status: u16) -> Result<Duration> {
        let began = Instant::now();
        eventually("the key is known, or no more", SOON, async || {
            let now = self.sends(process).await?;
            ensure!(now == status, "{now}: {}", process.log()?);
            Ok(())
        })
        .await?;
        Ok(began.elapsed())
    }
}

/// An issuer that signs with `secret`.
fn issuer(name: &str, secret: &str) -> String {
    format!("[[issuers]]\nname = \"{name}\"\nalgorithms = [\"HS256\"]\nsecret = \"{secret}\"\n")
}

fn signed(secret: &str, user: &str) -> String {
    token::hs256(secret, user, Duration::from_secs(3_600))
}

fn handshake(process: &Process, secret: &str, user: &str) -> Handshake {
    Handshake::to(&process.ws()).token(TokenIn::Query, &signed(secret, user))
}

/// A connection of a page.
async fn page(process: &Process, secret: &str, user: &str) -> Result<Socket> {
    Socket::connect(&handshake(process, secret, user)).await
}

/// Waits for a line of its log.
async fn says(process: &Process, what: &str) -> Result<()> {
    eventually(what, SOON, async || {
        ensure!(process.log()?.contains(what), "{}", process.log()?);
        Ok(())
    })
    .await
}

async fn reloads(process: &Process, result: &str) -> Result<f64> {
    let name = format!("carillon_config_reloads_total{{result=\"{result}\"}}");
    metric_of(process, &name).await
}

fn on_this_machine(service: Service, dir: &Path) -> Service {
    service
        .set("auth.dir", dir.display())
        .set("backend.url", "memory://")
        .set("gateway.listen", "127.0.0.1:0")
        .set("dispatcher.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .set("gateway.handshake_rate", 100_000)
        .set("gateway.handshake_burst", 100_000)
        .set("drain.delay", "0s")
        .set("drain.window", "1s")
}

/// A Secret as the kubelet mounts it: links to `..data`, which is a link that it swaps.
struct Mount {
    dir: TempDir,
    version: u32,
}

impl Mount {
    fn with(files: &[(&str, &str)]) -> Result<Self> {
        let mut mount = Self {
            dir: TempDir::new()?,
            version: 0,
        };
        mount.publish(files)?;
        Ok(mount)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// These files in place of those that are there.
    fn publish(&mut self, files: &[(&str, &str)]) -> Result<()> {
        let before = self.at(&format!("..{}", self.version));
        self.version += 1;
        let version = format!("..{}", self.version);
        fs::create_dir(self.at(&version))?;
        for (name, text) in files {
            fs::write(self.at(&version).join(name), text)?;
        }
        symlink(&version, self.at("..data_tmp"))?;
        fs::rename(self.at("..data_tmp"), self.at("..data"))?;
        for entry in fs::read_dir(self.path())? {
            let name = entry?.file_name().into_string().ok().context("a name")?;
            let stays = files.iter().any(|(file, _)| *file == name);
            if !name.starts_with("..") && !stays {
                fs::remove_file(self.at(&name))?;
            }
        }
        for (name, _) in files {
            if fs::symlink_metadata(self.at(name)).is_err() {
                symlink(format!("..data/{name}"), self.at(name))?;
            }
        }
        if before.exists() {
            fs::remove_dir_all(before)?;
        }
        Ok(())
    }
}
