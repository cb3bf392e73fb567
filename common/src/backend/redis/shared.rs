//! What every part of a process shares of the store: the way to Redis, and what is known of it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::{
    functions::Functions,
    history::Histories,
    keys::Keys,
    link::{Durability, Link, LinkSettings},
    version,
};
use crate::{
    auth::Revocations,
    backend::{Clock, Limits},
};

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

/// The revocations that are known here, and as of when.
#[derive(Default)]
pub(super) struct Known {
    pub(super) revocations: Revocations,
    /// The store's revision when they were read last; held while they are read, so that no older list is taken for
    /// one that lacks what a newer has.
    pub(super) revision: tokio::sync::Mutex<Option<String>>,
    /// There are others, most likely.
    pub(super) stale: Arc<Notify>,
}

/// What dispatcher and gateway side share.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) functions: Functions,
    pub(super) keys: Keys,
    pub(super) options: RedisOptions,
    pub(super) clock: Clock,
    pub(super) histories: Histories,
    pub(super) revoked: Known,
    wrong: Mutex<BTreeMap<&'static str, String>>,
    /// The generations whose lease had ended a moment ago, and that are not reaped yet.
    ended: RwLock<HashSet<(String, u64)>>,
}

impl Shared {
    pub(super) fn new(link: Link, options: RedisOptions) -> Self {
        let tags: Vec<_> = link.tags().iter().map(|(tag, _)| tag.clone()).collect();
        Self {
            histories: Histories::new(tags.len()),
            keys: Keys::new(&options.prefix, tags),
            functions: Functions::new(version::library()),
            clock: Clock::default(),
            revoked: Known::default(),
            wrong: Mutex::default(),
            ended: RwLock::default(),
            link,
            options,
        }
    }

    /// How long a user's keys last after they were last touched, in seconds.
    pub(super) fn life_s(&self) -> u64 {
        self.options.limits.inbox_ttl.as_secs() + 86_400
    }

    pub(super) fn set_wrong(&self, what: &'static str, detail: Option<String>) {
        let mut wrong = self.wrong.lock();
        match detail {
            Some(detail) => wrong.insert(what, detail),
            None => wrong.remove(what),
        };
    }

    pub(super) fn set_ended(&self, ended: HashSet<(String, u64)>) {
        *self.ended.write() = ended;
    }

    /// What is wrong, in words for operators.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().values().cloned().collect()
    }

    /// Whether a generation's lease held, as far as is known: a gateway that has just come counts.
    pub(super) fn is_live(&self, gateway: &str, generation: u64) -> bool {
        let ended = self.ended.read();
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
