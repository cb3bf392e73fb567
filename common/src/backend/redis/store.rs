//! The store as a dispatcher uses it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, try_join_all};
use parking_lot::Mutex;
use redis::Value;
use tokio_util::{sync::CancellationToken, sync::DropGuard};

use super::{
    believing::watch_histories,
    functions::Functions,
    keys::Keys,
    lease,
    link::Link,
    logs::Followed,
    membership::RedisMembership,
    revoked,
    shared::{RedisOptions, Shared},
    version, wire, words,
};
use crate::{
    backend::{
        Ask, Backend, BackendError, BusSink, Clock, Control, Lent, LiveGateway, Membership, Page,
        Presence, PublishOrder, Published, RollCall, Rolls, SendOrder, Sent, url::RedisUrl,
    },
    ids::{ChannelName, Cursor, GatewayId, Millis, UserId},
    telemetry::Collector,
};

/// How long a count of who is online is good enough.
const ONLINE_AGE: Duration = Duration::from_secs(1);

/// The store over Redis.
pub struct RedisBackend {
    pub(super) shared: Arc<Shared>,
    /// Who was online, when it was last asked.
    online: Mutex<Option<(Instant, u64)>>,
    followed: Followed,
    _stop: DropGuard,
}

impl RedisBackend {
    /// Connects, loads the functions, and checks that the data is of this layout.
    ///
    /// # Errors
    /// When Redis cannot be reached, refuses what is needed, or holds another number of
    /// partitions.
    pub fn connect(
        url: RedisUrl,
        options: RedisOptions,
    ) -> BoxFuture<'static, Result<Arc<Self>, BackendError>> {
        Box::pin(Self::connected(url, options))
    }

    async fn connected(url: RedisUrl, options: RedisOptions) -> Result<Arc<Self>, BackendError> {
        let link = Link::connect(url, options.link.clone()).await?;
        let shared = Arc::new(Shared::new(link, options));
        // A user that may not load functions has them loaded by an operator, or uses scripts.
        if let Err(error) = shared.functions.load_all(&shared.link).await {
            tracing::debug!(%error, "the functions were not loaded at start");
        }
        check_partitions(&shared).await?;
        check_layout(&shared).await?;
        lease::read_clock(&shared).await?;
        lease::read_leases(&shared).await?;
        revoked::read(&shared).await?;
        let stop = CancellationToken::new();
        tokio::spawn(lease::keep_time(Arc::downgrade(&shared), stop.clone()));
        let interval = shared.options.limits.lease_renew;
        let (weak, until) = (Arc::downgrade(&shared), stop.clone());
        tokio::spawn(watch_histories(weak, interval, until));
        tokio::spawn(revoked::follow(Arc::downgrade(&shared), stop.clone()));
        Ok(Arc::new(Self {
            shared,
            online: Mutex::default(),
            followed: Followed::default(),
            _stop: stop.drop_guard(),
        }))
    }

    /// The link, for the command line's own questions.
    pub fn link(&self) -> &Link {
        &self.shared.link
    }

    /// The functions, for `carillon redis load` and `prune`.
    pub fn functions(&self) -> &Functions {
        &self.shared.functions
    }

    /// The keys, for the command line's own questions.
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }
}

async fn check_partitions(shared: &Shared) -> Result<(), BackendError> {
    let key = shared.keys.partition_count();
    let mine = shared.keys.partitions().to_string();
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(&mine).arg("NX");
    shared.link.call::<Value>(Keys::HOME, &set).await?;
    let there: String = shared
        .link
        .call(Keys::HOME, redis::cmd("GET").arg(&key))
        .await?;
    if there == mine {
        return Ok(());
    }
    Err(BackendError::Unexpected(format!(
        "this Redis holds {there} partitions under the prefix {:?}, and backend.partitions is \
         {mine}: set it to {there}, or use another redis.prefix",
        shared.options.prefix
    )))
}

/// Notes which layout is written here, unless there is one already that this build cannot read.
async fn check_layout(shared: &Shared) -> Result<(), BackendError> {
    let key = shared.keys.layout();
    let held: Option<u8> = shared
        .link
        .call(Keys::HOME, redis::cmd("GET").arg(&key))
        .await?;
    if let Some(refusal) = held.and_then(version::refusal) {
        return Err(BackendError::Unexpected(refusal));
    }
    if held.is_none_or(|held| held < version::WRITTEN) {
        let mut note = redis::cmd("SET");
        note.arg(&key).arg(version::WRITTEN);
        shared.link.call::<Value>(Keys::HOME, &note).await?;
    }
    Ok(())
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}

