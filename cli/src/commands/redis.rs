//! `carillon redis`

use std::process::ExitCode;

use carillon_common::backend::redis::{functions::Functions, library, link::Link};
use clap::{Args, Subcommand};

use crate::{
    failure::Failure,
    store::{StoreArgs, link, link_failure},
    terminal::{Style, say},
};

const LOAD_EXAMPLES: &str = "\
Examples:
  carillon redis load --config carillon.toml
  CARILLON__BACKEND__URL=redis+cluster://a,b,c carillon redis load

For where the services' own user may not load functions: run it before a new version starts, as a
user who may. Loading what is there already changes nothing.";

const PRUNE_EXAMPLES: &str = "\
Examples:
  carillon redis prune --dry-run --config carillon.toml
  carillon redis prune --config carillon.toml

Run it when no service of an older version is left: they call the older functions.";

/// Look after the functions that Carillon keeps in Redis
#[derive(Debug, Subcommand)]
pub(crate) enum Redis {
    Load(Load),
    Prune(Prune),
}

/// Load this version's functions on every primary
#[derive(Debug, Args)]
#[command(after_help = LOAD_EXAMPLES)]
pub(crate) struct Load {
    #[command(flatten)]
    store: StoreArgs,
}

/// Remove the functions of older versions from every primary
#[derive(Debug, Args)]
#[command(after_help = PRUNE_EXAMPLES)]
pub(crate) struct Prune {
    #[command(flatten)]
    store: StoreArgs,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Redis {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Load(Load { store }) => load(&link(&store.settings()?).await?.0).await?,
            Self::Prune(Prune { store, dry_run }) => {
                prune(&link(&store.settings()?).await?.0, dry_run).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn load(link: &Link) -> Result<(), Failure> {
    let functions = Functions::new(library());
    functions.load_all(link).await.map_err(link_failure)?;
    let style = Style::stdout();
    for (node, libraries) in functions.list(link).await.map_err(link_failure)? {
        say(&format!(
            "{} {node}: {}",
            style.green("✓"),
            libraries.join(", ")
        ))?;
    }
    Ok(())
}

async fn prune(link: &Link, dry_run: bool) -> Result<(), Failure> {
    let functions = Functions::new(library());
    let removed = if dry_run {
        functions.older(link).await
    } else {
        functions.prune(link).await
    };
    let removed = removed.map_err(link_failure)?;
    let word = if dry_run { "would remove" } else { "removed" };
    for (node, name) in &removed {
        say(&format!("{node}: {word} {name}"))?;
    }
    if removed.is_empty() {
        say("there is nothing older than this version's")?;
    }
    Ok(())
}
