//! The store as a gateway uses it: its lease, its connections, what it hears on the bus.

mod channels;
mod connections;
mod subscriptions;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bus::{Bus, BusMessage, BusSettings, DirtyReason},
    calls::{LeaseDrop, number, word},
    keys::Keys,
    lease,
    lease_tasks::{self, HeldLease},
    shared::Shared,
    wire,
};
use crate::{
    backend::{AboutGateway, BackendError, BusEvent, BusSink, Channels, Lease, Roll},
    ids::{ChannelName, GatewayId},
};

/// A gateway's place in the deployment.
pub(super) struct RedisMembership {
    lease: Arc<HeldLease>,
    stop: CancellationToken,
    tasks: TaskTracker,
    left: AtomicBool,
}

impl RedisMembership {
    pub(super) async fn join(
        shared: Arc<Shared>,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<Self>, BackendError> {
        let control = Arc::new(Notify::new());
        let bus = listen(&shared, sink.clone(), control.clone());
        let lease = HeldLease::take(shared, gateway, sink, bus, control).await?;
        let HeldLease {
            shared,
            gateway,
            bus,
            ..
        } = &*lease;
        let after = lease_tasks::last_control(shared, gateway).await?;
        let hints = (0..shared.keys.partitions()).map(|partition| {
            bus.subscribe(partition, shared.keys.gateway_channel(partition, gateway))
        });
        try_join_all(hints).await?;
        let membership = Arc::new(Self {
            lease,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            left: AtomicBool::new(false),
        });
        membership.follow(&ChannelName::broadcast()).await?;
        membership.reap_own_past().await?;
        membership.start(lease_tasks::renew);
        membership.start(lease_tasks::resume_after_loss);
        membership.start(lease_tasks::reap_others);
        membership.start(move |lease| lease_tasks::handle_control(lease, after));
        Ok(membership)
    }

    /// Starts a task that ends with the membership.
    fn start<F>(&self, task: impl FnOnce(Arc<HeldLease>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let task = task(self.lease.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    async fn reap_own_past(&self) -> Result<(), BackendError> {
        let HeldLease {
            shared, gateway, ..
        } = &*self.lease;
        let mine = self.lease.generation();
        let (live, ended) = lease::read_leases(shared).await?;
        for (name, generation) in live.into_iter().chain(ended) {
            if name == gateway.as_str() && generation < mine {
                lease::reap(shared, &name, generation).await?;
            }
        }
        Ok(())
    }
}

impl Drop for RedisMembership {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Lease for RedisMembership {
    fn generation(&self) -> u64 {
        self.lease.generation()
    }

    async fn show_draining(&self, accepting: bool) -> Result<(), BackendError> {
        let HeldLease {
            shared, gateway, ..
        } = &*self.lease;
        lease::show_draining(shared, gateway, self.lease.generation(), accepting).await
    }

    async fn show(&self, about: &AboutGateway) -> Result<(), BackendError> {
        let HeldLease {
            shared, gateway, ..
        } = &*self.lease;
        lease::show(shared, gateway, self.lease.generation(), about).await
    }

    async fn answer(&self, to: &str, roll: &Roll) -> Result<(), BackendError> {
        self.lease.shared.answer(to, roll).await
    }

    async fn leave(&self) -> Result<(), BackendError> {
        if self.left.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let HeldLease {
            shared,
            gateway,
            bus,
            ..
        } = &*self.lease;
        let generation = self.lease.generation();
        lease::reap(shared, gateway.as_str(), generation).await?;
        let give_up = LeaseDrop {
            lease: &shared.keys.lease(gateway),
            gateways: &shared.keys.gateways(),
            gateway: word(gateway.as_str()),
            generation: number(generation),
        };
        shared.call(Keys::HOME, give_up).await?;
        bus.close().await;
        Ok(())
    }
}

/// Connects the bus to the sink.
fn listen(shared: &Arc<Shared>, sink: Arc<dyn BusSink>, control: Arc<Notify>) -> Bus {
    let (probe_interval, probe_deadline) = shared.options.probe;
    let settings = BusSettings {
        prefix: shared.options.prefix.clone(),
        probe_interval,
        probe_deadline,
        ..BusSettings::default()
    };
    let on_message = move |message: BusMessage| match message {
        BusMessage::Message { payload, .. }
            if payload.starts_with(wire::CONTROL_HINT.as_bytes()) =>
        {
            control.notify_one()
        }
        BusMessage::Message { payload, .. } => match wire::hint(&payload) {
            Some(event) => sink.on_bus(event),
            // Of a later version, or a foreign hand's: the inbox is the truth.
            None => tracing::warn!("a hint that cannot be read"),
        },
        BusMessage::Dirty {
            primary, reason, ..
        } => {
            tracing::warn!(%primary, ?reason, "the bus was interrupted");
            sink.on_bus(BusEvent::Dirty {
                reason: dirty_reason(reason),
            });
        }
    };
    Bus::start(shared.link.clone(), settings, Arc::new(on_message))
}

fn dirty_reason(reason: DirtyReason) -> &'static str {
    match reason {
        DirtyReason::Disconnected => "bus_disconnected",
        DirtyReason::PingFailed => "bus_ping_failed",
        DirtyReason::ProbeLost => "bus_probe_lost",
        DirtyReason::Unsubscribed => "bus_unsubscribed",
        DirtyReason::Moved => "bus_moved",
    }
}