#[async_trait]
impl Backend for RedisBackend {
    async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        match order.due {
            Some(due) => self.shared.schedule(order, due).await,
            None => self.shared.send(order).await,
        }
    }

    async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError> {
        self.shared.publish(order).await
    }

    async fn online_count(&self) -> Result<u64, BackendError> {
        if let Some((at, count)) = *self.online.lock()
            && at.elapsed() < ONLINE_AGE
        {
            return Ok(count);
        }
        let shared = &self.shared;
        let topology = shared.link.topology().borrow().clone();
        let counts = topology.primaries().iter().filter_map(|primary| {
            let partitions = topology.owned_by(primary);
            let first = *partitions.first()?;
            let mut pipeline = redis::pipe();
            for partition in partitions {
                pipeline.cmd("SCARD").arg(shared.keys.online(partition));
            }
            Some(async move { shared.link.pipeline::<Vec<u64>>(first, &pipeline).await })
        });
        let counted = try_join_all(counts).await?.into_iter().flatten().sum();
        let count = lease::vouched_for(shared, counted).await?;
        *self.online.lock() = Some((Instant::now(), count));
        Ok(count)
    }

    async fn presence(&self, user: &UserId) -> Result<Vec<Presence>, BackendError> {
        let shared = &self.shared;
        let keys = shared.keys.user(user);
        lease::read_leases(shared).await?;
        let entries: Vec<(String, String)> = shared
            .link
            .call(keys.partition, redis::cmd("HGETALL").arg(&keys.presence))
            .await?;
        let all = entries
            .iter()
            .filter_map(|(field, place)| wire::presence(field, place));
        Ok(all
            .filter(|it| shared.is_live(it.gateway.as_str(), it.generation))
            .collect())
    }

    async fn history(
        &self,
        channel: &ChannelName,
        after: Cursor,
        limit: u32,
    ) -> Result<Page, BackendError> {
        self.shared.history(channel, after, limit).await
    }

    async fn followed(&self) -> Result<Arc<[ChannelName]>, BackendError> {
        self.followed.channels(&self.shared).await
    }

    async fn roll_call(&self, call: &RollCall, within: Duration) -> Result<Rolls, BackendError> {
        self.shared.roll_call(call, within).await
    }

    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError> {
        words::leave(&self.shared, gateway, control).await
    }

    async fn hold(&self, duty: &str, holder: &str, for_: Duration) -> Result<bool, BackendError> {
        let key = self.shared.keys.duty(duty);
        let set = |condition: &str| {
            let mut set = redis::cmd("SET");
            let for_ms = u64::try_from(for_.as_millis()).unwrap_or(u64::MAX);
            set.arg(&key)
                .arg(holder)
                .arg(condition)
                .arg("PX")
                .arg(for_ms);
            set
        };
        let mut pipeline = redis::pipe();
        pipeline.add_command(set("NX"));
        pipeline.cmd("GET").arg(&key);
        let link = &self.shared.link;
        let (_, held): (Value, Option<String>) = link.pipeline(Keys::HOME, &pipeline).await?;
        if held.as_deref() != Some(holder) {
            return Ok(false);
        }
        // Between the two it may have passed to another: both have it then, until this one asks again.
        link.call::<Value>(Keys::HOME, &set("XX")).await?;
        Ok(true)
    }

    async fn lend(&self, asks: &[Ask]) -> Result<Vec<Lent>, BackendError> {
        self.shared.lend(asks).await
    }

    async fn borrowers(&self, borrower: &str, for_: Duration) -> Result<u32, BackendError> {
        self.shared.note_borrower(borrower, for_).await
    }

    async fn gateways(&self) -> Result<Vec<LiveGateway>, BackendError> {
        let (live, _) = lease::read_leases(&self.shared).await?;
        // Of one that has just come back, the newest.
        let live: Vec<_> = BTreeMap::from_iter(sorted(live)).into_iter().collect();
        let users = lease::count_users(&self.shared, &live).await?;
        let said = lease::said(&self.shared, &live).await?;
        let all = live.into_iter().zip(users).zip(said);
        let read = all.filter_map(|(((name, generation), users), said)| {
            Some(LiveGateway {
                name: GatewayId::new(&name).ok()?,
                generation,
                users,
                draining: said.draining,
                accepting: said.accepting,
                about: said.about,
            })
        });
        Ok(read.collect())
    }

    async fn reap(&self, gateway: &GatewayId, until: Millis) -> Result<bool, BackendError> {
        lease::reap_dead(&self.shared, gateway, until).await
    }

    async fn join(
        &self,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<dyn Membership>, BackendError> {
        let membership: Arc<dyn Membership> =
            RedisMembership::join(self.shared.clone(), gateway, sink).await?;
        Ok(membership)
    }

    fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    fn degraded(&self) -> Vec<String> {
        let mut all = self.shared.wrong();
        all.extend(self.shared.link.stats().faults());
        all
    }

    fn metrics(&self) -> Vec<Box<dyn Collector>> {
        self.shared.link.stats().collectors()
    }
}
