//! Subscriptions that outlive connections: given back, given up, and giving way.

use carillon_common::{
    backend::{Claimed, Holder, Subscription},
    ids::ChannelName,
    protocol::{Dialect, ErrorCode, Ref, ServerFrame},
};

use super::{CLAIM_AGAIN, Call, Effect, Note, Session};

impl Session {
    /// Takes up a subscription that was kept, if the token still allows it.
    pub(super) fn rejoin(&mut self, kept: Subscription, effects: &mut Vec<Effect>) {
        let Subscription { channel, cursor } = kept;
        if self.may_join(&channel) && self.channels.get(&channel).is_none() {
            let durable = self.dialect() == Dialect::V1;
            self.join(channel, Some(cursor), durable, None, effects);
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        channel: &ChannelName,
        reference: Option<&Ref>,
        effects: &mut Vec<Effect>,
    ) {
        self.leave(channel, effects);
        // The simple protocol does not answer.
        if self.dialect() == Dialect::V1 {
            let frame = ServerFrame::Unsubscribed {
                channel,
                reference,
                code: None,
            };
            effects.push(Effect::Write(frame.encode().into()));
        }
    }

    pub(super) fn leave(&mut self, channel: &ChannelName, effects: &mut Vec<Effect>) {
        let Some(member) = self.channels.remove(channel) else {
            return;
        };
        effects.push(Effect::Do(Box::new(Call::Leave(channel.clone()))));
        let holder = match self.dialect() {
            Dialect::Simple => Holder::Session(self.identity.session.clone()),
            Dialect::V1 if member.durable => Holder::Device(self.identity.device.clone()),
            Dialect::V1 => return,
        };
        effects.push(Effect::Do(Box::new(Call::Forget(holder, channel.clone()))));
    }

    /// The user keeps as many subscriptions as may be. One that was to be durable is none, and its
    /// client is told; that of a simple client lasts as long as its connection.
    pub(super) fn on_not_kept(&mut self, channel: &ChannelName, effects: &mut Vec<Effect>) {
        let durable = self.channels.get(channel).is_some_and(|it| it.durable);
        if durable {
            self.leave(channel, effects);
            self.tell_too_many(channel, effects);
            let code = ErrorCode::TooManyChannels.as_str();
            effects.push(Effect::Note(Note::Refused(code)));
        }
    }

    /// A subscription ended because there were too many.
    fn tell_too_many(&self, channel: &ChannelName, effects: &mut Vec<Effect>) {
        let frame = ServerFrame::Unsubscribed {
            channel,
            reference: None,
            code: Some(ErrorCode::TooManyChannels),
        };
        effects.push(Effect::Write(frame.encode().into()));
    }

    /// Subscriptions that ended connections left for this one.
    pub(super) fn on_claimed(&mut self, claimed: Claimed, effects: &mut Vec<Effect>) {
        for subscription in claimed.subscriptions {
            if self.channels.len() < self.rules.socket().channels {
                self.rejoin(subscription, effects);
            } else if self.channels.get(&subscription.channel).is_none() {
                // Those asked for the longest ago come last. Kept for ever they would only grow.
                effects.push(Effect::Note(Note::GaveWay));
                let holder = Holder::Session(self.identity.session.clone());
                let forget = Call::Forget(holder, subscription.channel);
                effects.push(Effect::Do(Box::new(forget)));
            }
        }
        if claimed.others_hold && self.claims_left > 0 {
            let delay = CLAIM_AGAIN[CLAIM_AGAIN.len() - usize::from(self.claims_left)];
            self.claims_left -= 1;
            effects.push(Effect::Do(Box::new(Call::Claim(delay))));
        }
    }

    /// Room for a channel that is asked for: those that came back by themselves and that nothing
    /// asked for again go first, the one that was asked for the longest ago before the others. (A
    /// page for each ticket that is looked at would fill every connection with past ones.)
    pub(super) fn make_room(&mut self, effects: &mut Vec<Effect>) -> bool {
        let Some(channel) = self.channels.first_to_leave() else {
            return false;
        };
        self.leave(&channel, effects);
        effects.push(Effect::Note(Note::GaveWay));
        if self.dialect() == Dialect::V1 {
            self.tell_too_many(&channel, effects);
        }
        true
    }
}
