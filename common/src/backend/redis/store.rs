//! The store as a dispatcher uses it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, try_join_all};
use redis::Value;
use tokio_util::{sync::CancellationToken, sync::DropGuard};

use super::{
    calls::Call,
    functions::Functions,
    history::{Histories, watch_histories},
    keys::Keys,
    lease,
    link::{Durability, Link, LinkSettings},
    membership::RedisMembership,
    version, wire,
};
use crate::{
    backend::{
        Backend, BackendError, BusSink, Clock, Control, Limits, LiveGateway, Membership, Presence,
        PublishOrder, Published, SendOrder, Sent, url::RedisUrl,
    },
    ids::{GatewayId, Millis, UserId},
    telemetry::Collector,
};

/// How long a count of who is online is good enough.
const ONLINE_AGE: Duration = Duration::from_secs(1);
/// How long a word for a gateway waits to be heeded.
const CONTROL_LIFE_S: u32 = 60;

/// How the store is reached, beyond its URL.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// What the store keeps within.
    pub limits: Limits,
    /// Every key and channel starts with it.
    pub prefix: String,
    /// Connections and partitions.
    pub link: LinkSettings,
    /// Replicas that must have a write before it is accepted, and how long they may take.
    pub durability: Option<Durability>,
    /// How often the bus is probed, and how long a probe may take.
    pub probe: (Duration, Duration),
    /// How often Redis' clock is read, and the offset that is shown as degraded.
    pub clock: (Duration, Duration),
}

/// The store over Redis.
pub struct RedisBackend {
    core: Arc<Core>,
    _stop: DropGuard,
}

/// What backend and memberships share.
pub(super) struct Core {
    pub(super) link: Link,
    pub(super) functions: Functions,
    pub(super) keys: Keys,
    pub(super) options: RedisOptions,
    pub(super) clock: Clock,
    pub(super) histories: Histories,
    wrong: Mutex<BTreeMap<&'static str, String>>,
    online: Mutex<Option<(Instant, u64)>>,
    /// The generations whose lease had ended a moment ago, and that are not reaped yet.
    ended: RwLock<HashSet<(String, u64)>>,
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
        let tags: Vec<_> = link.tags().iter().map(|(tag, _)| tag.clone()).collect();
        let core = Arc::new(Core {
            histories: Histories::new(tags.len()),
            keys: Keys::new(&options.prefix, tags),
            functions: Functions::new(version::library()),
            clock: Clock::default(),
            wrong: Mutex::default(),
            online: Mutex::default(),
            ended: RwLock::default(),
            link,
            options,
        });
        // A user that may not load functions has them loaded by an operator, or uses scripts.
        if let Err(error) = core.functions.load_all(&core.link).await {
            tracing::debug!(%error, "the functions were not loaded at start");
        }
        core.check_partitions().await?;
        core.check_layout().await?;
        lease::read_clock(&core).await?;
        lease::read_leases(&core).await?;
        let stop = CancellationToken::new();
        tokio::spawn(lease::keep_time(Arc::downgrade(&core), stop.clone()));
        let interval = core.options.limits.lease_renew;
        let (weak, until) = (Arc::downgrade(&core), stop.clone());
        tokio::spawn(watch_histories(weak, interval, until));
        Ok(Arc::new(Self {
            core,
            _stop: stop.drop_guard(),
        }))
    }

    /// The link, for the command line's own questions.
    pub fn link(&self) -> &Link {
        &self.core.link
    }

    /// The functions, for `carillon redis load` and `prune`.
    pub fn functions(&self) -> &Functions {
        &self.core.functions
    }

    /// The keys, for the command line's own questions.
    pub fn keys(&self) -> &Keys {
        &self.core.keys
    }
}

impl Core {
    /// Calls a function that concerns no history.
    pub(super) async fn call<'a, C: Call<'a>>(
        &self,
        partition: u16,
        call: C,
    ) -> Result<Value, BackendError> {
        let (keys, args) = call.parts();
        let functions = &self.functions;
        let answer = functions.call(&self.link, partition, C::FUNCTION, &keys, &args, None);
        Ok(answer.await?)
    }

