//! A configuration file that changes while a gateway and a dispatcher run: what may change does, and no socket closes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};
use carillon_tests::client::{Api, Handshake, Socket, Targets, TokenIn, notification};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use reqwest::header::ORIGIN;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::world::{Opened, SOON, config, configure, metric_of, next_content, token_of};

const SUCCESS: &str = "carillon_config_reload_success";
const NEED_RESTART: &str = "carillon_config_need_restart";
const HOME: &str = "https://app.example.com";
const ELSEWHERE: &str = "https://elsewhere.example";

struct Pair {
    gateway: Process,
    dispatcher: Process,
    api: Api,
    text: String,
    _redis: Standalone,
}

impl Pair {
    async fn start() -> Result<Self> {
        let redis = Standalone::start(&Options::default()).await?;
        let (key, text) = config("");
        let start = |service: Service| {
            let service = configure(service, &text, &[]).set("backend.url", redis.url());
            async move { service.start().await }
        };
        let (gateway, dispatcher) =
            tokio::try_join!(start(Service::gateway()), start(Service::dispatcher()))?;
        let api = Api::new(Targets::new([dispatcher.http()]), key)?;
        Ok(Self {
            gateway,
            dispatcher,
            api,
            text,
            _redis: redis,
        })
    }

    fn both(&self) -> [&Process; 2] {
        [&self.gateway, &self.dispatcher]
    }

    /// Writes this after what the configuration holds anyway, and says so.
    fn write(&self, more: &str) -> Result<()> {
        for process in self.both() {
            fs::write(process.config_file(), format!("{}\n{more}", self.text))?;
            process.signal(libc::SIGHUP);
        }
        Ok(())
    }

    /// The same as Kubernetes does it, and without a word: a link to another folder, swapped.
    fn swap(&self, version: u32, more: &str) -> Result<()> {
        for process in self.both() {
            let file = process.config_file();
            let folder = file.parent().unwrap_or(Path::new("."));
            let own = format!("..{version}");
            fs::create_dir(folder.join(&own))?;
            let text = format!("{}\n{more}", self.text);
            fs::write(folder.join(&own).join("carillon.toml"), text)?;
            symlink(&own, folder.join("..data_tmp"))?;
            fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
            if !fs::symlink_metadata(&file)?.is_symlink() {
                symlink("..data/carillon.toml", folder.join("link"))?;
                fs::rename(folder.join("link"), &file)?;
            }
        }
        Ok(())
    }

    /// Whether a page of this origin is let in.
    async fn lets_in(&self, origin: &str) -> Result<bool> {
        let page = Handshake::to(&self.gateway.ws()).token(TokenIn::Query, &token_of("page"));
        let mut socket = Socket::connect(&page.header(ORIGIN, origin)).await?;
        let in_a_moment = std::time::Duration::from_millis(300);
        Ok(socket.closed(in_a_moment).await.is_err())
    }

    async fn origins(&self, elsewhere: bool) -> Result<()> {
        eventually("origins are as configured", SOON, async || {
            ensure!(self.lets_in(HOME).await?, "home is not let in");
            let is = self.lets_in(ELSEWHERE).await?;
            ensure!(is == elsewhere, "elsewhere: {is}");
            Ok(())
        })
        .await
    }

    /// Whether three sends in a row are one too many.
    async fn limited(&self, expected: bool) -> Result<()> {
        let body = notification("bob", "t", "");
        eventually("sends are as configured", SOON, async || {
            let mut limited = false;
            for _ in 0..3 {
                let refused = self.api.send(&body, None).await.err();
                limited |= refused.is_some_and(|it| it.code() == "rate_limited");
            }
            ensure!(limited == expected, "limited: {limited}");
            Ok(())
        })
        .await
    }

    async fn says(&self, what: &str) -> Result<()> {
        for process in self.both() {
            eventually(what, SOON, async || {
                ensure!(process.log()?.contains(what), "{}", process.log()?);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn show(&self, metric: &str, expected: f64) -> Result<()> {
        for process in self.both() {
            eventually(metric, SOON, async || {
                let is = metric_of(process, metric).await?;
                ensure!(is == expected, "{is}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

const STRICT: &str = r#"
[gateway]
origins = ["https://app.example.com"]
[dispatcher]
sends_per_user = 1
[log]
level = "debug"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_may_change_changes_and_no_socket_closes() -> Result<()> {
    let pair = Pair::start().await?;
    let alice = Handshake::to(&pair.gateway.ws()).token(TokenIn::Query, &token_of("alice"));
    let alice = alice.protocol("carillon.v1").query("device", "phone");
    let mut alice = Opened::by(&alice).await?.socket;
    let mut page = Socket::connect(
        &Handshake::to(&pair.gateway.ws())
            .token(TokenIn::Query, &token_of("eve"))
            .header(ORIGIN, ELSEWHERE),
    )
    .await?;
    pair.origins(true).await?;
    pair.limited(false).await?;
    for process in pair.both() {
        ensure!(!process.log()?.contains(" DEBUG "), "{}", process.log()?);
    }

    pair.write(STRICT)?;
    pair.origins(false).await?;
    pair.limited(true).await?;
    pair.says("the configuration has changed").await?;
    pair.says("gateway.origins").await?;
    // What is no HTTP is worth a line of its own.
    for process in pair.both() {
        let mut stranger = TcpStream::connect(process.admin()).await?;
        stranger.write_all(b"no HTTP\r\n\r\n").await?;
    }
    pair.says(" DEBUG ").await?;

    // A bad one changes nothing, and all its mistakes are told.
    let bad = "[gateway]\norigins = [\"nonsense\"]\nhandshake_rate = 0\n[dispatcher]\nsends_per_usr = 9\n";
    pair.write(bad)?;
    pair.show(SUCCESS, 0.0).await?;
    for mistake in [
        "gateway.origins",
        "gateway.handshake_rate",
        "dispatcher.sends_per_usr",
    ] {
        pair.says(&format!("{mistake}: ")).await?;
    }
    pair.says("what the file held before stays in force")
        .await?;
    pair.origins(false).await?;
    pair.limited(true).await?;

    // What only a restart changes is named.
    let needs = format!("{STRICT}\n[inbox]\nmax = 777\n[socket]\nidle_timeout = \"99s\"\n");
    pair.write(&needs)?;
    pair.show(SUCCESS, 1.0).await?;
    pair.show(NEED_RESTART, 2.0).await?;
    pair.says("needs a restart").await?;
    pair.says("socket.idle_timeout").await?;

    // A mounted file that is swapped, without a signal.
    pair.swap(1, STRICT)?;
    pair.show(NEED_RESTART, 0.0).await?;
    pair.swap(2, "")?;
    pair.origins(true).await?;
    pair.limited(false).await?;

    // Both are still there.
    for (user, socket) in [("alice", &mut alice), ("eve", &mut page)] {
        pair.api.send(&notification(user, "t", user), None).await?;
        ensure!(next_content(socket).await? == user);
    }
    Ok(())
}
