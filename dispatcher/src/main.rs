//! `carillon-dispatcher`: takes notifications over REST.

use std::process::ExitCode;

use anyhow::Result;
use carillon_common::{
    checks::Role,
    process::{ServiceArguments, bind, exit_code, runtime},
};
use carillon_dispatcher::{CONSOLE_ROUTES, Dispatcher};
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
    let process = arguments.start(Role::Dispatcher)?;
    let Some(backend) = process.store().await? else {
        return Ok(());
    };
    let dispatcher = Dispatcher::new(&process, backend);

    let listener = bind(process.settings.dispatcher.listen)?;
    let admin_listener = bind(process.settings.admin.listen)?;
    arguments.announce(&listener, &admin_listener)?;
    process.shutdown.tell_ready();
    let operations = process.operations();
    let operations = operations.beside(dispatcher.console(), CONSOLE_ROUTES);
    let work = dispatcher.run(listener, process.shutdown.clone());
    process.run(admin_listener, operations, work).await;
    tracing::info!("stopped");
    Ok(())
}
