//! One heavy test at a time: two of them on a small machine would measure each other.

use tokio::sync::{Semaphore, SemaphorePermit};

static TURNS: Semaphore = Semaphore::const_new(1);

/// Waits for this test's turn; it lasts until the permit is dropped.
///
/// # Panics
/// Never: the semaphore is not closed.
#[expect(clippy::expect_used, reason = "nobody closes it")]
pub async fn turn() -> SemaphorePermit<'static> {
    TURNS.acquire().await.expect("never closed")
}
