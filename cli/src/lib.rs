//! The Carillon command line as a library: its parser, its commands, and the load generator with
//! the ledger that the whole-system tests use too.

mod args;
pub mod bench;
mod cli;
mod commands;
mod demo;
mod dev;
mod doctor;
mod failure;
mod input;
mod store;
mod terminal;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use futures_util::future::LocalBoxFuture;

/// The parser, as help, completions and tests see it.
pub fn command() -> clap::Command {
    cli::Cli::command()
}

/// Runs the program's arguments and says how it went; see the exit codes in `--help`.
pub fn main() -> LocalBoxFuture<'static, ExitCode> {
    Box::pin(run())
}

async fn run() -> ExitCode {
    // Clap itself ends the process: 0 after help, 2 after a mistake.
    let matches = command().get_matches();
    let cli = match cli::Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.command.run().await {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
