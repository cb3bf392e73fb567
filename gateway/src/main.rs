//! `carillon-gateway`: holds WebSocket connections.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend,
    checks::Role,
    http::{
        Crowd, Front, Health,
        admin::{self, Operations},
        serve,
    },
    process::{
        Attendants, Reload, ServiceArguments, Shutdown, bind, exit_code, raise_descriptors,
        runtime, tell_status,
    },
    telemetry::{Metrics, Spans},
};
use carillon_gateway::{ADMIN_ROUTES, Gateway};
use clap::Parser;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// For probes that are being answered when the admin port closes.
const ADMIN_PATIENCE: Duration = Duration::from_millis(500);

/// Holds WebSocket connections and delivers the notifications that the dispatchers accept.
#[derive(Parser)]
#[command(name = "carillon-gateway", version)]
struct Program {
    #[command(flatten)]
    arguments: ServiceArguments,
}

fn main() -> ExitCode {
    let program = Program::parse();
    exit_code("carillon-gateway", start(&program.arguments))
}

fn start(arguments: &ServiceArguments) -> Result<()> {
    runtime()?.block_on(run(arguments))
}

async fn run(arguments: &ServiceArguments) -> Result<()> {
    let (settings, level) = arguments.settings()?;
    let settings = Arc::new(settings);
    let shutdown = Shutdown::on_signals()?;
    let descriptors = raise_descriptors();
    let metrics = Metrics::new("gateway");
    let health = Health::new();
    let spans = Spans::start(&settings, "carillon-gateway", &metrics)?;
    let reload = Reload::start(&settings.auth, Role::Gateway, &metrics)?;
    let keyring = reload.keyring().clone();
    let _attendants = Attendants::start(&settings, Role::Gateway, &metrics, reload, &shutdown);

    let admin_listener = bind(settings.admin.listen)?;
    tell_status("connecting to the store");
    let Some(backend) = backend::connect_when_up(&settings, shutdown.token()).await? else {
        return Ok(());
    };
    metrics.add(backend.metrics());
    let started = Gateway::start(
        settings.clone(),
        keyring.clone(),
        backend.clone(),
        metrics.gateway.clone(),
        health.clone(),
        descriptors,
        spans.clone(),
    );
    // It waits for its place in the store.
    let Some(gateway) = shutdown.token().run_until_cancelled(started).await else {
        return Ok(());
    };
    let gateway = gateway?;

    let listener = bind(settings.gateway.listen)?;
    arguments.announce(&listener, &admin_listener)?;
    shutdown.tell_ready();
    let operations = Operations::new(keyring, level).and(gateway.admin_routes(), ADMIN_ROUTES);
    let front = Front::of_gateway(&settings.gateway.path);
    let end = CancellationToken::new();
    let admin = serve(
        admin_listener,
        admin::router(health, move || metrics.render(), operations),
        Crowd::new(admin::CONNECTIONS),
        end.clone(),
        ADMIN_PATIENCE,
    );
    let work = async {
        let result = gateway.run(listener, front, shutdown).await;
        end.cancel();
        result
    };
    let (result, ()) = tokio::join!(work, admin);
    spans.close().await;
    result
}
