//! What a gateway does by itself: resume after doubt, audit, sweep, move connections, show how it is.

mod about;
mod audit;
mod drain;
mod moving;
mod renewed;
mod resume;
mod revoked;
mod roll_calls;

use std::{sync::Arc, time::Duration};

use carillon_common::{backend::Backend, process::show_condition};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{parts::Gateway, routing::Bus};

/// How often channels that nobody is on any more are looked for.
const SWEPT_EVERY: Duration = Duration::from_secs(5);
/// How often what waits for connections is looked at, which takes a look at each of them.
const LOOKED_EVERY: Duration = Duration::from_secs(5);

/// Starts it all; it ends when the gateway is over.
pub(crate) fn start(gateway: &Arc<Gateway>, bus: &Arc<Bus>, backend: &Arc<dyn Backend>) {
    spawn(
        gateway,
        resume::resume_when_dirty(gateway.clone(), bus.clone()),
    );
    spawn(
        gateway,
        drain::leave_when_asked(gateway.clone(), bus.clone()),
    );
    let most_users = bus.most_users.subscribe();
    spawn(
        gateway,
        moving::rebalance_when_asked(gateway.clone(), most_users),
    );
    spawn(
        gateway,
        roll_calls::answer_roll_calls(gateway.clone(), bus.clone()),
    );
    spawn(gateway, drain::show_draining(gateway.clone()));
    spawn(gateway, about::show(gateway.clone()));
    spawn(gateway, revoked::close_with_their_keys(gateway.clone()));
    spawn(gateway, revoked::close_with_their_tokens(gateway.clone()));
    spawn(gateway, renewed::follow(gateway.clone()));
    spawn(gateway, audit::audit(gateway.clone()));
    spawn(gateway, sweep(gateway.clone()));
    spawn(gateway, show_load(gateway.clone()));
    let (health, backend) = (gateway.health.clone(), backend.clone());
    spawn(gateway, async move {
        show_condition(&*backend, &health).await;
    });
}

fn spawn(gateway: &Arc<Gateway>, task: impl Future<Output = ()> + Send + 'static) {
    let over = gateway.over.clone();
    gateway.tasks.spawn(async move {
        tokio::select! {
            () = over.cancelled() => {}
            () = task => {}
        }
    });
}

async fn sweep(gateway: Arc<Gateway>) {
    let mut tick = interval(SWEPT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        gateway.channels.sweep().await;
    }
}

/// Counts what waits for connections, and what they are on.
async fn show_load(gateway: Arc<Gateway>) {
    let mut tick = interval(LOOKED_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let metrics = &gateway.metrics;
        metrics.busiest.rotate(Instant::now());
        metrics.waiting(gateway.hub.waiting(), gateway.hub.outbox_bytes());
        let (channels, subscriptions) = gateway.channels.sizes();
        metrics.followed(channels, subscriptions);
    }
}
