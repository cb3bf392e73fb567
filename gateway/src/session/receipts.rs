//! What the client is known to have, and what of it was reported to the store.
//!
//! With `carillon.v1` the client acks cursors; only those written on this connection count. A
//! client of the simple protocol acks without knowing: a ping after its notifications names the
//! cursor, and browsers answer pings by themselves, in order (RFC 6455 section 5.5.3).

use std::{collections::VecDeque, time::Duration};

use carillon_common::{ids::Cursor, protocol::Dialect, settings::SocketSettings};
use tokio::time::Instant;

use super::feed::Acked;

/// Unacked cursors that are remembered; a client further behind can ack only newer ones.
const WRITTEN: usize = 2_048;
/// Expired positions that are reported with one ack.
const EXPIRED: usize = 64;

#[derive(Debug)]
pub(super) struct Receipts {
    /// Written and not confirmed, oldest first.
    written: VecDeque<Cursor>,
    /// Passed over because they had expired, not reported yet.
    expired: Vec<Cursor>,
    /// The client has everything up to here.
    confirmed: Cursor,
    /// The store knows of everything up to here.
    reported: Cursor,
    /// The same of the broadcasts.
    broadcast_reported: Cursor,
    /// What was missed of them is confirmed: it is reported soon.
    broadcast_soon: bool,
    in_flight: Option<Box<InFlight>>,
    /// When something is to be reported, if there is something.
    flush_at: Option<Instant>,
    /// Confirmed since the last report.
    batch: u32,
    /// An ack is under way to the store.
    busy: bool,
    /// The client was told of a loss, and no pong has shown yet that it heard.
    unheard: bool,
}

/// A ping that waits for its pong, and what the pong will confirm.
#[derive(Debug)]
struct InFlight {
    payload: String,
    inbox: Cursor,
    /// It was sent after the client had been told of a loss.
    tells_of_loss: bool,
}

/// What is reported to the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub cursor: Cursor,
    pub broadcast: Cursor,
    pub expired: Vec<Cursor>,
}

impl Receipts {
    pub(super) fn new() -> Self {
        Self {
            written: VecDeque::new(),
            expired: Vec::new(),
            confirmed: Cursor::ZERO,
            reported: Cursor::ZERO,
            broadcast_reported: Cursor::ZERO,
            broadcast_soon: false,
            in_flight: None,
            flush_at: None,
            batch: 0,
            busy: false,
            unheard: false,
        }
    }

    /// The session starts at these positions.
    pub(super) fn start(&mut self, inbox: Cursor, broadcast: Cursor) {
        self.confirmed = inbox;
        self.reported = inbox;
        self.broadcast_reported = broadcast;
    }

    /// The client has everything up to where it started, which the store may not know.
    pub(super) fn confirmed_before(&mut self) {
        self.reported = Cursor::ZERO;
    }

    /// How many were written and are not confirmed.
    pub(super) fn outstanding(&self) -> usize {
        self.written.len()
    }

    /// The inbox starts over here after a gap: earlier cursors mean nothing any more.
    pub(super) fn restart(&mut self, inbox: Cursor) {
        self.written.clear();
        self.expired.clear();
        // Its pong still shows that the client lives, and confirms nothing of before.
        if let Some(ping) = &mut self.in_flight {
            ping.inbox = inbox;
        }
        self.confirmed = inbox;
        self.reported = inbox;
    }

    /// A notification was written.
    pub(super) fn wrote(&mut self, cursor: Cursor) {
        if self.written.len() == WRITTEN {
            self.written.pop_front();
        }
        self.written.push_back(cursor);
    }

    /// A position was passed over: expired, or a tombstone.
    pub(super) fn skipped(&mut self, cursor: Cursor, expired: bool) {
        if expired && self.expired.len() < EXPIRED {
            self.expired.push(cursor);
        }
    }

    /// The client was told of a loss. Nothing that it could ack may follow, and it is to be told again
    /// if it did not hear: so a pong confirms that, and the position is not the store's before.
    pub(super) fn told_of_loss(&mut self) {
        self.unheard = true;
    }

    /// Whether something was written that a pong would confirm.
    pub(super) fn wants_ping(&self, dialect: Dialect) -> bool {
        let written = dialect == Dialect::Simple && !self.written.is_empty();
        dialect.is_asked() && !self.is_asking() && (written || self.unheard)
    }