    /// Calls a function that reads a history, or changes what need not be confirmed.
    pub(super) async fn read<'a>(
        &self,
        partition: u16,
        call: impl Call<'a>,
    ) -> Result<Value, BackendError> {
        self.believed(partition, call, None).await
    }

    /// The same, confirmed by as many replicas as the deployment asks for.
    pub(super) async fn commit<'a>(
        &self,
        partition: u16,
        call: impl Call<'a>,
    ) -> Result<Value, BackendError> {
        self.believed(partition, call, self.options.durability)
            .await
    }

    /// How long a user's keys last after they were last touched, in seconds.
    pub(super) fn life_s(&self) -> u64 {
        self.options.limits.inbox_ttl.as_secs() + 86_400
    }

    async fn check_partitions(&self) -> Result<(), BackendError> {
        let key = self.keys.partition_count();
        let mine = self.keys.partitions().to_string();
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&mine).arg("NX");
        self.link.call::<Value>(Keys::HOME, &set).await?;
        let there: String = self
            .link
            .call(Keys::HOME, redis::cmd("GET").arg(&key))
            .await?;
        if there == mine {
            return Ok(());
        }
        Err(BackendError::Unexpected(format!(
            "this Redis holds {there} partitions under the prefix {:?}, and backend.partitions is \
             {mine}: set it to {there}, or use another redis.prefix",
            self.options.prefix
        )))
    }

    /// Notes which layout is written here, unless there is one already that this build cannot read.
    async fn check_layout(&self) -> Result<(), BackendError> {
        let key = self.keys.layout();
        let held: Option<u8> = self
            .link
            .call(Keys::HOME, redis::cmd("GET").arg(&key))
            .await?;
        if let Some(refusal) = held.and_then(version::refusal) {
            return Err(BackendError::Unexpected(refusal));
        }
        if held.is_none_or(|held| held < version::WRITTEN) {
            let mut note = redis::cmd("SET");
            note.arg(&key).arg(version::WRITTEN);
            self.link.call::<Value>(Keys::HOME, &note).await?;
        }
        Ok(())
    }

    pub(super) fn set_wrong(&self, what: &'static str, detail: Option<String>) {
        let mut wrong = lock(&self.wrong);
        match detail {
            Some(detail) => wrong.insert(what, detail),
            None => wrong.remove(what),
        };
    }

    pub(super) fn set_ended(&self, ended: HashSet<(String, u64)>) {
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = ended;
    }

    /// Whether a generation's lease held, as far as is known: a gateway that has just come counts.
    fn is_live(&self, gateway: &str, generation: u64) -> bool {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        ended.is_empty() || !ended.contains(&(gateway.to_owned(), generation))
    }

    /// How many devices of these connections (presence field, then place) are on a live gateway.
    /// Each anonymous connection is a device of its own.
    pub(super) fn count_devices(&self, entries: &[String]) -> u32 {
        let live = entries.chunks_exact(2).filter_map(|entry| {
            let mut place = entry[1].split('|');
            let gateway = place.next()?;
            let generation = place.next()?.parse().ok()?;
            let device = match entry[0].split_once('/')? {
                ("~", session) => session,
                (device, _) => device,
            };
            self.is_live(gateway, generation).then_some(device)
        });
        u32::try_from(live.collect::<HashSet<_>>().len()).unwrap_or(u32::MAX)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}

