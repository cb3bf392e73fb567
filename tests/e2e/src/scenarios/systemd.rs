//! Hosts with systemd, set up as examples/systemd/README.md says, behind the nginx of the examples. The
//! nodes are such hosts: Debian with systemd, each with an address of its own, which this machine reaches.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use carillon_tests::{
    chaos_proxy::ChaosProxy,
    figures::Figures,
    nginx::{Nginx, SHARED},
    poll::eventually,
    redis::{Options, Standalone},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{readme::blocks, traffic};
use crate::{
    cluster::{Cluster, root},
    command::run,
    entrance::{Entrance, KEY, SECRET},
    stage::Stage,
};

/// Redis in the README.
const REDIS: &str = "10.0.0.11:6379";
/// What `openssl rand` would make.
const PASSWORD: &str = "0123456789abcdef0123456789abcdef";
/// Where a host has what the README unpacks there.
const FOLDER: &str = "/root/carillon";
const GATEWAY: &str = "carillon-gateway";
const DISPATCHER: &str = "carillon-dispatcher";
const PROGRAMS: [&str; 3] = ["carillon", GATEWAY, DISPATCHER];
/// Less than the lease of a dead gateway: one that starts under the same name does not wait for that.
const RIGHT_WITHIN: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(30);

/// A host and what runs there.
struct Host {
    node: String,
    address: Ipv4Addr,
}

pub(super) async fn hosts(stage: &Stage) -> Result<Figures> {
    let readme = fs::read_to_string(root()?.join("examples/systemd/README.md"))?;
    let user = readme
        .lines()
        .find_map(|line| line.strip_prefix("user carillon "));
    let user = user.context("the README has a user of Redis")?;
    let user = format!("carillon {}", user.replace("$password", PASSWORD));
    // On this machine, which stands for one of the README's hosts.
    let redis = Standalone::start(&Options::default().user(user)).await?;
    let way = ChaosProxy::start_on(Cluster::host().await?, redis.addr()).await?;
    let readme = readme.replace(REDIS, &way.addr().to_string());

    let mut hosts = Vec::new();
    for node in Cluster::workers().await?.into_iter().take(2) {
        let address = Cluster::address(&node).await?;
        hosts.push(Host { node, address });
    }
    let result = serve(stage, &readme, &hosts).await;
    for host in &hosts {
        host.clear().await?;
    }
    result
}

async fn serve(stage: &Stage, readme: &str, hosts: &[Host]) -> Result<Figures> {
    let [first, second] = hosts else {
        anyhow::bail!("{} workers, two are needed", hosts.len());
    };
    for host in hosts {
        host.clear().await?;
        host.unpack().await?;
    }
    first.configure(readme).await?;
    first.share(second).await?;
    let began = Instant::now();
    for host in hosts {
        host.start(readme).await?;
    }
    let ready = began.elapsed();

    let credentials = TempDir::new()?;
    let orders: Value = serde_json::from_str(&first.shell("cat orders.json").await?)?;
    let key = orders["key"].as_str().context("a key")?;
    fs::write(credentials.path().join(KEY), key)?;
    let secret = "cat /etc/carillon/credentials/jwt.secret";
    fs::write(
        credentials.path().join(SECRET),
        first.shell(secret).await?.trim(),
    )?;
    let at = |port| hosts.iter().map(move |host| (host.address, port).into());
    let (gateways, dispatchers): (Vec<SocketAddr>, Vec<_>) =
        (at(8080).collect(), at(8081).collect());
    let nginx = Nginx::start_with(&gateways, &dispatchers, &[SHARED]).await?;
    let entrance = Entrance::new(nginx.ws(), nginx.http(), credentials.path())?;

    let sizes = stage.sizes.part(2);
    let title = "two hosts with systemd";
    let (mut figures, report) = traffic(&entrance, sizes, title, async |figures| {
        figures.row("ready after", format!("{ready:.1?}"));
        for host in hosts {
            let began = Instant::now();
            host.systemctl(&["restart", GATEWAY]).await?;
            let took = format!("{:.1?}", began.elapsed());
            figures.row("a gateway restarted, its clients moved, after", took);
            host.systemctl(&["restart", DISPATCHER]).await?;
            entrance.everyone_back(sizes.sockets, SOON).await?;
        }
        first.systemctl(&["kill", "--signal=KILL", GATEWAY]).await?;
        let killed = Instant::now();
        eventually("systemd starts it again", SOON, async || {
            let restarts = first.property(GATEWAY, "NRestarts").await?;
            ensure!(restarts == "1", "{restarts} restarts");
            Ok(())
        })
        .await?;
        entrance.everyone_back(sizes.sockets, SOON).await?;
        let took = killed.elapsed();
        ensure!(took < RIGHT_WITHIN, "presence was right after {took:?}");
        figures.row(
            "a gateway killed: presence right after",
            format!("{took:.1?}"),
        );
        Ok(())
    })
    .await?;
    report.no_call_failed()?;
    for unit in [GATEWAY, DISPATCHER] {
        first.has_no_rights(unit).await?;
        second.refuses_a_mistake(unit).await?;
    }
    figures.row("a mistake in the configuration", "exit code 64, tried once");
    Ok(figures)
}

