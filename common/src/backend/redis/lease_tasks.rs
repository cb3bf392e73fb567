//! What a gateway does by itself as long as it holds its lease: it renews it, reaps gateways that died, and
//! handles control messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Value;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    bus::Bus,
    calls::{LeaseRenew, number, word},
    keys::Keys,
    lease,
    shared::Shared,
};
use crate::{
    backend::{BackendError, BusEvent, BusSink, Control, LEASE_LOST},
    ids::GatewayId,
};

/// How often a gateway looks for control messages without a hint.
const CONTROL_POLL: Duration = Duration::from_secs(1);
/// How many of them it reads at once.
const CONTROL_PAGE: usize = 100;

/// A lease, and what its gateway works with.
pub(super) struct HeldLease {
    pub(super) shared: Arc<Shared>,
    pub(super) gateway: GatewayId,
    generation: AtomicU64,
    pub(super) sink: Arc<dyn BusSink>,
    pub(super) bus: Bus,
    /// Somebody has left a control message.
    control: Arc<Notify>,
}

impl HeldLease {
    /// Takes a lease of a new generation.
    pub(super) async fn take(
        shared: Arc<Shared>,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
        bus: Bus,
        control: Arc<Notify>,
    ) -> Result<Arc<Self>, BackendError> {
        let generation = lease::take_lease(&shared, &gateway).await?;
        Ok(Arc::new(Self {
            shared,
            gateway,
            generation: AtomicU64::new(generation),
            sink,
            bus,
            control,
        }))
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The key of a generation's users in a partition.
    pub(super) fn sessions(&self, partition: u16, generation: u64) -> String {
        let keys = &self.shared.keys;
        keys.sessions(partition, self.gateway.as_str(), generation)
    }

    /// How the places of a generation's connections begin.
    pub(super) fn place(&self, generation: u64) -> String {
        format!("{}|{generation}|", self.gateway)
    }

    async fn renew_once(&self) -> Result<(), BackendError> {
        let shared = &self.shared;
        let renew = LeaseRenew {
            lease: &shared.keys.lease(&self.gateway),
            gateways: &shared.keys.gateways(),
            gateway: word(self.gateway.as_str()),
            generation: number(self.generation()),
            ttl_ms: number(shared.options.limits.lease_ttl.as_millis()),
        };
        match shared.call(Keys::HOME, renew).await? {
            Value::Int(1) => Ok(()),
            _ => self.take_another().await,
        }
    }

    async fn take_another(&self) -> Result<(), BackendError> {
        let generation = lease::take_lease(&self.shared, &self.gateway).await?;
        self.generation.store(generation, Ordering::Release);
        tracing::warn!(gateway = %self.gateway, generation, "the lease had ended; took a new one");
        self.sink.on_bus(BusEvent::Dirty { reason: LEASE_LOST });
        Ok(())
    }

    /// The control messages after a position, by their own.
    async fn control_messages(
        &self,
        after: &str,
    ) -> Result<Vec<(String, Vec<String>)>, BackendError> {
        let key = self.shared.keys.control(&self.gateway);
        let mut news = redis::cmd("XRANGE");
        news.arg(key).arg(format!("({after}"));
        news.arg("+").arg("COUNT").arg(CONTROL_PAGE);
        Ok(self.shared.link.call(Keys::HOME, &news).await?)
    }
}

/// Keeps the lease; a lost one is replaced by one of a new generation.
pub(super) async fn renew(lease: Arc<HeldLease>) {
    let (shared, limits) = (&lease.shared, &lease.shared.options.limits);
    let deadline = limits.isolation_deadline;
    let mut renewed = Instant::now();
    let mut isolated = false;
    loop {
        // Often while it fails: the first success matters.
        let mut pause = limits.lease_renew;
        match lease.renew_once().await {
            Ok(()) => {
                renewed = Instant::now();
                isolated = false;
                shared.set_wrong("lease", None);
            }
            Err(error) => {
                pause = (limits.lease_renew / 5).min(Duration::from_secs(1));
                let wrong = format!("the lease cannot be renewed: {error}");
                shared.set_wrong("lease", Some(wrong));
                if !isolated && !deadline.is_zero() && renewed.elapsed() >= deadline {
                    isolated = true;
                    lease.sink.on_bus(BusEvent::Isolated);
                }
            }
        }
        let silent = (!lease.bus.healthy()).then(|| "the bus is not connected".to_owned());
        shared.set_wrong("bus", silent);
        sleep(pause).await;
    }
}

/// Reaps gateways whose lease has ended.
pub(super) async fn reap_others(lease: Arc<HeldLease>) {
    let (shared, pause) = (&lease.shared, lease.shared.options.limits.lease_renew);
    loop {
        // Jittered, so that the gateways do not look at the same moment.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        let Ok((_, ended)) = lease::read_leases(shared).await else {
            continue;
        };
        for (gateway, generation) in ended {
            match lease::reap(shared, &gateway, generation).await {
                Ok(Some(users)) => {
                    tracing::warn!(
                        gateway,
                        generation,
                        users,
                        "reaped a gateway whose lease ended"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(gateway, generation, %error, "reaping goes on later"),
            }
        }
    }
}

/// Has every connection resumed when a part of the store went back: who may miss something is told.
pub(super) async fn resume_after_loss(lease: Arc<HeldLease>) {
    let mut losses = lease.shared.histories.losses();
    while losses.changed().await.is_ok() {
        lease.sink.on_bus(BusEvent::Dirty { reason: "rewound" });
    }
}

/// Up to where the control messages for a gateway are of its past.
pub(super) async fn last_control(
    shared: &Shared,
    gateway: &GatewayId,
) -> Result<String, BackendError> {
    let mut newest = redis::cmd("XREVRANGE");
    newest.arg(shared.keys.control(gateway)).arg("+").arg("-");
    newest.arg("COUNT").arg(1);
    let entries: Vec<(String, Value)> = shared.link.call(Keys::HOME, &newest).await?;
    let newest = entries.into_iter().next().map(|(id, _)| id);
    Ok(newest.unwrap_or_else(|| "0-0".to_owned()))
}

/// Handles control messages for this gateway, each once.
pub(super) async fn handle_control(lease: Arc<HeldLease>, mut after: String) {
    let mut more = false;
    loop {
        if !more
            && timeout(CONTROL_POLL, lease.control.notified())
                .await
                .is_ok()
        {
            // The hint says that there is something, not what.
            lease.shared.revoked.stale.notify_one();
        }
        let Ok(messages) = lease.control_messages(&after).await else {
            more = false;
            continue;
        };
        more = messages.len() == CONTROL_PAGE;
        for (id, fields) in messages {
            after = id;
            let text = fields.get(1);
            match text.and_then(|text| serde_json::from_str::<Control>(text).ok()) {
                Some(control) => lease.sink.on_bus(BusEvent::Control(control)),
                None => tracing::warn!("a control message that this gateway does not understand"),
            }
        }
    }
}
