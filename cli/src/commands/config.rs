//! `carillon config`

use std::{path::PathBuf, process::ExitCode};

use carillon_common::settings::{Settings, process_env};
use clap::{Args, Subcommand};

use crate::{
    failure::Failure,
    terminal::{Style, say},
};

const DEFAULTS_EXAMPLES: &str = "\
Examples:
  carillon config defaults > carillon.toml
  carillon config defaults | grep -A3 '^\\[inbox\\]'

A file of your own needs only what it changes.";

const CHECK_EXAMPLES: &str = "\
Examples:
  carillon config check carillon.toml
  CARILLON__INBOX__TTL=3d carillon config check

Checks what a service would see: the defaults, the file, the CARILLON__SECTION__KEY variables of this
environment, and every file in auth.dir. Every mistake is reported, and the exit code is 64: of a file
in auth.dir, too, which a service would leave out.";

const PRINT_EXAMPLES: &str = "\
Examples:
  carillon config print carillon.toml
  carillon config print --all > everything.toml

Prints what a service would go by: what the file and the CARILLON__SECTION__KEY variables of this environment
change, each with where it was said. Secrets are not shown. What is not in order is reported as by
`carillon config check`.";

/// Show or check the configuration
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    Defaults(Defaults),
    Check(Check),
    Print(Print),
}

/// Print every setting with its default and what it does
#[derive(Debug, Args)]
#[command(after_help = DEFAULTS_EXAMPLES)]
pub(crate) struct Defaults {}

/// Check a configuration file, and the environment with it
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct Check {
    /// The file; without one, the environment alone
    file: Option<PathBuf>,
}

/// Print what a service would go by, and where each value comes from
#[derive(Debug, Args)]
#[command(after_help = PRINT_EXAMPLES)]
pub(crate) struct Print {
    /// The file; without one, the environment alone
    file: Option<PathBuf>,
    /// With what is as built in
    #[arg(long)]
    all: bool,
}

impl Config {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Defaults(_) => say(Settings::default_toml().trim_end())?,
            Self::Print(Print { file, all }) => {
                let text = Settings::effective(file.as_deref(), process_env(), all)?;
                match text.trim_end() {
                    "" => say("# everything is as built in: see `carillon config defaults`")?,
                    text => say(text)?,
                }
            }
            Self::Check(Check { file }) => {
                let (_, credentials) = Settings::check(file.as_deref(), process_env())?;
                say(&Style::stdout().green("the configuration is in order"))?;
                if credentials.verifier.is_empty() {
                    say("but without [[auth.issuers]] or auth.dir no client can connect")?;
                }
                if credentials.api_keys.is_empty() && credentials.services.is_empty() {
                    say("but without [[auth.api_keys]] or auth.dir no service can send")?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(text: &str) -> Result<ExitCode, Failure> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::Check(Check {
            file: Some(file.path().to_owned()),
        })
        .run()
    }

    #[test]
    fn every_mistake_is_reported_as_one_of_the_configuration() {
        let failure = check("[inbox]\nttl = 5\nmaximum = 3\n").unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, Failure::Configuration(_)), "{text}");
        assert!(
            text.contains("inbox.ttl") && text.contains("inbox.maximum"),
            "{text}"
        );
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert!(check(Settings::default_toml()).is_ok());
    }
}
