//! Programs that the tests run: kind, docker, helm, kubectl.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// Longer than any step.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs a program and answers with its standard output.
///
/// # Errors
/// When it cannot be started, takes too long, or fails: then with what it printed.
pub(crate) async fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String> {
    feed(program, arguments, "").await
}

/// The same with something on its standard input.
///
/// # Errors
/// As [`run`].
pub(crate) async fn feed<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
    input: &str,
) -> Result<String> {
    let shown = || {
        let words = arguments.iter().map(|word| word.as_ref().to_string_lossy());
        format!("{program} {}", words.collect::<Vec<_>>().join(" "))
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", shown()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .with_context(|| format!("{} took longer than {PATIENCE:?}", shown()))??;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{stdout}{stderr}", shown(), output.status);
    }
    Ok(stdout)
}
