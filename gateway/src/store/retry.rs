//! Calls to the store that fail for now are tried again.

use std::time::Duration;

use carillon_common::{backend::BackendError, retry::pauses};
use tokio::time::sleep;

/// The longest first pause, and the longest of all.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Tries a call until the store answers it; `None` when the connection that waits for it has `ended`.
pub(super) async fn retry<T, F>(
    ended: impl Fn() -> bool,
    mut call: impl FnMut() -> F,
) -> Option<Result<T, BackendError>>
where
    F: Future<Output = Result<T, BackendError>>,
{
    for pause in pauses(PAUSES.0, PAUSES.1) {
        match call().await {
            Err(error) if error.is_retryable() => sleep(pause).await,
            result => return Some(result),
        }
        if ended() {
            break;
        }
    }
    None
}
