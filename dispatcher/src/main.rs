//! `carillon-dispatcher`: takes notifications over REST.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use carillon_common::{
    backend::{
        Backend, Limits,
        memory::{MemoryBackend, MemoryBounds},
    },
    settings::{Settings, SettingsErrors, process_env},
    telemetry::{Metrics, logging},
};
use carillon_dispatcher::{Addresses, App, listen, write_addresses};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for a configuration that cannot be used (EX_USAGE of sysexits.h).
const BAD_SETTINGS: u8 = 64;

/// Takes notifications over REST and hands them to the gateways through the store.
#[derive(Parser)]
#[command(name = "carillon-dispatcher", version)]
struct Arguments {
    /// A TOML file with what differs from the defaults; CARILLON__SECTION__KEY overrides it
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,

    /// Where to write {"public":"ip:port","admin":"ip:port"} once the service listens
    #[arg(long, value_name = "PATH")]
    addresses_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carillon-dispatcher: {error:#}");
            match error.is::<SettingsErrors>() {
                true => ExitCode::from(BAD_SETTINGS),
                false => ExitCode::FAILURE,
            }
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> Result<()> {
    let settings = Settings::load(arguments.config.as_deref(), process_env())?;
    logging::start(&settings.log)?;
    let settings = Arc::new(settings);
    let shutdown = shutdown_signal()?;
    let metrics = Metrics::new("dispatcher");
    let backend = connect(&settings).await?;
    let app = App::new(settings.clone(), backend, metrics)?;

    let bound = |address| listen(address).with_context(|| format!("cannot listen at {address}"));
    let listener = bound(settings.dispatcher.listen)?;
    let admin_listener = bound(settings.admin.listen)?;
    let addresses = Addresses {
        public: listener.local_addr()?,
        admin: admin_listener.local_addr()?,
    };
    tracing::info!(public = %addresses.public, admin = %addresses.admin, "listening");
    if let Some(path) = &arguments.addresses_file {
        write_addresses(path, &addresses)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    app.run(listener, admin_listener, shutdown).await;
    tracing::info!("stopped");
    Ok(())
}

async fn connect(settings: &Settings) -> Result<Arc<dyn Backend>> {
    if settings.backend.url.expose().starts_with("memory:") {
        tracing::warn!(
            "backend.url is memory://: what is accepted here reaches no gateway of another \
             process; name a Redis, or run `carillon standalone`"
        );
        return Ok(MemoryBackend::new(
            limits(settings),
            MemoryBounds::default(),
        ));
    }
    bail!("only memory:// can be used so far")
}

fn limits(settings: &Settings) -> Limits {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        inbox_ttl: settings.inbox.ttl,
        inbox_max: small(settings.inbox.max),
        inbox_keep: small(settings.inbox.keep),
        page: small(settings.inbox.page),
        devices: small(settings.inbox.devices),
        device_ttl: settings.inbox.device_ttl,
        restore: settings.channels.restore,
        lease_ttl: settings.lease.ttl,
        lease_renew: settings.lease.renew,
        isolation_deadline: settings.lease.isolation_deadline,
    }
}

/// Cancelled at the first SIGTERM or SIGINT; the second ends the process at once.
fn shutdown_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    tokio::spawn(async move {
        let mut signalled = async || {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
        };
        signalled().await;
        tracing::info!("told to stop; finishing what is under way");
        told.cancel();
        signalled().await;
        tracing::warn!("told to stop again; ending at once");
        std::process::exit(1);
    });
    Ok(shutdown)
}
