//! The in-memory store: one process, the same semantics, bounded.
//!
//! `rules` holds the decisions and nothing else; `user` and `channel` carry them out on one user
//! or channel; `store` puts those behind locks; `membership` is what a gateway holds; `tokens` is apart from all that.

mod answers;
mod assigned;
mod budget;
mod chain;
mod channel;
mod dedup;
mod inbox;
mod lease;
mod lending;
mod membership;
mod presence;
mod reading;
mod rules;
mod scheduled;
mod store;
mod subscriptions;
mod tokens;
mod user;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    backend::{
        Ask, Backend, BackendError, BusEvent, BusSink, Clock, Control, Gap, Lent, Limits,
        LiveGateway, Membership, Page, Presence, PublishOrder, Published, RollCall, Rolls,
        SendOrder, Sent,
    },
    ids::{ChannelName, Cursor, GatewayId, Millis, UserId},
    telemetry::Collector,
};
use lending::Lending;
use membership::MemoryMembership;
pub use rules::Reader;
use store::Store;
use tokens::KeptTokens;
pub use user::Left;
use user::{Context, User};

/// How often it is looked for what gateways have answered.
const ANSWERS_LOOKED_FOR: Duration = Duration::from_millis(2);

/// How much the store takes; beyond it says [`BackendError::StoreFull`].
#[derive(Debug, Clone)]
pub struct MemoryBounds {
    /// Stored notifications and idempotency keys, in bytes, with what keeping them costs.
    pub bytes: u64,
    /// Users that are remembered.
    pub users: u64,
    /// Channels that have a log or are followed.
    pub channels: u64,
}

impl Default for MemoryBounds {
    /// 512 MiB, a million users, a hundred thousand channels.
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            users: 1_000_000,
            channels: 100_000,
        }
    }
}

/// The store of a single process. Gateways of the same process may share it.
pub struct MemoryBackend {
    store: Arc<Store>,
    /// Who has which duty, and until when.
    duties: Mutex<HashMap<String, (String, Millis)>>,
    lending: Mutex<Lending>,
    tokens: KeptTokens,
}

