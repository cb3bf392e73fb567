//! What waits for its time, and for whom something is due.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    MemoryBackend,
    chain::Chain,
    dedup::Dedup,
    inbox::Arrival,
    nonce,
    rules::millis,
    user::{Context, User},
};
use crate::{
    backend::{
        Agenda, Awaited, BackendError, Cancellation, Due, FARTHEST_AHEAD, Fired, Idempotency,
        LATEST_PAST, LeftReason, PAGE_BYTES, Place, Schedule, SendOrder, Sent, Waiting,
        schedule::{TAKEN_AT_ONCE, TAKEN_FOR, TRIED_AGAIN},
    },
    ids::{Cursor, Millis, NotificationId, UserId},
    telemetry::spans::TraceParent,
};

/// How many are remembered that never came into the inbox.
const LEFT: usize = 256;

/// What waits for one user.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    waiting: BTreeMap<Place, Kept>,
    /// When each is due.
    due: HashMap<NotificationId, Millis>,
    /// Those that never came into the inbox, and why; the newest ones.
    left: VecDeque<(NotificationId, LeftReason)>,
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    waiting: Waiting,
    body_hash: String,
    /// What traces it.
    trace: Option<Box<TraceParent>>,
}

/// The users for whom something waits, and when somebody is to look at that.
#[derive(Debug, Default)]
pub(super) struct DueUsers {
    by_time: BTreeSet<(Millis, UserId)>,
    of: HashMap<UserId, Millis>,
}

impl DueUsers {
    /// Has a user looked at then; `None`: no more.
    pub(super) fn set(&mut self, user: &UserId, at: Option<Millis>) {
        let before = match at {
            Some(at) => self.of.insert(user.clone(), at),
            None => self.of.remove(user),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, user.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, user.clone()));
        }
    }

    /// Has a user looked at then, unless that is sooner anyway.
    fn hasten(&mut self, user: &UserId, at: Millis) {
        let sooner = self.of.get(user).map_or(at, |before| at.min(*before));
        self.set(user, Some(sooner));
    }

    /// Takes up those whose time has come; nobody else is told of them for a while.
    fn take(&mut self, now: Millis) -> Due {
        let come = self.by_time.iter().take_while(|(at, _)| *at <= now);
        let users: Vec<_> = come
            .take(TAKEN_AT_ONCE)
            .map(|(_, user)| user.clone())
            .collect();
        for user in &users {
            self.set(user, Some(now + millis(TAKEN_FOR)));
        }
        Due {
            more: users.len() >= TAKEN_AT_ONCE,
            users,
        }
    }
}

impl Scheduled {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn next(&self) -> Option<Millis> {
        self.waiting.keys().next().map(|place| place.due)
    }

    fn of(&self, id: NotificationId) -> Option<&Kept> {
        let due = *self.due.get(&id)?;
        self.waiting.get(&Place { due, id })
    }

    fn put(&mut self, kept: Kept) {
        self.bytes += weight(kept.waiting.body.len());
        self.due.insert(kept.waiting.id, kept.waiting.due);
        self.waiting.insert(kept.waiting.place(), kept);
    }

    fn take(&mut self, id: NotificationId) -> Option<Waiting> {
        let due = self.due.remove(&id)?;
        let kept = self.waiting.remove(&Place { due, id })?;
        self.bytes -= weight(kept.waiting.body.len());
        Some(kept.waiting)
    }

    fn note_left(&mut self, id: NotificationId, reason: LeftReason) {
        if self.left.len() == LEFT {
            self.left.pop_front();
        }
        self.left.push_back((id, reason));
    }

    /// Whether it is noted of any why it left.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    fn left(&self, id: NotificationId) -> Option<LeftReason> {
        let noted = self.left.iter().find(|(of, _)| *of == id);
        noted.map(|(_, reason)| *reason)
    }

    fn page(&self, after: Option<Place>, limit: u32) -> Agenda {
        let follows = self.waiting.iter();
        let mut follows = follows
            .skip_while(|(place, _)| Some(**place) <= after)
            .peekable();
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        while waiting.len() < limit as usize
            && let Some((_, kept)) = follows.peek()
        {
            bytes += kept.waiting.body.len();
            if bytes > PAGE_BYTES && !waiting.is_empty() {
                break;
            }
            waiting.push(kept.waiting.clone());
            follows.next();
        }
        Agenda {
            more: follows.peek().is_some(),
            waiting,
        }
    }
}

