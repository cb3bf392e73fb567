//! What the client is known to have, from its acks and pongs, and when the store is told.

use std::time::Duration;

use carillon_common::{
    backend::{Holder, Subscription},
    ids::{ChannelName, Cursor},
    protocol::{CloseCode, Dialect},
};

use tokio::time::Instant;

use super::{Call, Effect, Note, Now, Session, feed::Acked};

impl Session {
    /// An ack. Whether it moves forward over what was written, and so was paid for by us.
    pub(super) fn on_ack(&mut self, cursor: Cursor, effects: &mut Vec<Effect>) -> bool {
        // No two of the logs have a cursor in common: half of it is drawn by chance.
        let mut acked = self.receipts.on_ack(cursor);
        if acked == Acked::Foreign {
            acked = self.broadcast.on_ack(cursor);
        }
        if acked == Acked::Foreign {
            acked = self.channels.on_ack(cursor);
        }
        if acked == Acked::Foreign {
            effects.push(Effect::Note(Note::ForeignAck));
        }
        self.tell_what_was_caught_up(effects);
        acked == Acked::Forward
    }

    /// A notification of a channel or to everyone was written.
    pub(super) fn wrote_passing(&mut self, channel: &ChannelName, cursor: Cursor, now: Now) {
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
        }
    }

    /// A page of what was missed was written.
    pub(super) fn caught_up(&mut self, channel: &ChannelName, now: Now) {
        if let Some(feed) = self.feed(channel) {
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

    /// After everything that one wake-up brought: a simple client's receipt is its pong, as is any
    /// client's for having been told of a loss.
    pub(crate) fn after_writing(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let written = |effect: &Effect| matches!(effect, Effect::Write(_));
        let alone = self.asks_alone_at(now).is_some_and(|at| at <= now.mono);
        let due = alone || (self.asking.is_due(now.mono) && effects.iter().any(written));
        let due = due && self.dialect() == Dialect::Simple;
        if due || self.receipts.wants_ping(self.dialect()) {
            self.ping(now, effects);
        }
        let stands = (self.inbox.position(), self.broadcast.confirmed());
        self.receipts.settle(stands, now.mono, self.rules.socket());
        if self.receipts.flush_at().is_some_and(|at| at <= now.mono) {
            self.flush_acks(effects);
        }
    }

    pub(super) fn ping(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(payload) = self.receipts.ping(self.inbox.position()) else {
            return;
        };
        self.broadcast.pinged(self.dialect());
        self.channels.pinged(self.dialect());
        self.asking.asked();
        self.pace.pinged(now.mono, self.rules.socket());
        effects.push(Effect::Ping(payload));
    }

    /// A pong: the client has read everything that was written before its ping.
    pub(crate) fn on_pong(&mut self, payload: &[u8], now: Now, effects: &mut Vec<Effect>) {
        if !self.receipts.on_pong(payload, self.dialect()) {
            return self.on_sign_of_life(now, effects);
        }
        self.pace.heard(now.mono);
        self.pace.ponged();
        self.broadcast.ponged(self.dialect());
        self.channels.ponged(self.dialect());
        self.tell_what_was_caught_up(effects);
        let rarely = self.rules.socket().ping_interval;
        if self.channels.told_longer_ago(rarely, now.mono) {
            self.tell_channels(true, effects);
        }
        self.after_writing(now, effects);
    }

    /// Anything else that shows that the client lives: a ping of its own, a pong nobody asked for.
    pub(crate) fn on_sign_of_life(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.pace.heard(now.mono);
        if !self.allows_frame(now) {
            effects.push(Effect::Close(CloseCode::RateLimited, None));
        }
    }

    /// The store is told soon of what had been missed and is confirmed now, so that it does not come
    /// a third time when the gateway is killed.
    fn tell_what_was_caught_up(&mut self, effects: &mut Vec<Effect>) {
        if self.broadcast.replay_confirmed() {
            self.receipts.tell_soon();
        }
        self.tell_channels(false, effects);
    }

    fn tell_channels(&mut self, all: bool, effects: &mut Vec<Effect>) {
        for subscription in self.channels.take_moved(all) {
            self.keep(subscription, false, effects);
        }
    }

    /// Has a subscription kept, if it is one that outlives the connection.
    pub(super) fn keep(
        &mut self,
        subscription: Subscription,
        asked: bool,
        effects: &mut Vec<Effect>,
    ) {
        let holder = match (self.dialect(), self.channels.get(&subscription.channel)) {
            (Dialect::Simple, _) => Holder::Session(self.identity.session.clone()),
            (Dialect::V1, Some(member)) if member.durable => {
                Holder::Device(self.identity.device.clone())
            }
            (Dialect::V1, _) => return,
        };
        effects.push(Effect::Do(Box::new(Call::Keep {
            holder,
            subscription,
            asked,
        })));
    }

    pub(super) fn flush_acks(&mut self, effects: &mut Vec<Effect>) {
        if let Some(ack) = self.receipts.flush(self.broadcast.confirmed()) {
            effects.push(Effect::Do(Box::new(Call::Ack(self.identity.ack(ack)))));
        }
    }
}
