//! Subscriptions that outlive connections: given back, given up, and giving way.

use std::time::Duration;

use carillon_common::{
    backend::{Claimed, Holder, Subscription},
    ids::ChannelName,
    protocol::{Dialect, ErrorCode, ServerFrame},
};

use super::{Call, Note, Out, Session};

/// When a simple connection asks again for subscriptions that others still held: a gateway that
/// was killed holds them until its lease ends and it is reaped.
const CLAIM_AGAIN: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

impl Session {
    /// Takes up a subscription that was kept, if the token still allows it.
    pub(super) fn rejoin(&mut self, kept: Subscription, out: &mut Out) {
        let Subscription { channel, cursor } = kept;
        if self.may_join(&channel) && self.channels.get(&channel).is_none() {
            let durable = self.dialect() != Dialect::Simple;
            let cursor = self.channel_came_with(&channel).unwrap_or(cursor);
            self.join(channel, Some(cursor), durable, None, out);
        }
    }

    /// Has a subscription kept, if it is one that outlives the connection.
    pub(super) fn keep(&mut self, subscription: Subscription, asked: bool, out: &mut Out) {
        let member = self.channels.get(&subscription.channel);
        let (assigned, durable) = member.map_or((false, false), |it| (it.assigned, it.durable));
        let Some(holder) = self.holder(assigned, durable) else {
            return;
        };
        out.ask(Call::Keep {
            holder,
            subscription,
            asked,
        });
    }

    /// Who holds a subscription of this connection, if it is one that outlives it.
    pub(super) fn holder(&self, assigned: bool, durable: bool) -> Option<Holder> {
        let device = || self.identity.device.clone();
        match self.dialect() {
            _ if assigned => Some(Holder::Assigned(device())),
            _ if durable => Some(Holder::Device(device())),
            Dialect::Simple => Some(Holder::Session(self.identity.session.clone())),
            Dialect::V1 | Dialect::Events => None,
        }
    }

    /// The user has as many kept subscriptions as are allowed. A durable one ends, and its client is told;
    /// that of a simple client lasts as long as its connection.
    pub(super) fn on_not_kept(&mut self, channel: &ChannelName, out: &mut Out) {
        let member = self.channels.get(channel);
        // What a service has put the user on stays; only where this device is on it is not kept.
        if member.is_some_and(|it| it.durable && !it.assigned) {
            self.leave(channel, out);
            self.tell_too_many(channel, out);
            out.note(Note::Refused(ErrorCode::TooManyChannels));
        }
    }

    /// A subscription ended because there were too many.
    fn tell_too_many(&self, channel: &ChannelName, out: &mut Out) {
        out.write(&ServerFrame::Unsubscribed {
            channel,
            reference: None,
            code: Some(ErrorCode::TooManyChannels),
        });
    }

    /// Subscriptions that ended connections left for this one.
    pub(super) fn on_claimed(&mut self, claimed: Claimed, out: &mut Out) {
        for subscription in claimed.subscriptions {
            if self.channels.own_count() < self.rules.socket().channels {
                self.rejoin(subscription, out);
            } else if self.channels.get(&subscription.channel).is_none() {
                // The least recently asked for come last. They are forgotten, or they would only grow.
                out.note(Note::GaveWay);
                let holder = Holder::Session(self.identity.session.clone());
                out.ask(Call::Forget(holder, subscription.channel));
            }
        }
        if claimed.others_hold && self.claims_left > 0 {
            let delay = CLAIM_AGAIN[CLAIM_AGAIN.len() - usize::from(self.claims_left)];
            self.claims_left -= 1;
            out.ask(Call::Claim(delay));
        }
    }

    /// Makes room for a channel that is asked for: a restored one that nobody asked for again ends, the
    /// least recently used first. (A client with a channel for each ticket that it shows would
    /// otherwise fill every connection with past tickets.)
    pub(super) fn make_room(&mut self, out: &mut Out) -> bool {
        let Some(channel) = self.channels.first_to_leave() else {
            return false;
        };
        self.leave(&channel, out);
        out.note(Note::GaveWay);
        if self.dialect().tells() {
            self.tell_too_many(&channel, out);
        }
        true
    }
}
