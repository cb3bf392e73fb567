//! A user's inbox: appending, making room, acking, trimming.

use bytes::Bytes;

use super::{
    chain::Chain,
    dedup::Dedup,
    rules::{self, Reader, Room, Standing, millis},
    user::{Context, Left, User},
};
use crate::{
    backend::{Ack, BackendError, BusEvent, LeftReason, SendOrder, Sent},
    ids::{CollapseKey, Cursor, GatewayId, Millis, NotificationId},
    notification::Frame,
    telemetry::spans::TraceParent,
};

/// For how long an ephemeral notification's hint is good: long enough to reach a socket that is
/// being written to.
const FLEETING_MS: Millis = 60_000;

/// What is to be appended to an inbox.
pub(super) struct Arrival<'a> {
    pub(super) id: NotificationId,
    pub(super) body: &'a Bytes,
    pub(super) collapse_key: Option<&'a CollapseKey>,
    pub(super) expires_at: Millis,
    pub(super) trace: Option<Box<TraceParent>>,
}

/// Tells whoever is connected, and keeps nothing.
pub(super) fn send_ephemeral(user: Option<&User>, order: &SendOrder, cx: &Context<'_>) -> Sent {
    let Some(user) = user else {
        return Sent {
            cursor: None,
            due: None,
            devices: 0,
            user_seen: false,
            repeated: false,
            former: false,
        };
    };
    let frame = Frame {
        cursor: Cursor::ZERO,
        id: order.id,
        stored_at: cx.now,
        expires_at: cx.now + FLEETING_MS,
        tombstone: false,
        trace: order.parent(),
        body: order.body.clone(),
    };
    user.hint(cx, || BusEvent::Ephemeral {
        user: user.id.clone(),
        frame: frame.clone(),
    });
    user.sent(None, false, cx)
}

impl User {
    /// Appends to the inbox and hints to the gateways.
    pub(super) fn send(
        &mut self,
        order: &SendOrder,
        nonce: u32,
        cx: &Context<'_>,
    ) -> Result<Sent, BackendError> {
        if let Some(first) = self.dedup.recognise(&order.idempotency, cx.now)? {
            return Ok(self.sent(Some(first), true, cx));
        }
        self.reserve(Chain::weight(order.body.len()) + Dedup::weight(&order.idempotency))?;
        let arrival = Arrival {
            id: order.id,
            body: &order.body,
            collapse_key: order.collapse_key.as_ref(),
            expires_at: cx.now + millis(order.ttl.min(cx.limits.inbox_ttl)),
            trace: order.parent(),
        };
        let taken = self.take_in(arrival, nonce, cx);
        if let Ok(cursor) = &taken {
            self.dedup.remember(&order.idempotency, *cursor, cx.now);
        }
        self.settle();
        Ok(self.sent(Some(taken?), false, cx))
    }

    /// Appends to the inbox, for which the bytes are reserved, and hints to the gateways.
    pub(super) fn take_in(
        &mut self,
        arrival: Arrival<'_>,
        nonce: u32,
        cx: &Context<'_>,
    ) -> Result<Cursor, BackendError> {
        let collapse_key = arrival.collapse_key;
        let replaced = collapse_key.and_then(|key| self.replaced(key));
        // Before there is room for the new one, since it may be what makes room.
        let kept = replaced.and_then(|index| self.chain.bury(index));
        if let Err(full) = self.make_room(cx) {
            // Where it stands now: making room may have moved everything, and it among what has left. It has made room
            // itself then.
            let index = kept.as_ref().map(|it| self.chain.index_of(it.cursor.seq));
            match (&kept, index) {
                (Some(frame), Some(Some(index @ 1..))) => {
                    self.chain.unbury(index, frame.clone());
                    return Err(full);
                }
                (Some(_), _) => {}
                (None, _) => return Err(full),
            }
        }
        let cursor = self.append(arrival, nonce, cx);
        if let Some(frame) = &kept {
            self.take_back(frame, LeftReason::Replaced, cx);
        }
        if let Some(key) = collapse_key {
            self.note_key(key, cursor);
        }
        Ok(cursor)
    }

    fn append(&mut self, arrival: Arrival<'_>, nonce: u32, cx: &Context<'_>) -> Cursor {
        let cursor = self.chain.next(cx.now, nonce);
        let frame = Frame {
            cursor,
            id: arrival.id,
            stored_at: cx.now,
            expires_at: arrival.expires_at,
            tombstone: false,
            trace: arrival.trace,
            body: arrival.body.clone(),
        };
        let prev = self.chain.append(frame.clone());
        self.touched = cx.now;
        self.hint(cx, || BusEvent::Inbox {
            user: self.id.clone(),
            prev,
            frame: frame.clone(),
        });
        cursor
    }

    pub(super) fn sent(&self, cursor: Option<Cursor>, repeated: bool, cx: &Context<'_>) -> Sent {
        Sent {
            cursor,
            due: None,
            devices: self.connected_devices(cx),
            user_seen: !self.records.is_empty(),
            repeated,
            former: false,
        }
    }