    /// Whether a ping waits for its pong.
    pub(super) fn is_asking(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The payload of a ping to be sent now; `None` while one waits for its pong.
    pub(super) fn ping(&mut self, inbox: Cursor) -> Option<String> {
        if self.in_flight.is_some() {
            return None;
        }
        let payload = inbox.to_string();
        self.in_flight = Some(Box::new(InFlight {
            payload: payload.clone(),
            inbox,
            tells_of_loss: self.unheard,
        }));
        Some(payload)
    }

    /// Whether this is the awaited pong. Others are allowed (RFC 6455 section 5.5.3) and mean
    /// nothing.
    pub(super) fn on_pong(&mut self, payload: &[u8], dialect: Dialect) -> bool {
        let Some(ping) = self
            .in_flight
            .take_if(|ping| ping.payload.as_bytes() == payload)
        else {
            return false;
        };
        self.unheard &= !ping.tells_of_loss;
        if dialect == Dialect::Simple {
            self.confirm_up_to(ping.inbox);
        }
        true
    }

    fn confirm_up_to(&mut self, cursor: Cursor) {
        let before = self.written.len();
        while self
            .written
            .front()
            .is_some_and(|written| written.seq <= cursor.seq)
        {
            self.written.pop_front();
        }
        let confirmed = before - self.written.len();
        self.batch =
            u32::try_from(confirmed).map_or(u32::MAX, |more| self.batch.saturating_add(more));
        if confirmed > 0 {
            self.confirmed = cursor;
        }
        if self.written.is_empty() {
            self.written.shrink_to(8);
        }
    }

    /// An ack of the client's own.
    pub(super) fn on_ack(&mut self, cursor: Cursor) -> Acked {
        let found = self
            .written
            .binary_search_by_key(&cursor.seq, |written| written.seq);
        match found {
            Ok(at) if self.written[at] == cursor => {
                self.confirm_up_to(cursor);
                Acked::Forward
            }
            _ if cursor == self.confirmed => Acked::Known,
            _ => Acked::Foreign,
        }
    }

    /// The client answered our close frame: it has read everything.
    pub(super) fn confirm_all(&mut self, dialect: Dialect, inbox: Cursor) {
        self.unheard = false;
        if dialect == Dialect::Simple {
            self.confirm_up_to(inbox);
        }
    }

    /// What was missed of the broadcasts is confirmed.
    pub(super) fn report_soon(&mut self) {
        self.broadcast_soon = true;
    }

    /// With nothing outstanding, what was passed over after it counts as read; then it is
    /// reported in a while, or soon when there is much. Broadcasts alone are reported as rarely as idle
    /// clients are pinged: it would cost more than they do.
    pub(super) fn settle(
        &mut self,
        (position, broadcast): (Cursor, Cursor),
        now: Instant,
        settings: &SocketSettings,
    ) {
        self.settle_now(position);
        let within = if self.busy || self.is_reported(broadcast) {
            return;
        } else if self.batch >= settings.ack_batch {
            Duration::ZERO
        } else if self.confirmed != self.reported || self.broadcast_soon {
            settings.ack_interval
        } else {
            settings.ping_interval
        };
        let due = now + within;
        self.flush_at = Some(self.flush_at.map_or(due, |at| at.min(due)));
    }

    fn is_reported(&self, broadcast: Cursor) -> bool {
        self.confirmed == self.reported && broadcast == self.broadcast_reported
    }

    pub(super) fn settle_now(&mut self, position: Cursor) {
        if self.written.is_empty() && !self.unheard {
            self.confirmed = position;
        }
    }

    pub(super) fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    /// What is to be reported now.
    pub(super) fn flush(&mut self, broadcast: Cursor) -> Option<Report> {
        self.flush_at = None;
        if self.busy || self.is_reported(broadcast) {
            return None;
        }
        self.busy = true;
        Some(self.report(broadcast))
    }

    /// The same at the end, whatever is under way. The departure tells of broadcasts.
    pub(super) fn flush_last(&mut self, broadcast: Cursor) -> Option<Report> {
        (self.confirmed != self.reported).then(|| self.report(broadcast))
    }

    fn report(&mut self, broadcast: Cursor) -> Report {
        self.reported = self.confirmed;
        self.broadcast_reported = broadcast;
        self.broadcast_soon = false;
        self.batch = 0;
        let (expired, later) = self
            .expired
            .drain(..)
            .partition(|cursor| cursor.seq <= self.confirmed.seq);
        self.expired = later;
        Report {
            cursor: self.confirmed,
            broadcast,
            expired,
        }
    }

    /// The store knows; what was confirmed meanwhile is gathered like the rest.
    pub(super) fn on_acked(&mut self) {
        self.busy = false;
    }
}
