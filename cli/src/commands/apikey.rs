//! `carillon apikey`

use std::process::ExitCode;

use base64::{Engine, engine::general_purpose::STANDARD};
use carillon_common::auth::ApiKeys;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::{
    failure::Failure,
    input::text,
    terminal::{Style, say, tell},
};

const EXAMPLES: &str = "\
Examples:
  carillon apikey new --name orders --scopes send,broadcast
  carillon apikey new --name orders --scopes send --json | jq -r .key > orders.key
  carillon apikey new --name orders --scopes send --secret carillon-auth |
    kubectl apply --server-side --field-manager=carillon-apikey-orders -f -

With --secret, stdout is a Kubernetes Secret, and the key itself goes to stderr. Such keys share one
Secret: each is a file of its own in it, kept by a field manager of its own. Applying the same name
again replaces that key; under another name the old one stays until it is removed:
  kubectl patch secret carillon-auth --type=json -p '[{\"op\":\"remove\",\"path\":\"/data/apikey-orders.toml\"}]'

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
    #[arg(long, allow_hyphen_values = true, value_parser = name)]
    name: String,
    /// What the key may do
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<ScopeName>,
    /// Print the Kubernetes Secret of this name that accepts the key, as `auth.dir` reads it
    #[arg(long, value_name = "SECRET", conflicts_with = "json")]
    secret: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn name(name: &str) -> Result<String, String> {
    match name {
        "" => Err("a key needs a name".to_owned()),
        name => text(name),
    }
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
    /// Operate gateways, and revoke tokens
    Admin,
    /// Have tickets made for users
    Tickets,
}

impl ScopeName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Broadcast => "broadcast",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Tickets => "tickets",
        }
    }
}

impl Apikey {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::New(New {
            name,
            scopes,
            secret,
            json,
        }) = self;
        let scopes: Vec<_> = scopes.into_iter().map(ScopeName::as_str).collect();
        if secret.is_some() && !is_file_name(&name) {
            return Err(Failure::Usage(format!(
                "--name {name:?} cannot name a file in a Secret: with --secret, use letters, \
                 digits, `-`, `_` and `.`, 64 at most"
            )));
        }
        let (key, hash) = ApiKeys::generate();
        if let Some(secret) = secret {
            say(manifest(&secret, &name, &hash, &scopes).trim_end())?;
            let style = Style::stderr();
            tell(&format!(
                "{}\n  {}\n\n{}\n  {}",
                style.bold("The key, for the service (it is shown this once):"),
                style.green(key.expose()),
                style.bold("The Secret is on stdout; apply it with:"),
                apply(&name)
            ));
            return Ok(ExitCode::SUCCESS);
        }
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
    table("auth.api_keys", name, hash, scopes)
}

fn table(key: &str, name: &str, hash: &str, scopes: &[&str]) -> String {
    let (name, scopes) = (json!(name), json!(scopes));
    format!("[[{key}]]\nname = {name}\nhash = \"{hash}\"\nscopes = {scopes}")
}

/// Whether it can be part of a Secret's key, and of a field manager's name.
fn is_file_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A Secret with the table alone, so that applying it leaves the other keys as they are. `data`, not
/// `stringData`: that would not be removed again by its field manager.
fn manifest(secret: &str, name: &str, hash: &str, scopes: &[&str]) -> String {
    let table = table("api_keys", name, hash, scopes) + "\n";
    let comment: String = table.lines().map(|line| format!("  # {line}\n")).collect();
    // JSON's strings are YAML's, too.
    let (secret, data) = (json!(secret), STANDARD.encode(&table));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {secret}\ntype: Opaque\ndata:\n\
         {comment}  apikey-{name}.toml: {data}\n"
    )
}

fn apply(name: &str) -> String {
    format!("kubectl apply --server-side --field-manager=carillon-apikey-{name} -f -")
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

    /// The Secret is mounted as a folder, with a file for each of its keys.
    #[test]
    fn the_printed_secret_accepts_the_key() {
        let (key, hash) = ApiKeys::generate();
        let text = manifest("carillon-auth", "orders", &hash, &["send"]);
        let fields: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        assert!(fields.contains(&("  name", "\"carillon-auth\"")), "{text}");
        let (_, data) = fields
            .iter()
            .find(|(name, _)| *name == "  apikey-orders.toml")
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("apikey-orders.toml");
        std::fs::write(file, STANDARD.decode(data).unwrap()).unwrap();
        let mut settings = Settings::default();
        settings.auth.dir = Some(folder.path().to_owned());
        let keys = settings.auth.credentials().unwrap().api_keys;
        assert_eq!(&*keys.authenticate(key.expose()).unwrap().name, "orders");
        assert!(!text.contains(key.expose().as_str()));
    }

    #[test]
    fn a_key_in_a_secret_has_a_name_for_files() {
        for (name, fits) in [
            ("orders-2.new_A", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_file_name(name), fits, "{name}");
        }
        assert!(!is_file_name(&"a".repeat(65)));
        assert_eq!(
            apply("orders"),
            "kubectl apply --server-side --field-manager=carillon-apikey-orders -f -"
        );
    }
}
