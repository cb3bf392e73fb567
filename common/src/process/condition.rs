//! Shows in readiness, and to the service manager, what is wrong with the store.

use std::time::Duration;

use tokio::time::sleep;

use super::supervisor::tell_status;
use crate::{backend::Backend, http::Health};

/// How often the store is asked how it is.
const INTERVAL: Duration = Duration::from_secs(1);

/// Passes on what is wrong with the store to whoever asks the admin port, or `systemctl status`; never
/// ends.
pub async fn show_condition(backend: &dyn Backend, health: &Health) {
    let mut shown = String::new();
    loop {
        let wrong = backend.degraded().join("; ");
        if wrong.is_empty() {
            health.clear_degraded("backend");
        } else {
            health.set_degraded("backend", wrong.clone());
        }
        if wrong != shown && !health.is_draining() {
            tell_status(match wrong.as_str() {
                "" => "ready",
                wrong => wrong,
            });
            shown = wrong;
        }
        sleep(INTERVAL).await;
    }
}
