//! Writes the documents of the contract, below the current folder: `make contract-docs`.

use std::{
    fs,
    io::{Write, stdout},
};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for (path, text) in carillon_dispatcher::contract::files() {
        fs::write(path, text).with_context(|| format!("cannot write {path}"))?;
        writeln!(stdout(), "{path}")?;
    }
    Ok(())
}
