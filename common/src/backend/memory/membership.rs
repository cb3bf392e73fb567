//! A gateway's membership in this process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{presence::Entry, rules::millis, store::Store};
use crate::{
    backend::{
        AboutGateway, Ack, AuditAnswer, AuditQuestion, BackendError, BusEvent, BusSink, Channels,
        Claimed, Connections, Departure, Device, Holder, LEASE_LOST, Lease, Page, Registered,
        Registration, Roll, Subscription, Subscriptions,
    },
    ids::{ChannelName, Cursor, GatewayId, SessionId, UserId},
};

/// The lease holds for as long as this lives, and `lease_ttl` longer.
pub(super) struct MemoryMembership {
    lease: Arc<HeldLease>,
    renewal: JoinHandle<()>,
}

struct HeldLease {
    store: Arc<Store>,
    gateway: GatewayId,
    generation: AtomicU64,
    sink: Arc<dyn BusSink>,
}

impl MemoryMembership {
    pub(super) fn join(store: Arc<Store>, gateway: GatewayId, sink: Arc<dyn BusSink>) -> Self {
        let generation = AtomicU64::new(store.join(&gateway, Arc::clone(&sink)));
        let lease = Arc::new(HeldLease {
            store,
            gateway,
            generation,
            sink,
        });
        let renewal = tokio::spawn(Arc::clone(&lease).renew());
        Self { lease, renewal }
    }

    fn store(&self) -> &Store {
        &self.lease.store
    }
}

impl HeldLease {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Until it is aborted: takes a new lease when it has lost its own, and tends the store.
    async fn renew(self: Arc<Self>) {
        let period = self.store.limits.lease_renew;
        let mut ticks = tokio::time::interval(period.max(std::time::Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            let lost = self.generation();
            if let Some(new) = self.store.renew(&self.gateway, lost, &self.sink) {
                self.generation.store(new, Ordering::Release);
                self.sink.on_bus(BusEvent::Dirty { reason: LEASE_LOST });
            }
            self.store.tend();
        }
    }
}

impl Drop for MemoryMembership {
    fn drop(&mut self) {
        self.renewal.abort();
        let store = self.store();
        let ends = store.clock.now() + millis(store.limits.lease_ttl);
        store.abandon(&self.lease.gateway, self.lease.generation(), ends);
    }
}

#[async_trait]
impl Lease for MemoryMembership {
    fn generation(&self) -> u64 {
        self.lease.generation()
    }

    async fn show_draining(&self, accepting: bool) -> Result<(), BackendError> {
        self.store()
            .show_draining(&self.lease.gateway, self.lease.generation(), accepting);
        Ok(())
    }

    async fn show(&self, about: &AboutGateway) -> Result<(), BackendError> {
        let generation = self.lease.generation();
        self.store()
            .show(&self.lease.gateway, generation, about.clone());
        Ok(())
    }

    async fn answer(&self, to: &str, roll: &Roll) -> Result<(), BackendError> {
        self.store().answers.add(to, roll.clone());
        Ok(())
    }

    async fn leave(&self) -> Result<(), BackendError> {
        self.renewal.abort();
        self.store()
            .leave(&self.lease.gateway, self.lease.generation());
        Ok(())
    }
}

#[async_trait]
impl Connections for MemoryMembership {
    async fn register(&self, registration: &Registration) -> Result<Registered, BackendError> {
        let (gateway, generation) = (&self.lease.gateway, self.lease.generation());
        self.store().with_user(&registration.user, |user, cx| {
            // Nobody would ever reap it.
            if !cx.leases.is_member(gateway) {
                return Err(BackendError::Unavailable("this gateway has left".into()));
            }
            user.register(registration, gateway, generation, cx)
        })
    }

    async fn unregister(&self, departure: &Departure) -> Result<(), BackendError> {
        self.store().with_known_user(&departure.user, |user, cx| {
            if let Some(user) = user {
                user.unregister(departure, cx);
            }
        });
        Ok(())
    }

