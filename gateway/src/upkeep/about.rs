//! What a gateway tells the deployment of itself, for operators.

use std::sync::Arc;

use carillon_common::backend::AboutGateway;
use tokio::time::{MissedTickBehavior, interval};

use crate::parts::Gateway;

/// Repeated with the lease, because what it told expires with one.
pub(super) async fn show(gateway: Arc<Gateway>) {
    let mut tick = interval(gateway.settings.lease.renew);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let about = AboutGateway {
            connections: gateway.connections() as u64,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        // What fails is tried again with the next tick.
        drop(gateway.membership.show(&about).await);
    }
}
