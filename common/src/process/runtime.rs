//! The runtime of a program, which gives back to the system the memory that it does not need any more.

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

/// How often a thread looks for such memory, at most.
const EVERY: Duration = Duration::from_secs(2);

/// A runtime of as many threads as there are processors.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(give_back)
        .build()
}

/// mimalloc keeps what another thread has freed until its own thread asks for more of that size: after many
/// slow readers have gone, a process that is idle would keep all that had waited for them.
fn give_back() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now - last >= EVERY) {
        LAST.set(Some(now));
        #[expect(unsafe_code, reason = "the allocator's own call")]
        // SAFETY: may be called at any time, of any thread.
        unsafe {
            libmimalloc_sys::mi_collect(false);
        }
    }
}
