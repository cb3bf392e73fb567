//! `carillon standalone`

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use axum::Router;
use carillon_common::{
    backend::BackendError,
    checks::Role,
    http::{Front, listen},
    process::{Addresses, Process, Shutdown, write_addresses},
    settings::{Settings, SettingsErrors},
    telemetry::logging,
};
use carillon_dispatcher::{CONSOLE_ROUTES, Dispatcher};
use carillon_gateway::{ADMIN_ROUTES, Gateway};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    demo::{self, Gateways},
    dev::Dev,
    failure::Failure,
    input::settings,
    store,
};

const EXAMPLES: &str = "\
Examples:
  carillon standalone --dev
  carillon standalone --config carillon.toml
  carillon standalone --config carillon.toml --redis redis://127.0.0.1:6379 --listen 0.0.0.0:8080

--dev needs no configuration: it makes a secret and an API key that live as long as the process,
listens on this machine alone, and prints ready tokens for alice and bob and what to type next. Its
page at / shows both of them, and what happens to them, in a browser.
Without --redis, or backend.url in the configuration, everything is in memory and ends with it.

Sockets and REST share one port (gateway.listen, 8080); health, metrics and the console have their
own (admin.listen, 9090). Ctrl-C drains; a second one ends at once, Ctrl-\\ quickly.";

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
        let dev = dev.map(Arc::new);
        let log =
            logging::start(&settings.log).map_err(|error| Failure::Failed(error.to_string()))?;
        let process = match &dev {
            // What --dev sets is meant for a moment, and there is nothing to change about it.
            Some(_) => Process::start_unchecked(settings, log, Role::Standalone),
            None => Process::start(settings, log, Role::Standalone),
        };
        let process = process.map_err(failure)?;
        let settings = process.settings.clone();
        let shutdown = process.shutdown.clone();
        let listener = bind(settings.gateway.listen, "--listen or gateway.listen")?;
        let admin_listener = bind(settings.admin.listen, "CARILLON__ADMIN__LISTEN")?;
        let addresses = Addresses {
            public: listener.local_addr()?,
            admin: admin_listener.local_addr()?,
        };
        let services = Services::start(process, dev.clone()).await?;
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
    process: Process,
    gateway: Arc<Gateway>,
    rest: Router,
    /// What the dispatcher adds to the admin port.
    console: Router,
    /// What the dispatcher does beside its routes.
    _beside: AbortOnDropHandle<()>,
    /// What the page at `/` has of its own, with `--dev`.
    page: Option<Arc<Gateways>>,
}

impl Services {
    /// By these settings and their keys, traced and logged by nobody.
    #[cfg(test)]
    pub(crate) async fn of(settings: Settings) -> Self {
        let process = Process::detached(settings).unwrap();
        Self::start(process, None).await.unwrap()
    }

    async fn start(process: Process, dev: Option<Arc<Dev>>) -> Result<Self, Failure> {
        let backend = store::connect(&process.settings).await?;
        process.metrics.add(backend.metrics());
        let dispatcher = Dispatcher::new(&process, backend.clone());
        let beside = AbortOnDropHandle::new(tokio::spawn(dispatcher.beside()));
        let (rest, console) = (dispatcher.router(), dispatcher.console());
        let path = process.settings.gateway.path.clone();
        let gateway = Gateway::start(&process, backend.clone())
            .await
            .map_err(failure)?;
        let (rest, page) = match dev {
            None => (Front::Standalone(path).before(rest), None),
            Some(dev) => {
                let page = Gateways::new(&process.settings, backend, process.shutdown.clone());
                let page = Arc::new(page);
                (demo::before(rest, dev, page.clone()), Some(page))
            }
        };
        Ok(Self {
            process,
            gateway,
            rest,
            console,
            _beside: beside,
            page,
        })
    }

    /// Serves until `shutdown` and the drain after it; the admin port stays to the end.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        admin_listener: TcpListener,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let operations = self.process.operations();
        let operations = operations
            .and(self.gateway.admin_routes(), ADMIN_ROUTES)
            .beside(self.console, CONSOLE_ROUTES);
        let page = async {
            if let Some(page) = &self.page {
                page.ended().await;
            }
        };
        let work = async {
            let work = self.gateway.run(listener, self.rest, shutdown);
            tokio::join!(work, page).0
        };
        let result = self.process.run(admin_listener, operations, work).await;
        result.map_err(|error| Failure::Failed(format!("{error:#}")))
    }
}

/// Why a service does not start: its settings, its store, or something else.
fn failure(error: anyhow::Error) -> Failure {
    if SettingsErrors::are_why(&error) {
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
