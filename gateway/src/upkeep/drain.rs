//! A gateway that leaves: because it was asked to, or is cut off from its store.

use std::{sync::Arc, time::Duration};

use carillon_common::protocol::CloseCode;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{parts::Gateway, routing::Bus};

/// How often a gateway that drains says so, at least.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn leave_when_asked(gateway: Arc<Gateway>, bus: Arc<Bus>) {
    loop {
        bus.leave.notified().await;
        if bus.is_isolated() {
            // The store may be back before anybody else could take the connections.
            tracing::warn!("cut off from the store for too long: closing every connection");
            gateway.drain(CloseCode::Rebalance).await;
        } else if !gateway.health.is_draining() {
            empty(&gateway).await;
        }
    }
}

/// As an operator asks: not ready, so that nobody is sent here any more; then nobody is let in, and
/// whoever is there moves. The process stays for whoever asked to end it.
async fn empty(gateway: &Gateway) {
    let delay = gateway.settings.drain.asked_delay;
    gateway.health.set_draining();
    gateway.metrics.all.draining.set(1);
    tracing::info!(
        connections = gateway.connections(),
        ?delay,
        "draining, as it was asked to; clients are let in for the delay, until whoever routes here has \
         heard of it"
    );
    sleep(delay).await;
    gateway.admission.close();
    gateway.drain(CloseCode::Draining).await;
    tracing::info!("drained; it stays, and takes no connection until it is restarted");
}

/// Tells the deployment that this gateway drains, whatever the reason. Repeated, because what it told
/// expires, and is lost with a lost lease.
pub(super) async fn show_draining(gateway: Arc<Gateway>) {
    let mut tick = interval(gateway.settings.lease.renew.min(SHOWN_EVERY));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if gateway.health.is_draining() {
            // What fails is tried again with the next tick.
            let accepting = !gateway.admission.is_closed();
            drop(gateway.membership.show_draining(accepting).await);
        }
    }
}
