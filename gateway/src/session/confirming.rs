//! What the client is known to have, from its acks and pongs, and when that is reported to the store.

use std::time::Duration;

use carillon_common::{
    ids::{ChannelName, Cursor},
    protocol::{CloseCode, Dialect},
};

use tokio::time::Instant;

use super::{Call, Note, Now, Out, Session, feed::Acked};

impl Session {
    /// An ack. True when it is of something that was written and not acked yet.
    pub(super) fn on_ack(&mut self, cursor: Cursor, out: &mut Out) -> bool {
        // No two logs have a cursor in common, because a nonce is random.
        let mut acked = self.receipts.on_ack(cursor);
        if acked == Acked::Foreign {
            acked = self.broadcast.on_ack(cursor);
        }
        if acked == Acked::Foreign {
            acked = self.channels.on_ack(cursor);
        }
        if acked == Acked::Foreign {
            out.note(Note::ForeignAck);
        }
        self.report_what_was_caught_up(out);
        acked == Acked::Forward
    }

    /// A notification of a channel or a broadcast was written.
    pub(super) fn wrote_to_channel(&mut self, channel: &ChannelName, cursor: Cursor, now: Now) {
        match self.dialect() {
            Dialect::Simple => {
                let latest = self.rules.socket().ack_interval;
                self.asking.wrote(now.mono, self.age(now), latest);
            }
            Dialect::V1 => {
                if let Some(feed) = self.feed(channel) {
                    feed.wrote(cursor);
                }
            }
            // The client comes back with it.
            Dialect::Events => {}
        }
    }

    /// A page of what was missed was written.
    pub(super) fn caught_up(&mut self, channel: &ChannelName, now: Now) {
        if self.dialect().is_asked()
            && let Some(feed) = self.feed(channel)
        {
            feed.replayed();
        }
        if self.dialect() == Dialect::Simple {
            self.asking.caught_up(now.mono);
        }
    }

    /// When a ping goes out to confirm what was written, though nothing else is.
    pub(super) fn asks_alone_at(&self, now: Now) -> Option<Instant> {
        let latest = self.rules.socket().ack_interval;
        self.asking.alone(now.mono, self.age(now), latest)
    }

    fn age(&self, now: Now) -> Duration {
        let age = now.wall - self.identity.opened;
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// To be called after everything that one wake-up brought. Pings where a pong has to confirm what was
    /// written: to a simple client, and to any client that was told of a loss.
    pub(crate) fn after_writing(&mut self, now: Now, out: &mut Out) {
        let alone = self.asks_alone_at(now).is_some_and(|at| at <= now.mono);
        let due = alone || (self.asking.is_due(now.mono) && out.has_text());
        let due = due && self.dialect() == Dialect::Simple;
        if due || self.receipts.wants_ping(self.dialect()) {
            self.ping(now, out);
        }
        let positions = (self.inbox.position(), self.broadcast.confirmed());
        self.receipts
            .settle(positions, now.mono, self.rules.socket());
        if self.receipts.flush_at().is_some_and(|at| at <= now.mono) {
            self.flush_acks(out);
        }
    }

    pub(super) fn ping(&mut self, now: Now, out: &mut Out) {
        if !self.dialect().is_asked() {
            return self.beat(now, out);
        }
        let Some(payload) = self.receipts.ping(self.inbox.position()) else {
            return;
        };
        self.broadcast.pinged(self.dialect());
        self.channels.pinged(self.dialect());
        self.asking.asked();
        self.pace.pinged(now.mono, self.rules.socket());
        out.ping(payload);
    }

    /// A pong: the client has read everything that was written before its ping.
    pub(crate) fn on_pong(&mut self, payload: &[u8], now: Now, out: &mut Out) {
        if !self.receipts.on_pong(payload, self.dialect()) {
            return self.on_sign_of_life(now, out);
        }
        self.pace.heard(now.mono);
        self.pace.ponged();
        self.broadcast.ponged(self.dialect());
        self.channels.ponged(self.dialect());
        self.report_what_was_caught_up(out);
        let rarely = self.rules.socket().ping_interval;
        if self.channels.reported_longer_ago(rarely, now.mono) {
            self.report_channels(true, out);
        }
        self.after_writing(now, out);
    }

    /// Anything else that shows that the client lives: a ping of its own, a pong nobody asked for.
    pub(crate) fn on_sign_of_life(&mut self, now: Now, out: &mut Out) {
        self.pace.heard(now.mono);
        if !self.allows_frame(now) {
            out.close(CloseCode::RateLimited);
        }
    }

    /// Reports soon what had been missed and is confirmed now, so that it does not come a third time
    /// when the gateway is killed.
    fn report_what_was_caught_up(&mut self, out: &mut Out) {
        if self.broadcast.replay_confirmed() {
            self.receipts.report_soon();
        }
        self.report_channels(false, out);
    }

    fn report_channels(&mut self, all: bool, out: &mut Out) {
        for subscription in self.channels.take_moved(all) {
            self.keep(subscription, false, out);
        }
    }

    pub(super) fn flush_acks(&mut self, out: &mut Out) {
        if let Some(ack) = self.receipts.flush(self.broadcast.confirmed()) {
            out.ask(Call::Ack(self.identity.ack(ack)));
        }
    }
}
