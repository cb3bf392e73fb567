//! Users, channels and leases behind their locks.

use std::{
    collections::{HashMap, HashSet, hash_map},
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{
    MemoryBounds,
    answers::Answers,
    budget::Budget,
    channel::Channel,
    lease::Leases,
    presence::Entry,
    scheduled::DueUsers,
    user::{Context, User},
};
use crate::{
    backend::{AboutGateway, BackendError, BusSink, Clock, Limits, Page},
    ids::{ChannelName, Cursor, GatewayId, Millis, UserId},
    telemetry::MemoryMetrics,
};

const SHARDS: usize = 64;
/// How often what has lapsed is looked for.
const SWEEP_MS: Millis = 60_000;

/// The state. Whoever needs several locks takes a shard's first, then the leases', and last that of who is due; gateways
/// are told under both of the first, so that they hear in the order in which things happened.
pub(super) struct Store {
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    users: Shards<UserId, User>,
    channels: Shards<ChannelName, Channel>,
    leases: RwLock<Leases>,
    pub(super) due: Mutex<DueUsers>,
    pub(super) answers: Answers,
    /// How many users have a presence entry.
    online: AtomicU64,
    swept_at: AtomicI64,
    pub(super) metrics: MemoryMetrics,
    pub(super) bytes: Arc<Budget>,
    pub(super) user_places: Arc<Budget>,
    pub(super) channel_places: Arc<Budget>,
}

impl Store {
    pub(super) fn new(limits: Limits, bounds: &MemoryBounds) -> Self {
        let clock = Clock::default();
        let metrics = MemoryMetrics::new();
        let (bytes, users, channels) = (&metrics.bytes, &metrics.users, &metrics.channels);
        Self {
            limits,
            swept_at: AtomicI64::new(clock.now()),
            clock,
            users: Shards::new(),
            channels: Shards::new(),
            leases: RwLock::default(),
            due: Mutex::default(),
            answers: Answers::default(),
            online: AtomicU64::new(0),
            bytes: Budget::new("bytes of stored notifications", bounds.bytes, bytes.clone()),
            user_places: Budget::new("users", bounds.users, users.clone()),
            channel_places: Budget::new("channels", bounds.channels, channels.clone()),
            metrics,
        }
    }

    /// Does something with a user, who is made up first when unknown.
    pub(super) fn with_user<T>(
        &self,
        id: &UserId,
        act: impl FnOnce(&mut User, &Context<'_>) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut users = self.users.of(id);
        self.in_context(|cx| {
            let user = match users.entry(id.clone()) {
                hash_map::Entry::Occupied(known) => known.into_mut(),
                hash_map::Entry::Vacant(unknown) => {
                    let (place, bytes) = (self.user_places.take(1)?, self.bytes.take(0)?);
                    unknown.insert(User::new(id.clone(), place, bytes, cx.now))
                }
            };
            if user.is_idle(&cx) {
                user.forget(cx.now);
            }
            self.counting_online(user, |user| act(user, &cx))
        })
    }

    /// Does something with a user, if known.
    pub(super) fn with_known_user<T>(
        &self,
        id: &UserId,
        act: impl FnOnce(Option<&mut User>, &Context<'_>) -> T,
    ) -> T {
        let mut users = self.users.of(id);
        self.in_context(
            |cx| match users.get_mut(id).filter(|user| !user.is_idle(&cx)) {
                Some(user) => self.counting_online(user, |user| act(Some(user), &cx)),
                None => act(None, &cx),
            },
        )
    }

    /// Does something with a channel, which is made up first when unknown.
    pub(super) fn with_channel<T>(
        &self,
        name: &ChannelName,
        act: impl FnOnce(&mut Channel, &Context<'_>) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut channels = self.channels.of(name);
        self.in_context(|cx| {
            let channel = match channels.entry(name.clone()) {
                hash_map::Entry::Occupied(known) => known.into_mut(),
                hash_map::Entry::Vacant(unknown) => {
                    let (place, bytes) = (self.channel_places.take(1)?, self.bytes.take(0)?);
                    unknown.insert(Channel::new(name.clone(), place, bytes))
                }
            };
            act(channel, &cx)
        })
    }

    /// Does something with a channel, if known.
    pub(super) fn with_known_channel<T>(
        &self,
        name: &ChannelName,
        act: impl FnOnce(Option<&mut Channel>, &Context<'_>) -> T,
    ) -> T {
        let mut channels = self.channels.of(name);
        self.in_context(|cx| act(channels.get_mut(name), &cx))
    }

    /// A page of a channel's log.
    pub(super) fn history(&self, channel: &ChannelName, after: Cursor, limit: u32) -> Page {
        self.with_known_channel(channel, |channel, cx| match channel {
            Some(channel) => channel.history(after, limit.min(cx.limits.page), cx.now),
            None => Page::of_nothing(after),
        })
    }

    /// The channels that somebody follows, by name, but for that of broadcasts.
    pub(super) fn followed(&self) -> Vec<ChannelName> {
        let mut followed = Vec::new();
        for channels in self.channels.each() {
            let those = channels
                .iter()
                .filter(|(name, channel)| channel.is_followed() && !name.is_broadcast());
            followed.extend(those.map(|(name, _)| name.clone()));
        }
        followed.sort_unstable();
        followed
    }

    /// Users that a lease vouches for.
    pub(super) fn online(&self) -> u64 {
        // Nobody may be left to do it.
        if self.with_leases(|leases, now| leases.any_unreaped(now)) {
            self.reap_ended();
        }
        self.online.load(Ordering::Relaxed)
    }

    /// Reads or tells the gateways.
    pub(super) fn with_leases<T>(&self, act: impl FnOnce(&Leases, Millis) -> T) -> T {
        self.in_context(|cx| act(cx.leases, cx.now))
    }

    /// A new lease; entries under the gateway's older ones go.
    pub(super) fn join(&self, gateway: &GatewayId, sink: Arc<dyn BusSink>) -> u64 {
        let now = self.clock.now();
        let generation = self.leases.write().grant(gateway, sink, now);
        self.reap(|entry| entry.gateway == *gateway && entry.generation < generation);
        self.unfollow_all(gateway);
        generation
    }

    /// A new lease in place of a lost one; `None` when this generation's still holds, or another
    /// has taken its place.
    pub(super) fn renew(
        &self,
        gateway: &GatewayId,
        generation: u64,
        sink: &Arc<dyn BusSink>,
    ) -> Option<u64> {
        let now = self.clock.now();
        let mut leases = self.leases.write();
        leases
            .is_lost(gateway, generation, now)
            .then(|| leases.grant(gateway, Arc::clone(sink), now))
    }

    /// Ends a lease at once and forgets its connections.
    pub(super) fn leave(&self, gateway: &GatewayId, generation: u64) {
        self.abandon(gateway, generation, self.clock.now());
        self.reap_ended();
    }

    /// Lets a lease run out: nobody renews it any more, and nobody hears.
    pub(super) fn abandon(&self, gateway: &GatewayId, generation: u64, ends: Millis) {
        if self.leases.write().abandon(gateway, generation, ends) {
            self.unfollow_all(gateway);
        }
    }

    /// A generation of a gateway says that it drains.
    pub(super) fn show_draining(&self, gateway: &GatewayId, generation: u64, accepting: bool) {
        self.leases
            .write()
            .show_draining(gateway, generation, accepting);
    }

    /// A generation of a gateway tells of itself.
    pub(super) fn show(&self, gateway: &GatewayId, generation: u64, about: AboutGateway) {
        self.leases.write().show(gateway, generation, about);
    }

    pub(super) fn lose_lease(&self, gateway: &GatewayId) {
        let now = self.clock.now();
        self.leases.write().lose(gateway, now);
    }

    /// Ends what a dead gateway left, up to a generation. Whether there was anything.
    pub(super) fn reap_dead(&self, gateway: &GatewayId, until: u64) -> bool {
        let now = self.clock.now();
        let there = self.leases.write().end(gateway, until, now);
        self.reap_ended();
        there
    }

    /// What living gateways do every now and then: reap the dead, sweep what has lapsed.
    pub(super) fn tend(&self) {
        self.reap_ended();
        let now = self.clock.now();
        if self.swept_at.load(Ordering::Relaxed) + SWEEP_MS <= now {
            self.swept_at.store(now, Ordering::Relaxed);
            self.sweep();
        }
    }

    fn reap_ended(&self) {
        let ended: HashSet<(GatewayId, u64)> = {
            let now = self.clock.now();
            self.leases.write().take_ended(now).into_iter().collect()
        };
        if !ended.is_empty() {
            self.reap(|entry| ended.contains(&(entry.gateway.clone(), entry.generation)));
        }
    }

    /// Ends every registration under the dead generations. It looks at all users, which is cheap
    /// enough for something as rare as a gateway's end.
    fn reap(&self, is_dead: impl Fn(&Entry) -> bool) {
        for mut users in self.users.each() {
            self.in_context(|cx| {
                for user in users.values_mut() {
                    self.counting_online(user, |user| user.reap(&is_dead, &cx));
                }
            });
        }
    }

    /// Users with a registration under a generation.
    pub(super) fn registered(&self, gateway: &GatewayId, generation: u64) -> Vec<UserId> {
        let mut registered = Vec::new();
        for users in self.users.each() {
            let holding = users.values().filter(|user| {
                let mut entries = user.presence.values();
                entries.any(|entry| entry.gateway == *gateway && entry.generation == generation)
            });
            registered.extend(holding.map(|user| user.id.clone()));
        }
        registered
    }

    fn unfollow_all(&self, gateway: &GatewayId) {
        for mut channels in self.channels.each() {
            for channel in channels.values_mut() {
                channel.unfollow(gateway);
            }
        }
    }

    fn sweep(&self) {
        for mut users in self.users.each() {
            self.in_context(|cx| {
                users.retain(|_, user| {
                    user.prune(&cx);
                    !user.is_idle(&cx)
                });
            });
        }
        for mut channels in self.channels.each() {
            let now = self.clock.now();
            channels.retain(|_, channel| {
                channel.prune(now);
                !channel.is_idle()
            });
        }
    }

    fn in_context<T>(&self, act: impl FnOnce(Context<'_>) -> T) -> T {
        let leases = self.leases.read();
        act(Context {
            now: self.clock.now(),
            limits: &self.limits,
            leases: &leases,
            due: &self.due,
        })
    }

    fn counting_online<T>(&self, user: &mut User, act: impl FnOnce(&mut User) -> T) -> T {
        if user.id.is_canary() {
            return act(user);
        }
        let before = !user.presence.is_empty();
        let outcome = act(user);
        match (before, !user.presence.is_empty()) {
            (false, true) => _ = self.online.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.online.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        outcome
    }
}

/// A map cut into pieces by the key's hash, each behind a lock of its own.
struct Shards<K, V> {
    hasher: RandomState,
    shards: [Mutex<HashMap<K, V>>; SHARDS],
}

impl<K: Hash, V> Shards<K, V> {
    fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits of a hash will do"
    )]
    fn of(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        self.shards[self.hasher.hash_one(key) as usize % SHARDS].lock()
    }

    /// Every piece in turn, one locked at a time.
    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, HashMap<K, V>>> {
        self.shards.iter().map(Mutex::lock)
    }
}
