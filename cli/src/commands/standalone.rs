//! `carillon standalone`

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use carillon_common::{
    auth::Keyring,
    backend::BackendError,
    checks::Role,
    http::{
        self, Front, Health,
        admin::{self, Operations},
        listen,
    },
    process::{Addresses, Attendants, Reload, Shutdown, raise_descriptors, write_addresses},
    settings::{Settings, SettingsError, SettingsErrors},
    telemetry::{LogLevel, Metrics, Spans, logging},
};
use carillon_dispatcher::App;
use carillon_gateway::{ADMIN_ROUTES, Gateway};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{dev::Dev, failure::Failure, input::settings, store};

/// For probes that are being answered when the admin port closes.
const ADMIN_PATIENCE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  carillon standalone --dev
  carillon standalone --config carillon.toml
  carillon standalone --config carillon.toml --redis redis://127.0.0.1:6379 --listen 0.0.0.0:8080

--dev needs no configuration: it makes a secret and an API key that live as long as the process,
listens on this machine alone, and prints ready tokens for alice and bob and what to type next.
Without --redis, or backend.url in the configuration, everything is in memory and ends with it.

Sockets and REST share one port (gateway.listen, 8080); health and metrics have their own
(admin.listen, 9090). Ctrl-C drains; a second one ends at once, Ctrl-\\ quickly.";

/// Run gateway and dispatcher in one process
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Standalone {
    /// A TOML file with what differs from the defaults; CARILLON__SECTION__KEY overrides it
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,
    /// For development: a secret, an API key and tokens of its own, on this machine alone
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    /// Where sockets and REST are served, instead of gateway.listen
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The store, instead of backend.url; with a password in it, prefer the configuration
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Where to write {"public":"ip:port","admin":"ip:port"} once it listens
    #[arg(long, value_name = "PATH")]
    addresses_file: Option<PathBuf>,
}

impl Standalone {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let (settings, dev) = self.settings()?;
        let level =
            logging::start(&settings.log).map_err(|error| Failure::Failed(error.to_string()))?;
        let settings = Arc::new(settings);
        let shutdown = Shutdown::on_signals()?;
        let metrics = Metrics::new("standalone");
        // What --dev sets is meant for a moment, and there is nothing to change about it.
        let reload = Reload::start(&settings.auth, Role::Standalone, &metrics)?;
        let keyring = reload.keyring().clone();
        let _attendants = match &dev {
            Some(_) => Attendants::quiet(reload, &shutdown),
            None => Attendants::start(&settings, Role::Standalone, &metrics, reload, &shutdown),
        };
        let listener = bind(settings.gateway.listen, "--listen or gateway.listen")?;
        let admin_listener = bind(settings.admin.listen, "CARILLON__ADMIN__LISTEN")?;
        let addresses = Addresses {
            public: listener.local_addr()?,
            admin: admin_listener.local_addr()?,
        };

        let spans = Spans::start(&settings, "carillon", &metrics);
        let spans = spans.map_err(|error| Failure::Configuration(error.to_string()))?;
        let services =
            Services::start(settings.clone(), keyring, metrics, spans.clone(), level).await?;
        if let Some(path) = &self.addresses_file {
            tell(path, &addresses)?;
        }
        match &dev {
            Some(dev) => dev.greet(&addresses, &settings)?,
            None => {
                tracing::info!(public = %addresses.public, admin = %addresses.admin, "listening");
            }
        }
        shutdown.tell_ready();
        services.run(listener, admin_listener, shutdown).await?;
        spans.close().await;
        Ok(ExitCode::SUCCESS)
    }

    fn settings(&self) -> Result<(Settings, Option<Dev>), Failure> {
        let mut settings = settings(self.config.as_deref())?;
        let dev = self.dev.then(|| Dev::prepare(&mut settings));
        if let Some(address) = self.listen {
            settings.gateway.listen = address;
        }
        if let Some(url) = &self.redis {
            settings.backend.name_store(url.clone())?;
        }
        if dev.is_some() && !settings.gateway.listen.ip().is_loopback() {
            return Err(Failure::Usage(
                "--dev listens on this machine alone: its tokens are on the screen".to_owned(),
            ));
        }
        Ok((settings, dev))
    }
}

fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, Failure> {
    listen(address).map_err(|error| {
        Failure::Failed(format!(
            "cannot listen at {address}: {error}; choose another with {setting}"
        ))
    })
}

fn tell(path: &Path, addresses: &Addresses) -> Result<(), Failure> {
    write_addresses(path, addresses)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
}

/// Both services over one store.
pub(crate) struct Services {
    gateway: Arc<Gateway>,
    rest: Router,
    admin: Router,
}

impl Services {
    /// By these settings and their keys, traced and logged by nobody.
    #[cfg(test)]
    pub(crate) async fn of(settings: Settings) -> Self {
        let keyring = Keyring::new(settings.auth.credentials().unwrap());
        let level = LogLevel::detached(&settings.log);
        let (metrics, spans) = (Metrics::new("test"), Spans::default());
        Self::start(Arc::new(settings), keyring, metrics, spans, level)
            .await
            .unwrap()
    }

    pub(crate) async fn start(
        settings: Arc<Settings>,
        keyring: Keyring,
        metrics: Metrics,
        spans: Spans,
        level: LogLevel,
    ) -> Result<Self, Failure> {
        let health = Health::new();
        let descriptors = raise_descriptors();
        let backend = store::connect(&settings).await?;
        metrics.add(backend.metrics());
        let app = App::new(
            settings.clone(),
            keyring.clone(),
            backend.clone(),
            metrics.clone(),
            spans.clone(),
        );
        let rest = app.router();
        let rest = Front::Standalone(settings.gateway.path.clone()).before(rest);
        let gateway = Gateway::start(
            settings,
            keyring.clone(),
            backend.clone(),
            metrics.gateway.clone(),
            health.clone(),
            descriptors,
            spans,
        );
        let gateway = gateway.await.map_err(started)?;
        let operations = Operations::new(keyring, level).and(gateway.admin_routes(), ADMIN_ROUTES);
        let admin = admin::router(health, move || metrics.render(), operations);
        Ok(Self {
            gateway,
            rest,
            admin,
        })
    }

    /// Serves until `shutdown` and the drain after it; the admin port stays to the end.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        admin_listener: TcpListener,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let end = CancellationToken::new();
        let work = async {
            let result = self.gateway.run(listener, self.rest, shutdown).await;
            end.cancel();
            result
        };
        let crowd = http::Crowd::new(http::admin::CONNECTIONS);
        let admin = http::serve(
            admin_listener,
            self.admin,
            crowd,
            end.clone(),
            ADMIN_PATIENCE,
        );
        let (result, ()) = tokio::join!(work, admin);
        result.map_err(|error| Failure::Failed(format!("{error:#}")))
    }
}

/// Why a gateway does not start: its settings, its store, or something else.
fn started(error: anyhow::Error) -> Failure {
    if error.is::<SettingsErrors>() || error.is::<SettingsError>() {
        return Failure::Configuration(error.to_string());
    }
    match error.downcast::<BackendError>() {
        Ok(error) => store::backend_failure(error),
        Err(error) => Failure::Failed(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standalone(listen: &str) -> Standalone {
        Standalone {
            config: None,
            dev: true,
            listen: Some(listen.parse().unwrap()),
            redis: None,
            addresses_file: None,
        }
    }

    #[test]
    fn development_stays_on_this_machine() {
        assert!(standalone("127.0.0.1:0").settings().is_ok());
        assert!(standalone("[::1]:0").settings().is_ok());
        assert!(matches!(
            standalone("0.0.0.0:0").settings(),
            Err(Failure::Usage(_))
        ));
    }
}
