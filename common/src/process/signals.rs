//! The end of a process, as its surroundings announce it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled at the first SIGTERM or SIGINT; the second ends the process at once.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn shutdown_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    tokio::spawn(async move {
        let mut signalled = async || {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
        };
        signalled().await;
        tracing::info!("told to stop; finishing what is under way");
        told.cancel();
        signalled().await;
        tracing::warn!("told to stop again; ending at once");
        std::process::exit(1);
    });
    Ok(shutdown)
}