    async fn read(
        &self,
        user: &UserId,
        device: &Device,
        after: Cursor,
    ) -> Result<Page, BackendError> {
        Ok(self.store().with_known_user(user, |user, cx| match user {
            Some(user) => user.read(device, after, cx),
            None => Page::of_nothing(after),
        }))
    }

    async fn ack(&self, ack: &Ack) -> Result<(), BackendError> {
        self.store().with_known_user(&ack.user, |user, cx| {
            if let Some(user) = user {
                user.ack(ack, cx);
            }
        });
        Ok(())
    }

    async fn audit(&self, questions: &[AuditQuestion]) -> Result<Vec<AuditAnswer>, BackendError> {
        let (gateway, generation) = (&self.lease.gateway, self.lease.generation());
        let answer = |question: &AuditQuestion| {
            let AuditQuestion {
                user,
                device,
                session,
            } = question;
            self.store().with_known_user(user, |user, _| AuditAnswer {
                last: user.as_ref().map_or(Cursor::ZERO, |user| user.chain.last()),
                registered: user
                    .is_some_and(|user| user.is_registered(device, session, gateway, generation)),
            })
        };
        Ok(questions.iter().map(answer).collect())
    }

    async fn registered(&self) -> Result<Vec<UserId>, BackendError> {
        Ok(self
            .store()
            .registered(&self.lease.gateway, self.lease.generation()))
    }

    async fn release(&self, user: &UserId, held: &[u64]) -> Result<u64, BackendError> {
        let (gateway, generation) = (&self.lease.gateway, self.lease.generation());
        Ok(self.store().with_known_user(user, |user, cx| {
            let strays = |entry: &Entry| {
                entry.gateway == *gateway
                    && entry.generation == generation
                    && !held.contains(&entry.fence)
            };
            user.map_or(0, |user| user.reap(strays, cx))
        }))
    }
}

#[async_trait]
impl Channels for MemoryMembership {
    async fn follow(&self, channel: &ChannelName) -> Result<Cursor, BackendError> {
        self.store().with_channel(channel, |channel, cx| {
            Ok(channel.follow(&self.lease.gateway, cx))
        })
    }

    async fn unfollow(&self, channel: &ChannelName) -> Result<(), BackendError> {
        self.store().with_known_channel(channel, |channel, _| {
            if let Some(channel) = channel {
                channel.unfollow(&self.lease.gateway);
            }
        });
        Ok(())
    }

    async fn log_ends(&self, channels: &[ChannelName]) -> Result<Vec<Cursor>, BackendError> {
        let end = |name: &ChannelName| {
            self.store().with_known_channel(name, |channel, cx| {
                channel.map_or(Cursor::ZERO, |channel| channel.last(cx.now))
            })
        };
        Ok(channels.iter().map(end).collect())
    }

    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError> {
        Ok(self.store().history(channel, after, u32::MAX))
    }
}

#[async_trait]
impl Subscriptions for MemoryMembership {
    async fn keep_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        subscription: &Subscription,
        asked: bool,
    ) -> Result<(), BackendError> {
        self.store().with_user(user, |user, cx| {
            user.touched = cx.now;
            user.kept.prune(cx.now - millis(cx.limits.restore));
            let (asked, most) = (asked.then_some(cx.now), cx.limits.kept);
            user.kept.keep(holder, subscription, asked, most)
        })
    }

    async fn drop_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
    ) -> Result<(), BackendError> {
        self.store().with_known_user(user, |user, _| {
            if let Some(user) = user {
                user.kept.forget(holder, channel);
            }
        });
        Ok(())
    }

    async fn claim_subscriptions(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Claimed, BackendError> {
        Ok(self.store().with_known_user(user, |user, cx| match user {
            Some(user) => {
                user.prune(cx);
                user.kept.claim(session)
            }
            None => Claimed::default(),
        }))
    }
}
