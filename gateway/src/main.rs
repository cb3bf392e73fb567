//! `carillon-gateway`: holds WebSocket connections.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::Router;
use carillon_common::{
    backend,
    http::{Health, admin, listen, serve},
    process::{Addresses, BAD_SETTINGS, raise_descriptors, shutdown_signal, write_addresses},
    settings::{Settings, SettingsErrors, process_env},
    telemetry::{Metrics, logging},
};
use carillon_gateway::Gateway;
use clap::Parser;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// For probes that are being answered when the admin port closes.
const ADMIN_PATIENCE: Duration = Duration::from_millis(500);

/// Holds WebSocket connections and delivers the notifications that the dispatchers accept.
#[derive(Parser)]
#[command(name = "carillon-gateway", version)]
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
            eprintln!("carillon-gateway: {error:#}");
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
    let descriptors = raise_descriptors();
    let metrics = Metrics::new("gateway");
    let health = Health::new();

    let bound = |address| listen(address).with_context(|| format!("cannot listen at {address}"));
    let admin_listener = bound(settings.admin.listen)?;
    backend::warn_if_alone(&settings);
    let backend = backend::connect(&settings).await?;
    let gateway = Gateway::start(
        settings.clone(),
        backend.clone(),
        metrics.gateway.clone(),
        health.clone(),
        descriptors,
    )
    .await?;

    let listener = bound(settings.gateway.listen)?;
    let addresses = Addresses {
        public: listener.local_addr()?,
        admin: admin_listener.local_addr()?,
    };
    tracing::info!(public = %addresses.public, admin = %addresses.admin, "listening");
    if let Some(path) = &arguments.addresses_file {
        write_addresses(path, &addresses)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let render = move || metrics.render() + &backend::render_stats(&*backend);
    let end = CancellationToken::new();
    let admin = serve(
        admin_listener,
        admin::router(health, render),
        end.clone(),
        ADMIN_PATIENCE,
    );
    let work = async {
        let result = gateway.run(listener, Router::new(), shutdown).await;
        end.cancel();
        result
    };
    let (result, ()) = tokio::join!(work, admin);
    result
}