/// What one costs, in bytes: what its frame will.
fn weight(body: usize) -> u64 {
    Chain::weight(body)
}

impl User {
    /// Keeps a notification until it is due.
    pub(super) fn schedule(
        &mut self,
        order: &SendOrder,
        due: Millis,
        cx: &Context<'_>,
    ) -> Result<Sent, BackendError> {
        if let Some(first) = self.dedup.recognise(&order.idempotency, cx.now)? {
            let due = Millis::try_from(first.seq).unwrap_or(due);
            return Ok(self.waits(due, true, cx));
        }
        // While it waits it is known by its id, too, for longer than a key is remembered.
        if let Some(kept) = self.scheduled.of(order.id) {
            if kept.body_hash != order.idempotency.body_hash {
                return Err(BackendError::IdempotencyMismatch);
            }
            let due = kept.waiting.due;
            self.reserve(Dedup::weight(&order.idempotency))?;
            self.remember_due(&order.idempotency, due, cx);
            return Ok(self.waits(due, true, cx));
        }
        if due < cx.now - millis(LATEST_PAST) || due > cx.now + millis(FARTHEST_AHEAD) {
            return Err(BackendError::NotThen);
        }
        if self.scheduled.waiting.len() >= cx.limits.scheduled as usize {
            return Err(BackendError::TooManyScheduled);
        }
        self.reserve(weight(order.body.len()) + Dedup::weight(&order.idempotency))?;
        self.scheduled.put(Kept {
            waiting: Waiting {
                id: order.id,
                due,
                accepted_at: cx.now,
                ttl: order.ttl.min(cx.limits.inbox_ttl),
                collapse_key: order.collapse_key.clone(),
                body: order.body.clone(),
            },
            body_hash: order.idempotency.body_hash.clone(),
            trace: order.parent(),
        });
        self.remember_due(&order.idempotency, due, cx);
        cx.due.lock().hasten(&self.id, due);
        Ok(self.waits(due, false, cx))
    }

    fn remember_due(&mut self, idempotency: &Idempotency, due: Millis, cx: &Context<'_>) {
        // In the place of a cursor: none has a nonce of 0.
        let place = Cursor {
            seq: u64::try_from(due).unwrap_or_default(),
            nonce: 0,
        };
        self.dedup.remember(idempotency, place, cx.now);
        self.settle();
    }

    fn waits(&self, due: Millis, repeated: bool, cx: &Context<'_>) -> Sent {
        Sent {
            due: Some(due),
            ..self.sent(None, repeated, cx)
        }
    }

    fn cancel(&mut self, id: NotificationId, cx: &Context<'_>) -> Cancellation {
        if self.scheduled.take(id).is_none() {
            let left = self.scheduled.left(id);
            return left.map_or(Cancellation::Gone, |_| Cancellation::Left);
        }
        self.scheduled.note_left(id, LeftReason::Retracted);
        self.settle();
        if self.scheduled.is_empty() {
            cx.due.lock().set(&self.id, None);
        }
        Cancellation::Done
    }

