//! `carillon-dispatcher`: takes notifications over REST.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use carillon_common::{
    backend,
    http::listen,
    process::{Addresses, BAD_SETTINGS, shutdown_signal, write_addresses},
    settings::{Settings, SettingsErrors, process_env},
    telemetry::{Metrics, logging},
};
use carillon_dispatcher::App;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    backend::warn_if_alone(&settings);
    let backend = backend::connect(&settings).await?;
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
