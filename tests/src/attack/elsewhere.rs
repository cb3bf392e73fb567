//! Whoever attacks does so from a machine of its own: here on a thread that gets what the others leave of
//! this one.

use std::future::Future;
use std::thread;

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

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

/// Lets all others go first, at once: a thread that is merely nice may go on for a whole slice of some
/// milliseconds after another has been woken (sched(7)).
fn give_way() {
    let parameter = libc::sched_param { sched_priority: 0 };
    #[expect(
        unsafe_code,
        reason = "sched_setscheduler(2) has no safe wrapper in std"
    )]
    // SAFETY: reads the parameter alone, and fails without harm; 0 is this thread.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter);
    }
}
