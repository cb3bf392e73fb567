//! What a gateway does by itself: resume after doubt, audit, sweep, show how it is.

mod moving;

use std::{sync::Arc, time::Duration};

use carillon_common::{
    backend::{AuditAnswer, AuditQuestion, Backend},
    ids::UserId,
    process::show_condition,
    protocol::CloseCode,
};
use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{gateway::Gateway, routing::bus::Bus, routing::hub::Handle, session::Event};

/// Connections resumed per second after doubt: the store has others to serve.
const RESUMED_PER_SECOND: usize = 2_000;
/// Connections asked about in one pipeline.
const AUDITED: usize = 256;
/// In so many parts connections are told that keys went, and so long after each other: none stands idle
/// while all are woken.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Within this, a connection whose token's key went ends; first its client may renew the token.
const REVOKED: Duration = Duration::from_millis(1_200);
/// How often a gateway that drains says so, at least.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// How often what waits for connections is looked at, which takes a look at each of them.
const LOOKED_EVERY: Duration = Duration::from_secs(5);
/// How long a connection that stands behind may take to catch up before it is told to.
pub(crate) const AUDIT_PATIENCE: Duration = Duration::from_secs(1);

/// Starts it all; it ends when the gateway is over.
pub(crate) fn start(gateway: &Arc<Gateway>, bus: &Arc<Bus>, backend: &Arc<dyn Backend>) {
    spawn(gateway, resume_when_dirty(gateway.clone(), bus.clone()));
    spawn(gateway, leave_when_asked(gateway.clone(), bus.clone()));
    let most_users = bus.most_users.subscribe();
    spawn(gateway, rebalance_when_asked(gateway.clone(), most_users));
    spawn(gateway, show_draining(gateway.clone()));
    spawn(gateway, close_revoked(gateway.clone()));
    spawn(gateway, audit(gateway.clone()));
    spawn(gateway, sweep(gateway.clone()));
    spawn(gateway, show_load(gateway.clone()));
    let (health, backend) = (gateway.health().clone(), backend.clone());
    spawn(gateway, async move {
        show_condition(&*backend, &health).await;
    });
}

fn spawn(gateway: &Arc<Gateway>, task: impl Future<Output = ()> + Send + 'static) {
    let over = gateway.over().clone();
    gateway.tasks().spawn(async move {
        tokio::select! {
            () = over.cancelled() => {}
            () = task => {}
        }
    });
}

