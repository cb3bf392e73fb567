//! How a command fails: what is said, and with which exit code.

use std::{io, process::ExitCode};

use carillon_common::settings::SettingsErrors;

use crate::{
    api::Problem,
    terminal::{Style, tell},
};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done.
    Failed(String),
    /// The service refused it.
    Refused(Box<Problem>),
    /// The command line does not say what is needed.
    Usage(String),
    /// The other side cannot be reached.
    Connection(String),
    /// The configuration is wrong.
    Configuration(String),
    /// Whoever read the output has gone (`carillon … | head`): nothing is wrong.
    OutputClosed,
}

impl Failure {
    /// Says on stderr what is wrong, and how the process ends.
    pub(crate) fn report(&self) -> ExitCode {
        if !matches!(self, Self::OutputClosed) {
            tell(&format!("{} {self}", Style::stderr().red("error:")));
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Connection(_) => 3,
            Self::Configuration(_) => 64,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::Connection(text)
            | Self::Configuration(text) => f.write_str(text),
            Self::Refused(problem) => problem.fmt(f),
            Self::OutputClosed => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<SettingsErrors> for Failure {
    fn from(errors: SettingsErrors) -> Self {
        Self::Configuration(errors.to_string())
    }
}
