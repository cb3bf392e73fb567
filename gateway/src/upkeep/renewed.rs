//! Settings that have changed are gone by.

use std::sync::Arc;

use carillon_common::settings::Settings;

use crate::parts::Gateway;

/// Goes by each change; the first may have come before anybody listened.
pub(super) async fn follow(gateway: Arc<Gateway>) {
    let mut changes = gateway.live.changes();
    loop {
        let settings: Arc<Settings> = Arc::clone(&gateway.live.current());
        gateway.renew(&settings);
        if changes.changed().await.is_err() {
            return;
        }
    }
}