    /// Gives the inbox what is due first.
    fn fire(&mut self, nonce: u32, cx: &Context<'_>) -> Result<Fired, BackendError> {
        let first = self.scheduled.waiting.values().next();
        let first = first.map(|kept| (kept.waiting.clone(), kept.trace.clone()));
        let Some((waiting, trace)) = first else {
            cx.due.lock().set(&self.id, None);
            return Ok(Fired::None);
        };
        if waiting.due > cx.now {
            cx.due.lock().set(&self.id, Some(waiting.due));
            return Ok(Fired::None);
        }
        if waiting.expires_at() <= cx.now {
            self.scheduled.note_left(waiting.id, LeftReason::Expired);
            let more = self.take_out(waiting.id, cx);
            return Ok(Fired::Expired { more });
        }
        self.reserve(weight(waiting.body.len()))?;
        let arrival = Arrival {
            id: waiting.id,
            body: &waiting.body,
            collapse_key: waiting.collapse_key.as_ref(),
            expires_at: waiting.expires_at(),
            trace,
        };
        if self.take_in(arrival, nonce, cx).is_err() {
            self.settle();
            let again = cx.now + millis(TRIED_AGAIN);
            cx.due.lock().set(&self.id, Some(again));
            return Ok(Fired::Full);
        }
        let lag = u64::try_from(cx.now - waiting.due).unwrap_or_default();
        Ok(Fired::Done {
            lag: Duration::from_millis(lag),
            devices: self.connected_devices(cx),
            more: self.take_out(waiting.id, cx),
        })
    }

    /// Takes one out of those that wait; answers whether the next is due as well.
    fn take_out(&mut self, id: NotificationId, cx: &Context<'_>) -> bool {
        self.scheduled.take(id);
        self.settle();
        let next = self.scheduled.next();
        cx.due.lock().set(&self.id, next);
        next.is_some_and(|next| next <= cx.now)
    }
}

#[async_trait]
impl Schedule for MemoryBackend {
    async fn agenda(
        &self,
        user: &UserId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Agenda, BackendError> {
        let nothing = Agenda {
            waiting: Vec::new(),
            more: false,
        };
        Ok(self.store.with_known_user(user, |user, _| {
            user.map_or(nothing, |user| user.scheduled.page(after, limit))
        }))
    }

    async fn awaited(&self, user: &UserId, id: NotificationId) -> Result<Awaited, BackendError> {
        Ok(self.store.with_known_user(user, |user, _| {
            let Some(user) = user else {
                return Awaited::Gone;
            };
            match user.scheduled.of(id) {
                Some(kept) => Awaited::Waiting(Box::new(kept.waiting.clone())),
                None => user.scheduled.left(id).map_or(Awaited::Gone, Awaited::Left),
            }
        }))
    }

    async fn cancel(
        &self,
        user: &UserId,
        id: NotificationId,
    ) -> Result<Cancellation, BackendError> {
        Ok(self.store.with_known_user(user, |user, cx| {
            user.map_or(Cancellation::Gone, |user| user.cancel(id, cx))
        }))
    }

    async fn take_due(&self) -> Result<Due, BackendError> {
        let now = self.store.clock.now();
        Ok(self.store.due.lock().take(now))
    }

    async fn fire(&self, user: &UserId) -> Result<Fired, BackendError> {
        self.store.with_known_user(user, |known, cx| match known {
            Some(user) => user.fire(nonce(), cx),
            None => {
                cx.due.lock().set(user, None);
                Ok(Fired::None)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn a_user_is_told_of_when_its_time_has_come_and_then_not_for_a_while() {
        let mut due = DueUsers::default();
        due.hasten(&user("alice"), 2_000);
        due.hasten(&user("alice"), 3_000);
        due.hasten(&user("bob"), 1_000);
        assert_eq!(due.take(999).users, []);
        assert_eq!(due.take(2_000).users, [user("bob"), user("alice")]);
        assert_eq!(due.take(2_000 + millis(TAKEN_FOR) - 1).users, []);
        due.set(&user("bob"), None);
        let again = due.take(2_000 + millis(TAKEN_FOR));
        assert_eq!((again.users, again.more), (vec![user("alice")], false));
    }

    #[test]
    fn no_more_are_told_of_at_once_than_may_be() {
        let mut due = DueUsers::default();
        for number in 0..=TAKEN_AT_ONCE {
            due.hasten(&user(&number.to_string()), 1);
        }
        let (first, rest) = (due.take(1), due.take(1));
        assert_eq!((first.users.len(), first.more), (TAKEN_AT_ONCE, true));
        assert_eq!((rest.users.len(), rest.more), (1, false));
    }
}
