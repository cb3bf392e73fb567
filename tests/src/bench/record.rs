//! Results that are kept.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::figures::{Figure, markdown, table};
use super::proc;

/// Writes `bench-<commit>.md` and `.json` into `dir`; answers the first one's path.
///
/// # Errors
/// When they cannot be written, or this is no Git repository.
pub fn write(dir: &Path, figures: &[Figure], keeps: bool) -> Result<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()?;
    let commit = String::from_utf8(output.stdout)?.trim().to_owned();
    anyhow::ensure!(!commit.is_empty(), "no commit to name the record after");
    let machine = proc::machine();
    let redis = if keeps {
        "appendfsync everysec"
    } else {
        "no persistence"
    };
    let text = format!(
        "# Bench at {commit}\n\n{machine}; everything on loopback; Redis with {redis}. `make bench` \
         prints this table; what each line means is in docs/proof/README.md.\n\n{}\n```\n{}```\n",
        markdown(figures),
        table(figures),
    );
    let json = json!({ "commit": commit, "machine": machine, "redis": redis, "figures": figures });
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("bench-{commit}.md"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::write(
        path.with_extension("json"),
        serde_json::to_string_pretty(&json)? + "\n",
    )?;
    Ok(path.display().to_string())
}
