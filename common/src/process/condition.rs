//! Shows in readiness what is wrong with the store.

use std::time::Duration;

use tokio::time::sleep;

use crate::{backend::Backend, http::Health};

/// How often the store is asked how it is.
const INTERVAL: Duration = Duration::from_secs(1);

/// Passes on what is wrong with the store to whoever asks the admin port; never ends.
pub async fn show_condition(backend: &dyn Backend, health: &Health) {
    loop {
        match backend.degraded() {
            wrong if wrong.is_empty() => health.clear_degraded("backend"),
            wrong => health.set_degraded("backend", wrong.join("; ")),
        }
        sleep(INTERVAL).await;
    }
}