/// The one block of commands under a heading.
fn block(readme: &str, heading: &str) -> Result<String> {
    let mut blocks = blocks(readme, heading).into_iter();
    blocks
        .next()
        .with_context(|| format!("the README has commands under {heading}"))
}

impl Host {
    /// Runs commands as root in the folder, as they are pasted into a shell.
    async fn shell(&self, commands: &str) -> Result<String> {
        let script = format!("cd {FOLDER}; set -e; password={PASSWORD}; {commands}");
        Cluster::on_node(&self.node, &["bash", "-c", &script]).await
    }

    async fn systemctl(&self, words: &[&str]) -> Result<String> {
        Cluster::on_node(&self.node, &[&["systemctl"], words].concat()).await
    }

    async fn property(&self, unit: &str, name: &str) -> Result<String> {
        let name = format!("--property={name}");
        let value = self.systemctl(&["show", unit, &name, "--value"]).await?;
        Ok(value.trim().to_owned())
    }

    /// Brings what a release's archive has, and installs the programs.
    async fn unpack(&self) -> Result<()> {
        let folder = format!("{}:{FOLDER}/", self.node);
        Cluster::on_node(&self.node, &["mkdir", "-p", FOLDER]).await?;
        let mut parts = vec![root()?.join("examples")];
        for program in PROGRAMS {
            parts.push(root()?.join("target/image").join(program).join(program));
        }
        for part in parts {
            run(
                "docker",
                &["cp", "--quiet", &part.display().to_string(), &folder],
            )
            .await?;
        }
        let install = format!("install -m 0755 {} /usr/local/bin/", PROGRAMS.join(" "));
        self.shell(&install).await.map(drop)
    }

    /// Makes secrets and configuration.
    async fn configure(&self, readme: &str) -> Result<()> {
        let commands = block(readme, "## Secrets and configuration, on one of the hosts")?;
        self.shell(&commands).await.map(drop)
    }

    /// Gives another host the same ones.
    async fn share(&self, other: &Self) -> Result<()> {
        let (from, to) = (&self.node, &other.node);
        let copy = format!(
            "set -o pipefail; docker exec {from} tar -C /etc -c carillon | docker exec -i {to} tar -C /etc -x"
        );
        run("bash", &["-c", &copy]).await.map(drop)
    }

    /// Starts the services, and waits as the README does.
    async fn start(&self, readme: &str) -> Result<()> {
        let said = self
            .shell(&block(readme, "## The services, on every host")?)
            .await?;
        ensure!(said.matches("ready").count() == 2, "not ready: {said}");
        Ok(())
    }

    /// A service is not root's, and holds no capability.
    async fn has_no_rights(&self, unit: &str) -> Result<()> {
        let process = self.property(unit, "MainPID").await?;
        let status = self.shell(&format!("cat /proc/{process}/status")).await?;
        let value = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| {
                Some(
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .to_owned(),
                )
            })
        };
        let user = value("Uid:").context("a user")?;
        ensure!(user != "0", "{unit} runs as root");
        let rights = value("CapEff:").context("capabilities")?;
        ensure!(rights.chars().all(|digit| digit == '0'), "{unit}: {rights}");
        Ok(())
    }

    /// A service with a mistake in its configuration says so, ends and is not started again.
    async fn refuses_a_mistake(&self, unit: &str) -> Result<()> {
        let mistake =
            "cp /etc/carillon/carillon.toml .; echo '[nothing]' >>/etc/carillon/carillon.toml";
        self.shell(mistake).await?;
        self.systemctl(&["restart", unit]).await.ok();
        let ended = eventually("it gives up", SOON, async || {
            let state = self.property(unit, "ActiveState").await?;
            ensure!(state == "failed", "{unit} is {state}");
            Ok(())
        })
        .await;
        let said = self
            .shell(&format!("journalctl --unit={unit} --lines=20 --output=cat"))
            .await?;
        self.shell("cp carillon.toml /etc/carillon/").await?;
        ended.with_context(|| said.clone())?;
        ensure!(
            said.contains("nothing"),
            "the journal has no mistake: {said}"
        );
        let code = self.property(unit, "ExecMainStatus").await?;
        ensure!(code == "64", "{unit} ended with {code}: {said}");
        let restarts = self.property(unit, "NRestarts").await?;
        ensure!(restarts == "0", "{unit} was started again {restarts} times");
        Ok(())
    }

    /// Leaves nothing of it on the node.
    async fn clear(&self) -> Result<()> {
        let script = format!(
            "systemctl disable --now {GATEWAY} {DISPATCHER} 2>/dev/null; systemctl reset-failed
             rm -rf {FOLDER} /etc/carillon /etc/systemd/system/carillon-* /usr/local/bin/carillon*
             systemctl daemon-reload"
        );
        Cluster::on_node(&self.node, &["sh", "-c", &script])
            .await
            .map(drop)
    }
}
