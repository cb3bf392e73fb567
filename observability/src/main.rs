//! Writes what is made from this crate, below the current folder: `make dashboards`.

use std::{
    fs,
    io::{Write, stdout},
    path::Path,
};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for (path, text) in carillon_observability::files() {
        let folder = Path::new(&path).parent().context("a file has a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
        writeln!(stdout(), "{path}")?;
    }
    Ok(())
}
