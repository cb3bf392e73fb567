//! Revocations and tickets of a single process.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{MemoryBackend, rules::millis};
use crate::{
    auth::{Claims, Revocation, Revocations, Revoked, TicketHash},
    backend::{Backend, BackendError, Listed, Note, RevokeOrder, TicketOrder, Tokens},
    ids::{Millis, UserId},
};

/// Tickets of all users.
const MOST_TICKETS: usize = 100_000;

/// What is kept; revocations are where everybody looks at them, with what is told of each beside them.
#[derive(Default)]
pub(super) struct KeptTokens {
    revocations: Revocations,
    notes: Mutex<BTreeMap<Revoked, Note>>,
    tickets: Mutex<Tickets>,
}

#[derive(Default)]
struct Tickets {
    /// What each stands for, and when it lapses.
    all: HashMap<TicketHash, (Claims, Millis)>,
    /// Whose they are.
    of: HashMap<UserId, Vec<TicketHash>>,
}

impl Tickets {
    fn forget_lapsed(&mut self, now: Millis) {
        self.all.retain(|_, (_, until)| now < *until);
        let all = &self.all;
        self.of.retain(|_, tickets| {
            tickets.retain(|ticket| all.contains_key(ticket));
            !tickets.is_empty()
        });
    }

    fn put(&mut self, order: &TicketOrder, now: Millis) -> Result<(), BackendError> {
        if self.all.len() >= MOST_TICKETS {
            self.forget_lapsed(now);
        }
        if self.all.len() >= MOST_TICKETS {
            return Err(BackendError::StoreFull("tickets"));
        }
        let all = &self.all;
        let lives = |ticket: &TicketHash| all.get(ticket).is_some_and(|(_, until)| now < *until);
        let of_user = self.of.entry(order.user.clone()).or_default();
        of_user.retain(|ticket| lives(ticket));
        if of_user.len() >= order.most {
            return Err(BackendError::TooManyTickets(order.ttl));
        }
        of_user.push(order.ticket.clone());
        let kept = (order.claims.clone(), now + millis(order.ttl));
        self.all.insert(order.ticket.clone(), kept);
        Ok(())
    }

    fn redeem(&mut self, ticket: &TicketHash, now: Millis) -> Option<Claims> {
        let (claims, until) = self.all.remove(ticket)?;
        if let Ok(user) = UserId::new(&claims.sub)
            && let Some(of_user) = self.of.get_mut(&user)
        {
            of_user.retain(|other| other != ticket);
            if of_user.is_empty() {
                self.of.remove(&user);
            }
        }
        (now < until).then_some(claims)
    }
}

#[async_trait]
impl Tokens for MemoryBackend {
    fn revocations(&self) -> Revocations {
        self.tokens.revocations.clone()
    }

    async fn revoke(&self, order: &RevokeOrder) -> Result<(), BackendError> {
        let known = &self.tokens.revocations;
        let what = &order.revocation.what;
        let mut notes = self.tokens.notes.lock();
        if known.get(what).is_none() && known.len() >= order.most {
            known.forget_lapsed(self.clock().now());
            notes.retain(|what, _| known.get(what).is_some());
            if known.len() >= order.most {
                return Err(BackendError::TooManyRevocations);
            }
        }
        notes.insert(what.clone(), order.note.clone());
        known.learn([order.revocation.clone()]);
        Ok(())
    }

    async fn take_back(&self, what: &Revoked) -> Result<bool, BackendError> {
        let mut notes = self.tokens.notes.lock();
        notes.remove(what);
        let was = self.tokens.revocations.forget(what);
        Ok(was.is_some_and(|it| self.clock().now() < it.until))
    }

    async fn list_revocations(
        &self,
        after: Option<&Revoked>,
        most: usize,
    ) -> Result<Vec<Listed>, BackendError> {
        let known = &self.tokens.revocations;
        let notes = self.tokens.notes.lock();
        known.forget_lapsed(self.clock().now());
        let listed = |revocation: Revocation| Listed {
            note: notes.get(&revocation.what).cloned(),
            revocation,
        };
        Ok(known.page(after, most).into_iter().map(listed).collect())
    }

    async fn put_ticket(&self, order: &TicketOrder) -> Result<(), BackendError> {
        self.tokens.tickets.lock().put(order, self.clock().now())
    }

    async fn redeem_ticket(&self, ticket: &TicketHash) -> Result<Option<Claims>, BackendError> {
        Ok(self
            .tokens
            .tickets
            .lock()
            .redeem(ticket, self.clock().now()))
    }
}