    /// Tells each distinct gateway that presence names.
    pub(super) fn hint(&self, cx: &Context<'_>, event: impl Fn() -> BusEvent) {
        let mut gateways: Vec<&GatewayId> = self.presence.values().map(|e| &e.gateway).collect();
        gateways.sort_unstable();
        gateways.dedup();
        for gateway in gateways {
            cx.leases.tell(gateway, event());
        }
    }

    fn make_room(&mut self, cx: &Context<'_>) -> Result<(), BackendError> {
        // Fewer frames than the bound fit whoever reads them.
        if self.chain.frames().len() < cx.limits.inbox_max as usize {
            return Ok(());
        }
        let standings = self.standings(cx);
        let counting = rules::counting(&standings, cx.limits, cx.now);
        if rules::fits(&self.chain, rules::floor(&counting), cx.limits.inbox_max) {
            return Ok(());
        }
        self.purge_expired(&standings, cx.now);
        match rules::make_room(&self.chain, &standings, cx.limits, cx.now) {
            Room::Enough => Ok(()),
            Room::Full => Err(BackendError::InboxFull),
            Room::PassOver { place, readers } => {
                for reader in readers {
                    self.pass_over(&reader, place, cx.now);
                }
                self.trim(Some(place), cx);
                Ok(())
            }
        }
    }

    /// Expired frames at the head go; those in the middle become tombstones.
    fn purge_expired(&mut self, standings: &[Standing], now: Millis) {
        let first_unacked = standings
            .iter()
            .map(|s| self.chain.index_after(s.record.cursor.seq))
            .min()
            .unwrap_or(0);
        let expired: Vec<usize> = (0..)
            .zip(self.chain.frames())
            .filter(|(_, frame)| frame.expires_at <= now)
            .map(|(index, _)| index)
            .collect();
        let head = (0..).zip(&expired).take_while(|(i, at)| i == *at).count();
        for index in expired {
            let Some(frame) = self.chain.frames().get(index).filter(|f| !f.tombstone) else {
                continue;
            };
            let cursor = frame.cursor;
            drop(self.chain.bury(index));
            if index >= first_unacked {
                self.note_left(Left {
                    cursor,
                    reader: None,
                    reason: LeftReason::Expired,
                    at: now,
                });
            }
        }
        // Whoever stood before them has nothing to be told: they were not to be delivered any more.
        let (before, after) = (self.chain.base().seq, self.chain.before(head));
        self.chain.drop_oldest(head);
        for record in self.records.values_mut() {
            if (before..after.seq).contains(&record.cursor.seq) {
                record.cursor = after;
            }
        }
    }

    fn pass_over(&mut self, reader: &Reader, place: Cursor, now: Millis) {
        let Some(record) = self.records.get_mut(reader) else {
            return;
        };
        let from = self.chain.index_after(record.cursor.seq);
        record.cursor = place;
        record.passed_over = true;
        let to = self.chain.index_after(place.seq);
        let dropped: Vec<Left> = self
            .chain
            .frames()
            .range(from..to)
            .filter(|frame| !frame.tombstone)
            .map(|frame| Left {
                cursor: frame.cursor,
                reader: Some(reader.clone()),
                reason: LeftReason::Dropped,
                at: now,
            })
            .collect();
        for left in dropped {
            self.note_left(left);
        }
    }

    /// Takes note of what a reader has, and forgets what all have.
    pub(super) fn ack(&mut self, ack: &Ack, cx: &Context<'_>) {
        let reader = Reader::of(&ack.device, &ack.session);
        let Some(record) = self.records.get_mut(&reader) else {
            return;
        };
        if let Some(broadcast) = ack.broadcast.filter(|b| b.seq > record.broadcast.seq) {
            record.broadcast = broadcast;
            record.seen = cx.now;
            self.touched = cx.now;
        }
        if !rules::may_ack(&self.chain, ack.cursor, record.cursor) {
            return;
        }
        record.cursor = ack.cursor;
        record.seen = cx.now;
        record.has_acked = true;
        record.passed_over = false;
        let marks = self.marks.entry(reader.device()).or_default();
        marks.note(ack.cursor.seq, cx.now);
        for cursor in &ack.expired {
            self.note_left(Left {
                cursor: *cursor,
                reader: Some(reader.clone()),
                reason: LeftReason::Expired,
                at: cx.now,
            });
        }
        self.touched = cx.now;
        let counting = rules::counting(&self.standings(cx), cx.limits, cx.now);
        self.trim(rules::floor(&counting), cx);
        self.settle();
    }

    fn trim(&mut self, floor: Option<Cursor>, cx: &Context<'_>) {
        let count = rules::trimmable(&self.chain, floor, cx.limits.inbox_keep);
        self.chain.drop_oldest(count);
    }
}