#[async_trait]
impl Backend for RedisBackend {
    async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        self.core.send(order).await
    }

    async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError> {
        self.core.publish(order).await
    }

    async fn online_count(&self) -> Result<u64, BackendError> {
        if let Some((at, count)) = *lock(&self.core.online)
            && at.elapsed() < ONLINE_AGE
        {
            return Ok(count);
        }
        let core = &self.core;
        let topology = core.link.topology().borrow().clone();
        let counts = topology.primaries().iter().filter_map(|primary| {
            let partitions = topology.owned_by(primary);
            let first = *partitions.first()?;
            let mut pipeline = redis::pipe();
            for partition in partitions {
                pipeline.cmd("SCARD").arg(core.keys.online(partition));
            }
            Some(async move { core.link.pipeline::<Vec<u64>>(first, &pipeline).await })
        });
        let counted = try_join_all(counts).await?.into_iter().flatten().sum();
        let count = lease::vouched_for(core, counted).await?;
        *lock(&core.online) = Some((Instant::now(), count));
        Ok(count)
    }

    async fn presence(&self, user: &UserId) -> Result<Vec<Presence>, BackendError> {
        let core = &self.core;
        let keys = core.keys.user(user);
        lease::read_leases(core).await?;
        let entries: Vec<(String, String)> = core
            .link
            .call(keys.partition, redis::cmd("HGETALL").arg(&keys.presence))
            .await?;
        let all = entries
            .iter()
            .filter_map(|(field, place)| wire::presence(field, place));
        Ok(all
            .filter(|it| core.is_live(it.gateway.as_str(), it.generation))
            .collect())
    }

    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError> {
        let core = &self.core;
        let key = core.keys.control(gateway);
        let text = serde_json::to_string(control)
            .map_err(|error| BackendError::Unexpected(error.to_string()))?;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("XADD")
            .arg(&key)
            .arg("MAXLEN")
            .arg(1000)
            .arg("*")
            .arg("c")
            .arg(text);
        pipeline.cmd("EXPIRE").arg(&key).arg(CONTROL_LIFE_S);
        let channel = core.keys.gateway_channel(Keys::HOME, gateway);
        pipeline
            .cmd("SPUBLISH")
            .arg(channel)
            .arg(super::membership::CONTROL_HINT);
        core.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
        Ok(())
    }

    async fn hold(&self, duty: &str, holder: &str, for_: Duration) -> Result<bool, BackendError> {
        let key = self.core.keys.duty(duty);
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
        let link = &self.core.link;
        let (_, held): (Value, Option<String>) = link.pipeline(Keys::HOME, &pipeline).await?;
        if held.as_deref() != Some(holder) {
            return Ok(false);
        }
        // Between the two it may have passed to another: both have it then, until this one asks again.
        link.call::<Value>(Keys::HOME, &set("XX")).await?;
        Ok(true)
    }

    async fn gateways(&self) -> Result<Vec<LiveGateway>, BackendError> {
        let (live, _) = lease::read_leases(&self.core).await?;
        // Of one that has just come back, the newest.
        let live: Vec<_> = BTreeMap::from_iter(sorted(live)).into_iter().collect();
        let users = lease::count_users(&self.core, &live).await?;
        let draining = lease::which_drain(&self.core, &live).await?;
        let all = live.into_iter().zip(users).zip(draining);
        let read = all.filter_map(|(((name, generation), users), (draining, accepting))| {
            Some(LiveGateway {
                name: GatewayId::new(&name).ok()?,
                generation,
                users,
                draining,
                accepting,
            })
        });
        Ok(read.collect())
    }

    async fn reap(&self, gateway: &GatewayId, until: Millis) -> Result<bool, BackendError> {
        lease::reap_dead(&self.core, gateway, until).await
    }

    async fn join(
        &self,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<dyn Membership>, BackendError> {
        let membership: Arc<dyn Membership> =
            RedisMembership::join(self.core.clone(), gateway, sink).await?;
        Ok(membership)
    }

    fn clock(&self) -> Clock {
        self.core.clock.clone()
    }

    fn degraded(&self) -> Vec<String> {
        let mut all: Vec<String> = lock(&self.core.wrong).values().cloned().collect();
        all.extend(self.core.link.stats().faults());
        all
    }

    fn metrics(&self) -> Vec<Box<dyn Collector>> {
        self.core.link.stats().collectors()
    }
}