impl MemoryBackend {
    /// An empty store.
    pub fn new(limits: Limits, bounds: MemoryBounds) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::new(Store::new(limits, &bounds)),
            duties: Mutex::default(),
            lending: Mutex::default(),
            tokens: KeptTokens::default(),
        })
    }

    /// Ends a gateway's lease though it lives, as a store does that stood still for too long. The
    /// gateway finds out when it next renews.
    pub fn lose_lease(&self, gateway: &GatewayId) {
        self.store.lose_lease(gateway);
    }

    /// The user's positions that left without being delivered, oldest first; bounded.
    pub fn left(&self, user: &UserId) -> Vec<Left> {
        self.store.with_known_user(user, |user, _| {
            user.map(|user| user.left().cloned().collect())
                .unwrap_or_default()
        })
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        if let Some(due) = order.due {
            let keep = |user: &mut User, cx: &Context<'_>| user.schedule(order, due, cx);
            return self.store.with_user(&order.user, keep);
        }
        if order.ttl.is_zero() {
            return Ok(self.store.with_known_user(&order.user, |user, cx| {
                inbox::send_ephemeral(user.as_deref(), order, cx)
            }));
        }
        self.store
            .with_user(&order.user, |user, cx| user.send(order, nonce(), cx))
    }

    async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError> {
        self.store.with_channel(&order.channel, |channel, cx| {
            channel.publish(order, nonce(), cx)
        })
    }

    async fn online_count(&self) -> Result<u64, BackendError> {
        Ok(self.store.online())
    }

    async fn presence(&self, user: &UserId) -> Result<Vec<Presence>, BackendError> {
        Ok(self.store.with_known_user(user, |user, cx| {
            user.map(|user| user.present(cx)).unwrap_or_default()
        }))
    }

    async fn history(
        &self,
        channel: &ChannelName,
        after: Cursor,
        limit: u32,
    ) -> Result<Page, BackendError> {
        Ok(self.store.history(channel, after, limit))
    }

    async fn followed(&self) -> Result<Arc<[ChannelName]>, BackendError> {
        Ok(self.store.followed().into())
    }

    async fn roll_call(&self, call: &RollCall, within: Duration) -> Result<Rolls, BackendError> {
        let deadline = Instant::now() + within;
        let open = self.store.answers.open();
        let question = BusEvent::Control(Control::RollCall {
            answer_to: open.name.as_str().into(),
            call: call.clone(),
        });
        let asked = self.store.with_leases(|leases, now| {
            let live = leases.live(now);
            for gateway in &live {
                leases.tell(&gateway.name, question.clone());
            }
            live.len()
        });
        while open.count() < asked && Instant::now() + ANSWERS_LOOKED_FOR < deadline {
            sleep(ANSWERS_LOOKED_FOR).await;
        }
        Ok(Rolls {
            asked,
            answers: open.so_far(),
        })
    }

    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError> {
        self.store
            .with_leases(|leases, _| leases.tell(gateway, BusEvent::Control(control.clone())));
        Ok(())
    }

    async fn hold(&self, duty: &str, holder: &str, for_: Duration) -> Result<bool, BackendError> {
        let now = self.clock().now();
        let mut duties = self.duties.lock();
        let held = duties.get(duty).filter(|(_, until)| *until > now);
        if held.is_some_and(|(other, _)| other != holder) {
            return Ok(false);
        }
        let until = now + Millis::try_from(for_.as_millis()).unwrap_or(Millis::MAX / 2);
        duties.insert(duty.to_owned(), (holder.to_owned(), until));
        Ok(true)
    }

    async fn lend(&self, asks: &[Ask]) -> Result<Vec<Lent>, BackendError> {
        let now = self.clock().now();
        let mut lending = self.lending.lock();
        Ok(asks.iter().map(|ask| lending.lend(ask, now)).collect())
    }

    async fn borrowers(&self, borrower: &str, for_: Duration) -> Result<u32, BackendError> {
        let now = self.clock().now();
        Ok(self.lending.lock().note(borrower, for_, now))
    }

    async fn gateways(&self) -> Result<Vec<LiveGateway>, BackendError> {
        let mut live = self.store.with_leases(|leases, now| leases.live(now));
        for gateway in &mut live {
            let registered = self.store.registered(&gateway.name, gateway.generation);
            let users = registered.iter().filter(|user| !user.is_canary());
            gateway.users = users.count() as u64;
        }
        Ok(live)
    }

    async fn reap(&self, gateway: &GatewayId, until: Millis) -> Result<bool, BackendError> {
        let until = u64::try_from(until).unwrap_or_default();
        Ok(self.store.reap_dead(gateway, until))
    }

    async fn join(
        &self,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<dyn Membership>, BackendError> {
        let store = Arc::clone(&self.store);
        Ok(Arc::new(MemoryMembership::join(store, gateway, sink)))
    }

    fn clock(&self) -> Clock {
        self.store.clock.clone()
    }

    fn degraded(&self) -> Vec<String> {
        let store = &self.store;
        [&store.bytes, &store.user_places, &store.channel_places]
            .into_iter()
            .filter_map(|budget| budget.warning())
            .collect()
    }

    fn metrics(&self) -> Vec<Box<dyn Collector>> {
        self.store.metrics.collectors()
    }
}

impl Page {
    /// Of an inbox or log without any history, when what follows `after` was asked for.
    fn of_nothing(after: Cursor) -> Self {
        Self {
            start: Cursor::ZERO,
            frames: Vec::new(),
            end: Cursor::ZERO,
            more: false,
            gap: (after != Cursor::ZERO).then_some(Gap::Expired),
        }
    }
}

/// Never zero: that is the nonce of [`Cursor::ZERO`] alone.
fn nonce() -> u32 {
    rand::random_range(1..=u32::MAX)
}

#[cfg(test)]
mod tests;