async fn resume_when_dirty(gateway: Arc<Gateway>, bus: Arc<Bus>) {
    loop {
        bus.dirty.notified().await;
        gateway.channels().repair_all();
        for some in gateway.hub().all().chunks(RESUMED_PER_SECOND / 20) {
            some.iter()
                .for_each(|handle| handle.mailbox.post(Event::Dirty));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        release_strays(&gateway, |_| true).await;
    }
}

/// Ends registrations that no connection here holds, of the users that `concerns` picks.
async fn release_strays(gateway: &Gateway, concerns: impl Fn(&UserId) -> bool) {
    let Ok(mut users) = gateway.membership().registered().await else {
        return;
    };
    users.retain(concerns);
    for some in users.chunks(RESUMED_PER_SECOND / 20) {
        let released = some.iter().map(|user| gateway.calls().release_strays(user));
        // What fails is met again at the next audit.
        drop(join_all(released).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn leave_when_asked(gateway: Arc<Gateway>, bus: Arc<Bus>) {
    loop {
        bus.leave.notified().await;
        if bus.is_isolated() {
            // The store may be back before anybody else could take the connections.
            tracing::warn!("cut off from the store for too long: closing every connection");
            gateway.drain(CloseCode::Rebalance).await;
        } else if !gateway.health().is_draining() {
            empty(&gateway).await;
        }
    }
}

/// As an operator asks: not ready, so that nobody is sent here any more; then nobody is let in, and
/// whoever is there moves. The process stays for whoever asked to end it.
async fn empty(gateway: &Gateway) {
    let delay = gateway.settings().drain.asked_delay;
    gateway.health().set_draining();
    gateway.metrics().all.draining.set(1);
    tracing::info!(
        connections = gateway.connections(),
        ?delay,
        "draining, as it was asked to; clients are let in for the delay, until whoever routes here has \
         heard of it"
    );
    tokio::time::sleep(delay).await;
    gateway.admission().close();
    gateway.drain(CloseCode::Draining).await;
    tracing::info!("drained; it stays, and takes no connection until it is restarted");
}

/// One round after the other; what was said meanwhile is looked at after it, by what is here then.
/// Whoever is on a gateway that drains moves anyway.
async fn rebalance_when_asked(gateway: Arc<Gateway>, mut most_users: watch::Receiver<u64>) {
    while most_users.changed().await.is_ok() {
        let most = *most_users.borrow_and_update();
        if !gateway.health().is_draining() {
            gateway.rebalance(most).await;
        }
    }
}

/// When keys went, has every connection look whether its token's is one of them. Those whose is end one
/// after the other, all of them within two seconds.
async fn close_revoked(gateway: Arc<Gateway>) {
    let mut revocations = gateway.rules().keyring.revocations();
    while revocations.changed().await.is_ok() {
        let all = gateway.hub().all();
        for some in all.chunks(all.len().div_ceil(LOOKS).max(1)) {
            for handle in some {
                let ends_in = REVOKED.mul_f64(rand::random_range(0.3..1.0));
                handle.mailbox.post(Event::Revocation(ends_in));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

/// Shows the deployment that this gateway drains, for whatever reason: it is not to be counted on.
/// Again and again, because that lapses, and goes with a lost lease.
async fn show_draining(gateway: Arc<Gateway>) {
    let mut tick = interval(gateway.settings().lease.renew.min(SHOWN_EVERY));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if gateway.health().is_draining() {
            // What fails is said again with the next tick.
            let accepting = !gateway.admission().is_closed();
            drop(gateway.membership().show_draining(accepting).await);
        }
    }
}

/// Compares where connections stand with what the store holds.
async fn audit(gateway: Arc<Gateway>) {
    let interval = gateway.settings().audit.interval;
    loop {
        // Jittered, so that gateways do not audit together.
        tokio::time::sleep(interval.mul_f64(rand::random_range(0.75..1.25))).await;
        for some in gateway.hub().all().chunks(AUDITED) {
            audit_some(&gateway, some).await;
        }
        gateway.channels().audit().await;
        release_strays(&gateway, |user| gateway.hub().of(user).is_empty()).await;
    }
}

async fn audit_some(gateway: &Gateway, handles: &[Arc<Handle>]) {
    let registered = handles
        .iter()
        .filter(|handle| handle.fence().is_some())
        .cloned()
        .collect();
    let doubtful = compare(gateway, registered).await;
    if doubtful.is_empty() {
        return;
    }
    // What was on its way a moment ago has arrived by now, unless it was lost.
    tokio::time::sleep(AUDIT_PATIENCE).await;
    let handles = doubtful.into_iter().map(|(handle, _)| handle).collect();
    for (handle, answer) in compare(gateway, handles).await {
        if answer.registered {
            handle.mailbox.post(Event::Audit(answer.last));
        } else {
            gateway.metrics().all.audit_repairs.inc();
            handle.mailbox.post(Event::Dirty);
        }
    }
}

/// Those of the connections that do not stand as the store has it.
async fn compare(gateway: &Gateway, handles: Vec<Arc<Handle>>) -> Vec<(Arc<Handle>, AuditAnswer)> {
    let questions: Vec<AuditQuestion> = handles
        .iter()
        .map(|handle| AuditQuestion {
            user: handle.user.clone(),
            device: handle.device.clone(),
            session: handle.session.clone(),
        })
        .collect();
    let Ok(answers) = gateway.membership().audit(&questions).await else {
        return Vec::new();
    };
    let differs = |(handle, answer): &(Arc<Handle>, AuditAnswer)| {
        !answer.registered || answer.last != handle.position()
    };
    handles.into_iter().zip(answers).filter(differs).collect()
}

async fn sweep(gateway: Arc<Gateway>) {
    let mut tick = interval(Duration::from_secs(5));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        gateway.channels().sweep().await;
    }
}

/// Counts what waits for connections, and what they are on.
async fn show_load(gateway: Arc<Gateway>) {
    let mut tick = interval(LOOKED_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let metrics = gateway.metrics();
        metrics.busiest.turn(Instant::now());
        metrics.waiting(gateway.hub().waiting(), gateway.hub().outbox_bytes());
        let (channels, subscriptions) = gateway.channels().sizes();
        metrics.followed(channels, subscriptions);
    }
}
