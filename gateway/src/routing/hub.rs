//! Who is connected here, and the way from the bus to their mailboxes.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use carillon_common::ids::UserId;
use parking_lot::{Mutex, MutexGuard};

use super::{
    handle::Handle,
    mailbox::{Mail, Put},
};
use crate::{metrics::Waiting, session::Event};

const SHARDS: usize = 16;

type Users = HashMap<UserId, Vec<Arc<Handle>>>;

/// All connections of this gateway, by user.
#[derive(Debug)]
pub(crate) struct Hub {
    shards: [Mutex<Users>; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    per_user: AtomicUsize,
    outbox_bytes: usize,
}

impl Hub {
    /// `per_user`: connections of one user; `outbox_bytes`: the bound of each mailbox.
    pub(crate) fn new(per_user: usize, outbox_bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            per_user: AtomicUsize::new(per_user),
            outbox_bytes,
        }
    }

    fn shard(&self, user: &UserId) -> MutexGuard<'_, Users> {
        let shard = self.hasher.hash_one(user) as usize % SHARDS;
        self.shards[shard].lock()
    }

    /// Another number of connections of one user, for those that come.
    pub(crate) fn set_per_user(&self, per_user: usize) {
        self.per_user.store(per_user, Ordering::Relaxed);
    }

    /// The bound of a mailbox, in bytes.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.outbox_bytes
    }

    /// Takes a connection in; false when its user has too many here.
    pub(crate) fn insert(&self, handle: &Arc<Handle>) -> bool {
        let mut users = self.shard(&handle.user);
        let handles = users
            .entry(handle.user.clone())
            .or_insert_with(|| Vec::with_capacity(1));
        if handles.len() >= self.per_user.load(Ordering::Relaxed) {
            return false;
        }
        handles.push(handle.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes out exactly this connection.
    pub(crate) fn remove(&self, handle: &Arc<Handle>) {
        let mut users = self.shard(&handle.user);
        let Some(handles) = users.get_mut(&handle.user) else {
            return;
        };
        let before = handles.len();
        handles.retain(|other| !Arc::ptr_eq(other, handle));
        self.count
            .fetch_sub(before - handles.len(), Ordering::Relaxed);
        if handles.is_empty() {
            users.remove(&handle.user);
        }
    }

    /// The user's connections at this moment.
    pub(crate) fn of(&self, user: &UserId) -> Vec<Arc<Handle>> {
        self.shard(user).get(user).cloned().unwrap_or_default()
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many users have a connection here.
    pub(crate) fn users(&self) -> usize {
        self.shards().map(|users| users.len()).sum()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives a personal hint to every connection of the user; answers how many mailboxes were full.
    pub(crate) fn hint(&self, user: &UserId, mail: impl Fn() -> Mail) -> usize {
        let users = self.shard(user);
        let Some(handles) = users.get(user) else {
            return 0;
        };
        let mut full = 0;
        for handle in handles {
            if handle.mailbox.hint(mail(), self.outbox_bytes) == Put::Overflow {
                full += 1;
            }
        }
        full
    }

    /// Posts to the user's connections that `concerns` picks.
    pub(crate) fn post(
        &self,
        user: &UserId,
        concerns: impl Fn(&Handle) -> bool,
        event: impl Fn() -> Event,
    ) {
        if let Some(handles) = self.shard(user).get(user) {
            handles
                .iter()
                .filter(|handle| concerns(handle))
                .for_each(|handle| handle.mailbox.post(event()));
        }
    }

    /// Does something with every connection, a shard at a time. `visit` must not block.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Arc<Handle>)) {
        for users in self.shards() {
            users.values().flatten().for_each(&mut visit);
        }
    }

    /// What waits for the connections.
    pub(crate) fn waiting(&self) -> Waiting {
        let mut all = Waiting::default();
        self.each(|handle| {
            let (messages, bytes) = handle.mailbox.waiting();
            all.messages += messages;
            all.bytes += bytes;
            all.most = all.most.max(bytes);
        });
        all
    }

    /// All connections at this moment.
    pub(crate) fn all(&self) -> Vec<Arc<Handle>> {
        let mut all = Vec::with_capacity(self.len());
        self.each(|handle| all.push(handle.clone()));
        all
    }

    /// All connections at this moment, each user's together.
    pub(crate) fn by_user(&self) -> Vec<Vec<Arc<Handle>>> {
        let mut all = Vec::new();
        for users in self.shards() {
            all.extend(users.values().cloned());
        }
        all
    }

    /// Every shard in turn, one locked at a time.
    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Users>> {
        self.shards.iter().map(Mutex::lock)
    }
}
