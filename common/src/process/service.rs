//! The frame of a service's program: its arguments, its listeners, its exit code.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;

use super::{Addresses, BAD_SETTINGS, Process, write_addresses};
use crate::{
    checks::Role,
    http::listen,
    settings::{Settings, SettingsErrors, process_env},
    telemetry::logging,
};

/// What every service's command line takes.
#[derive(Debug, Args)]
pub struct ServiceArguments {
    /// A TOML file with what differs from the defaults; CARILLON__SECTION__KEY overrides it
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,

    /// Where to write {"public":"ip:port","admin":"ip:port"} once the service listens
    #[arg(long, value_name = "PATH")]
    addresses_file: Option<PathBuf>,
}

impl ServiceArguments {
    /// Reads the configuration, logs as it says from here on, and starts the process that it says.
    ///
    /// # Errors
    /// [`SettingsErrors`], every mistake at once, and those of [`Process::start`].
    pub fn start(&self, role: Role) -> Result<Process> {
        let settings = Settings::load(self.config.as_deref(), process_env())?;
        let log = logging::start(&settings.log)?;
        Process::start(settings, log, role)
    }

    /// Says where the service listens, in the log and in the file that was asked for.
    ///
    /// # Errors
    /// When that file cannot be written.
    pub fn announce(&self, public: &TcpListener, admin: &TcpListener) -> Result<()> {
        let addresses = Addresses {
            public: public.local_addr()?,
            admin: admin.local_addr()?,
        };
        tracing::info!(public = %addresses.public, admin = %addresses.admin, "listening");
        self.addresses_file
            .as_deref()
            .map_or(Ok(()), |path: &Path| {
                write_addresses(path, &addresses)
                    .with_context(|| format!("cannot write {}", path.display()))
            })
    }
}

/// Listens, or says where it cannot.
///
/// # Errors
/// When the address is taken, or not this machine's.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    listen(address).with_context(|| format!("cannot listen at {address}"))
}

/// The exit code of a service that ended, and on stderr why if it failed: [`BAD_SETTINGS`] for a
/// configuration that cannot be used.
pub fn exit_code(name: &str, result: Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Where nobody reads, the exit code says it.
    writeln!(io::stderr(), "{name}: {error:#}").unwrap_or_default();
    if SettingsErrors::are_why(&error) {
        ExitCode::from(BAD_SETTINGS)
    } else {
        ExitCode::FAILURE
    }
}
