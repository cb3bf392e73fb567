//! `carillon-gateway`: holds WebSocket connections.

use std::process::ExitCode;

use anyhow::Result;
use carillon_common::{
    checks::Role,
    http::Front,
    process::{ServiceArguments, bind, exit_code, runtime},
};
use carillon_gateway::{ADMIN_ROUTES, Gateway};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let process = arguments.start(Role::Gateway)?;
    let admin_listener = bind(process.settings.admin.listen)?;
    let Some(backend) = process.store().await? else {
        return Ok(());
    };
    let started = Gateway::start(&process, backend);
    // It waits for its place in the store.
    let Some(gateway) = process.shutdown.token().run_until_cancelled(started).await else {
        return Ok(());
    };
    let gateway = gateway?;

    let listener = bind(process.settings.gateway.listen)?;
    arguments.announce(&listener, &admin_listener)?;
    process.shutdown.tell_ready();
    let operations = process.operations();
    let operations = operations.and(gateway.admin_routes(), ADMIN_ROUTES);
    let settings = &process.settings;
    let front = Front::of_gateway(&settings.gateway.path, &settings.sse.path);
    let work = gateway.run(listener, front, process.shutdown.clone());
    process.run(admin_listener, operations, work).await
}
