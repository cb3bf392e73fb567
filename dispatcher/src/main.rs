//! `carillon-dispatcher`: takes notifications over REST.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use carillon_common::{
    backend,
    checks::Role,
    process::{
        Attendants, Reload, ServiceArguments, Shutdown, bind, exit_code, raise_descriptors,
        runtime, tell_status,
    },
    telemetry::{Metrics, Spans},
};
use carillon_dispatcher::App;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes notifications over REST and hands them to the gateways through the store.
#[derive(Parser)]
#[command(name = "carillon-dispatcher", version)]
struct Program {
    #[command(flatten)]
    arguments: ServiceArguments,
}

fn main() -> ExitCode {
    let program = Program::parse();
    exit_code("carillon-dispatcher", start(&program.arguments))
}

fn start(arguments: &ServiceArguments) -> Result<()> {
    runtime()?.block_on(run(arguments))
}

async fn run(arguments: &ServiceArguments) -> Result<()> {
    let (settings, level) = arguments.settings()?;
    let settings = Arc::new(settings);
    let shutdown = Shutdown::on_signals()?;
    let descriptors = raise_descriptors();
    let metrics = Metrics::new("dispatcher");
    let spans = Spans::start(&settings, "carillon-dispatcher", &metrics)?;
    let reload = Reload::start(&settings.auth, Role::Dispatcher, &metrics)?;
    let keyring = reload.keyring().clone();
    let _attendants = Attendants::start(&settings, Role::Dispatcher, &metrics, reload, &shutdown);
    tell_status("connecting to the store");
    let Some(backend) = backend::connect_when_up(&settings, shutdown.token()).await? else {
        return Ok(());
    };
    metrics.add(backend.metrics());
    let app = App::new(settings.clone(), keyring, backend, metrics, spans.clone())
        .with_log_level(level)
        .with_descriptors(descriptors);

    let listener = bind(settings.dispatcher.listen)?;
    let admin_listener = bind(settings.admin.listen)?;
    arguments.announce(&listener, &admin_listener)?;
    shutdown.tell_ready();
    app.run(listener, admin_listener, shutdown).await;
    spans.close().await;
    tracing::info!("stopped");
    Ok(())
}
