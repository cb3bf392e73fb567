//! A whole Carillon over one backend: the real binaries, several of each, and the way to them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::auth::ApiKeys;

use crate::client::{Api, Targets, token};
use crate::poll::eventually;
use crate::process::{Process, Service};

/// Signs the tokens of a deployment's clients (32 bytes, as HS256 asks for).
const SECRET: &str = "an open secret of the tests, only";
/// Longer than any test.
const TOKEN_LIVES: Duration = Duration::from_secs(24 * 3_600);

/// What a deployment is to be: three gateways and two dispatchers, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Plan {
    backend: String,
    gateways: usize,
    dispatchers: usize,
    settings: Vec<(String, String)>,
}

impl Plan {
    /// Over this backend (a URL). The settings are the defaults, but for admission, which lets
    /// everyone in, and the drain, which does not wait.
    #[must_use]
    pub fn over(backend: impl Into<String>) -> Self {
        let plan = Self {
            backend: backend.into(),
            gateways: 3,
            dispatchers: 2,
            settings: Vec::new(),
        };
        plan.set("gateway.handshake_rate", 1_000_000)
            .set("gateway.handshake_burst", 1_000_000)
            .set("gateway.per_user_handshake_rate", 1_000_000)
            .set("gateway.refusal_rate", 1_000_000)
            .set("drain.delay", "0s")
            .set("drain.window", "1s")
            .set("drain.close_grace", "1s")
    }

    /// So many gateways.
    #[must_use]
    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways = count;
        self
    }

    /// So many dispatchers.
    #[must_use]
    pub fn dispatchers(mut self, count: usize) -> Self {
        self.dispatchers = count;
        self
    }

    /// Overrides a setting of every process; later ones win.
    #[must_use]
    pub fn set(mut self, setting: &str, value: impl ToString) -> Self {
        self.settings.push((setting.to_owned(), value.to_string()));
        self
    }

    /// The lease of a gateway that is killed ends after two seconds rather than fifteen.
    #[must_use]
    pub fn short_leases(self) -> Self {
        self.set("lease.ttl", "2s").set("lease.renew", "500ms")
    }

    /// Starts it all and waits until it listens.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(self) -> Result<Deployment> {
        let (key, hash) = ApiKeys::generate();
        let config = format!(
            "[[auth.issuers]]\nname = \"tests\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\n\
             [[auth.api_keys]]\nname = \"tests\"\nhash = \"{hash}\"\n\
             scopes = [\"send\", \"broadcast\", \"read\", \"admin\"]\n"
        );
        let prepare = |service: Service, section: &str| {
            let service = service
                .config(&config)
                .set("backend.url", &self.backend)
                .set(&format!("{section}.listen"), "127.0.0.1:0")
                .set("admin.listen", "127.0.0.1:0");
            let settings = self.settings.iter();
            settings.fold(service, |service, (setting, value)| {
                service.set(setting, value)
            })
        };
        let gateway = prepare(Service::gateway(), "gateway");
        let dispatcher = prepare(Service::dispatcher(), "dispatcher");
        let mut gateways = Vec::new();
        for _ in 0..self.gateways {
            gateways.push(gateway.start().await?);
        }
        let mut dispatchers = Vec::new();
        for _ in 0..self.dispatchers {
            dispatchers.push(dispatcher.start().await?);
        }
        let sockets = Targets::new(gateways.iter().map(Process::ws));
        let rest = Targets::new(dispatchers.iter().map(Process::http));
        let api = Api::new(rest.clone(), key.expose())?;
        Ok(Deployment {
            gateway,
            dispatcher,
            gateways,
            dispatchers,
            sockets,
            rest,
            api,
        })
    }
}

/// A running deployment; its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Deployment {
    gateway: Service,
    dispatcher: Service,
    gateways: Vec<Process>,
    dispatchers: Vec<Process>,
    sockets: Targets,
    rest: Targets,
    api: Api,
}

impl Deployment {
    /// All its gateways, for clients; kept up to date when one is replaced.
    #[must_use]
    pub fn sockets(&self) -> &Targets {
        &self.sockets
    }

    /// Its REST API, with a key that may send, broadcast and read.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The gateways' processes.
    #[must_use]
    pub fn gateways(&self) -> &[Process] {
        &self.gateways
    }

    /// The dispatchers' processes.
    #[must_use]
    pub fn dispatchers(&self) -> &[Process] {
        &self.dispatchers
    }

    /// A token for `user` that outlives the test.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        token::hs256(SECRET, user, TOKEN_LIVES)
    }

    /// A token for `user` that ended an hour ago.
    #[must_use]
    pub fn expired_token(&self, user: &str) -> String {
        let now = token::now();
        let claims = serde_json::json!({ "sub": user, "iat": now - 7_200, "exp": now - 3_600 });
        token::sign(SECRET, &claims)
    }

    /// Starts another gateway in the place of one that has ended, at an address of its own, and
    /// tells the clients.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn replace_gateway(&mut self, index: usize) -> Result<()> {
        self.gateways[index] = self.gateway.start().await?;
        self.sockets.set(self.gateways.iter().map(Process::ws));
        Ok(())
    }

    /// Starts another dispatcher in the place of one that has ended, and tells the callers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn replace_dispatcher(&mut self, index: usize) -> Result<()> {
        self.dispatchers[index] = self.dispatcher.start().await?;
        self.rest.set(self.dispatchers.iter().map(Process::http));
        Ok(())
    }

    /// Starts one more dispatcher, with settings of its own, and tells the callers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add_dispatcher(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        let service = settings.iter();
        let service = service.fold(self.dispatcher.clone(), |service, (setting, value)| {
            service.set(setting, value)
        });
        self.dispatchers.push(service.start().await?);
        self.rest.set(self.dispatchers.iter().map(Process::http));
        Ok(())
    }

    /// Waits until exactly so many users are online.
    ///
    /// # Errors
    /// When that is not so `within` this time.
    pub async fn online(&self, users: usize, within: Duration) -> Result<()> {
        let what = format!("{users} users are online");
        eventually(&what, within, async || {
            let online = self.api.online_count().await?;
            ensure!(online == users as u64, "{online} are");
            Ok(())
        })
        .await
    }

    /// Fails if a process that should run has ended.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn all_run(&self) -> Result<()> {
        for process in self.gateways.iter().chain(&self.dispatchers) {
            ensure!(
                process.is_running(),
                "a process has ended: {}",
                process.log().context("its log")?
            );
        }
        Ok(())
    }
}
