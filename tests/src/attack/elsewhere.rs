//! Whoever attacks does so from a machine of its own: here on a thread that gets what the others leave of
//! this one.

use std::future::Future;
use std::thread;

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The lowest priority (setpriority(2)).
const NICEST: libc::c_int = 19;

/// Runs it there; what comes of it is waited for here.
pub(super) fn run<F>(
    attack: impl FnOnce() -> F + Send + 'static,
) -> impl Future<Output = Result<Result<()>>>
where
    F: Future<Output = Result<()>>,
{
    let (done, over) = oneshot::channel();
    thread::spawn(move || {
        give_way();
        let runtime = Builder::new_current_thread().enable_all().build();
        let outcome = runtime
            .context("no runtime")
            .and_then(|runtime| runtime.block_on(attack()));
        // Nobody waits for it any more.
        drop(done.send(outcome));
    });
    async { over.await.context("the attack has ended without a word") }
}

/// Lets all others go first; on Linux that is of this thread alone.
fn give_way() {
    #[expect(unsafe_code, reason = "setpriority(2) has no safe wrapper in std")]
    // SAFETY: takes numbers alone, and fails without harm.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICEST);
    }
}
