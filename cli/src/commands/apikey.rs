//! `carillon apikey`

use std::process::ExitCode;

use carillon_common::auth::ApiKeys;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::{
    failure::Failure,
    terminal::{Style, say},
};

const EXAMPLES: &str = "\
Examples:
  carillon apikey new --name orders --scopes send,broadcast
  carillon apikey new --name orders --scopes send --json | jq -r .key > orders.key

The key is printed once and kept nowhere; the configuration holds its SHA-256 alone. Two keys of one
name may be valid at once: add the new one, give it to the service, remove the old one.";

/// Make keys for services that send
#[derive(Debug, Subcommand)]
pub(crate) enum Apikey {
    New(New),
}

/// Make a key, and the lines of the configuration that accept it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct New {
    /// The service that gets the key, for logs
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// What the key may do
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<ScopeName>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// As in `auth.api_keys.scopes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScopeName {
    /// Send to users
    Send,
    /// Send to channels and to everyone
    Broadcast,
    /// Ask who is online
    Read,
    /// Operate gateways
    Admin,
}

impl ScopeName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Broadcast => "broadcast",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl Apikey {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::New(New { name, scopes, json }) = self;
        let scopes: Vec<_> = scopes.into_iter().map(ScopeName::as_str).collect();
        let (key, hash) = ApiKeys::generate();
        if json {
            let object = json!({"name": name, "key": key.expose(), "hash": hash, "scopes": scopes});
            say(&object.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        let style = Style::stdout();
        say(&style.bold("The key, for the service (it is shown this once):"))?;
        say(&format!("  {}\n", style.green(key.expose())))?;
        say(&style.bold("For the configuration of every dispatcher:"))?;
        say(&configuration(&name, &hash, &scopes))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The table that accepts the key. JSON's strings and lists are TOML's, too.
fn configuration(name: &str, hash: &str, scopes: &[&str]) -> String {
    let (name, scopes) = (json!(name), json!(scopes));
    format!("[[auth.api_keys]]\nname = {name}\nhash = \"{hash}\"\nscopes = {scopes}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use carillon_common::settings::{Scope, Settings};

    use super::*;

    #[test]
    fn the_printed_lines_accept_the_key() {
        let (key, hash) = ApiKeys::generate();
        let text = configuration("the \"orders\" service", &hash, &["send", "broadcast"]);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let settings = Settings::load(Some(file.path()), std::iter::empty()).unwrap();
        let keys = ApiKeys::new(&settings.auth.api_keys).unwrap();
        let found = keys.authenticate(key.expose()).unwrap();
        assert_eq!(&*found.name, "the \"orders\" service");
        assert!(found.allows(Scope::Broadcast) && !found.allows(Scope::Admin));
    }
}
