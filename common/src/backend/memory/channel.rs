//! A channel: its log and who follows it.

use std::collections::HashSet;

use super::{
    budget::Share,
    chain::Chain,
    dedup::Dedup,
    lease::Leases,
    rules::{self, millis},
    user::Context,
};
use crate::{
    backend::{BackendError, BusEvent, Page, PublishOrder, Published},
    ids::{ChannelName, Cursor, GatewayId, Millis},
    notification::Frame,
};

/// One channel.
pub(super) struct Channel {
    name: ChannelName,
    chain: Chain,
    /// When the log's entries are dropped.
    ends: Millis,
    /// When it is forgotten where the log stood.
    forgotten: Millis,
    dedup: Dedup,
    followers: HashSet<GatewayId>,
    bytes: Share,
    _place: Share,
}

impl Channel {
    pub(super) fn new(name: ChannelName, place: Share, bytes: Share) -> Self {
        Self {
            name,
            chain: Chain::default(),
            ends: 0,
            forgotten: 0,
            dedup: Dedup::default(),
            followers: HashSet::new(),
            bytes,
            _place: place,
        }
    }

    /// Appends to the log and hints to those who follow.
    pub(super) fn publish(
        &mut self,
        order: &PublishOrder,
        nonce: u32,
        cx: &Context<'_>,
    ) -> Result<Published, BackendError> {
        let now = cx.now;
        self.lapse(now);
        if let Some(cursor) = self.dedup.recognise(&order.idempotency, now)? {
            return Ok(Published {
                cursor,
                repeated: true,
                former: false,
            });
        }
        let weight = Chain::weight(order.body.len()) + Dedup::weight(&order.idempotency);
        self.bytes.grow(weight)?;
        let cursor = self.chain.next(now, nonce);
        let frame = Frame {
            cursor,
            id: order.id,
            stored_at: now,
            expires_at: now + millis(order.ttl.min(order.retention)),
            tombstone: false,
            trace: order.parent(),
            body: order.body.clone(),
        };
        let prev = self.chain.append(frame.clone());
        let excess = self
            .chain
            .frames()
            .len()
            .saturating_sub(order.history as usize);
        self.chain.drop_oldest(excess);
        self.ends = now + millis(order.retention);
        self.forgotten = self.ends.max(now + millis(cx.limits.inbox_ttl));
        self.dedup.remember(&order.idempotency, cursor, now);
        self.settle();
        self.hint(prev, frame, cx.leases);
        Ok(Published {
            cursor,
            repeated: false,
            former: false,
        })
    }

    fn hint(&self, prev: Cursor, frame: Frame, leases: &Leases) {
        let event = BusEvent::Channel {
            channel: self.name.clone(),
            prev,
            frame,
        };
        if self.name.is_broadcast() {
            leases.tell_all(&event);
        } else {
            for gateway in &self.followers {
                leases.tell(gateway, event.clone());
            }
        }
    }

    /// A gateway follows it from now on. Answers where the log stands.
    pub(super) fn follow(&mut self, gateway: &GatewayId, cx: &Context<'_>) -> Cursor {
        self.followers.insert(gateway.clone());
        self.begun(cx)
    }

    /// Answers where the log stands; one that never had an entry begins here, so that whoever follows
    /// it has a position from which something can be missing.
    pub(super) fn begun(&mut self, cx: &Context<'_>) -> Cursor {
        self.lapse(cx.now);
        if !self.chain.has_history() {
            let seq = self.chain.next(cx.now, 0).seq;
            self.chain.begin(Cursor { seq, nonce: 0 });
            self.forgotten = cx.now + millis(cx.limits.inbox_ttl);
        }
        self.chain.last()
    }

    /// The log's last cursor.
    pub(super) fn last(&mut self, now: Millis) -> Cursor {
        self.lapse(now);
        self.chain.last()
    }

    pub(super) fn unfollow(&mut self, gateway: &GatewayId) {
        self.followers.remove(gateway);
    }

    /// Whether a gateway follows it.
    pub(super) fn is_followed(&self) -> bool {
        !self.followers.is_empty()
    }

    /// A page after `after`.
    pub(super) fn history(&mut self, after: Cursor, limit: u32, now: Millis) -> Page {
        self.lapse(now);
        let resume = rules::resume_log(&self.chain, after);
        self.chain
            .page(resume.start, resume.index, limit, resume.gap)
    }

    /// Frees what has lapsed.
    pub(super) fn prune(&mut self, now: Millis) {
        self.lapse(now);
        self.dedup.prune(now);
        self.settle();
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_idle(&self) -> bool {
        !self.chain.has_history() && self.followers.is_empty() && self.dedup.is_empty()
    }

    /// Drops the log when its time is over. Where it stood is known for longer: whoever comes back is
    /// to be told that something is missing, if something is.
    fn lapse(&mut self, now: Millis) {
        if self.ends <= now {
            self.chain.drop_oldest(usize::MAX);
        }
        if self.forgotten <= now && self.followers.is_empty() {
            self.chain = Chain::default();
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.bytes
            .shrink_to(self.chain.bytes() + self.dedup.bytes());
    }
}
