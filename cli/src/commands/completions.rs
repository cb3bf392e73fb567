//! `carillon completions`

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  carillon completions bash > ~/.local/share/bash-completion/completions/carillon
  carillon completions zsh > \"${fpath[1]}/_carillon\"
  carillon completions fish > ~/.config/fish/completions/carillon.fish";

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command(), "carillon", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        Ok(ExitCode::SUCCESS)
    }
}
