//! How a client comes onto a channel, and leaves it.

use carillon_common::{
    backend::{BackendError, Gap, Subscription},
    ids::{ChannelName, Cursor},
    protocol::{CloseCode, Dialect, ErrorCode, Ref, ServerFrame},
};

use super::{
    Call, Now, Out, Session,
    feed::Feed,
    memberships::{Answer, Member},
    streaming::At,
};

impl Session {
    pub(super) fn subscribe(
        &mut self,
        channel: ChannelName,
        since: Option<Cursor>,
        durable: bool,
        reference: Option<Ref>,
        out: &mut Out,
    ) {
        if !self.may_join(&channel) {
            let code = ErrorCode::ChannelForbidden;
            let message = format!("the token does not allow channel {channel}");
            return self.refuse(reference.as_ref(), code, &message, Some(&channel), out);
        }
        if let Some(member) = self.channels.get(&channel) {
            let (position, cursor) = (member.feed.position(), member.feed.confirmed());
            let restored = std::mem::take(&mut member.restored);
            // Asking twice is joining once. While it is being joined, the first answer is for both.
            if member.answer.is_none() {
                self.announce(&channel, reference.as_ref(), position, true, out);
            }
            if restored {
                self.keep(Subscription { channel, cursor }, true, out);
            }
            return;
        }
        if self.channels.own_count() >= self.rules.socket().channels && !self.make_room(out) {
            let code = ErrorCode::TooManyChannels;
            let most = self.rules.socket().channels;
            let message = format!("a connection may be on {most} channels; unsubscribe from one");
            return self.refuse(reference.as_ref(), code, &message, Some(&channel), out);
        }
        // The simple protocol has neither `since` nor `durable`.
        let (since, durable) = match self.dialect() {
            Dialect::Simple => (None, false),
            Dialect::V1 | Dialect::Events => (since, durable),
        };
        self.join(channel, since, durable, Some(Answer { reference }), out);
    }

    pub(super) fn join(
        &mut self,
        channel: ChannelName,
        since: Option<Cursor>,
        durable: bool,
        answer: Option<Answer>,
        out: &mut Out,
    ) {
        let feed = Feed::catching_up(since.unwrap_or_default());
        self.channels.insert(Member {
            channel: channel.clone(),
            feed,
            durable,
            assigned: false,
            since,
            restored: answer.is_none(),
            // The store knows of a restored one.
            reported: since.filter(|_| answer.is_none()),
            answer,
        });
        out.ask(Call::Join(channel));
    }

    /// The gateway follows the channel: the log ends at `last`.
    pub(super) fn on_joined(
        &mut self,
        channel: ChannelName,
        result: Result<Cursor, BackendError>,
        now: Now,
        out: &mut Out,
    ) {
        let Some(member) = self.channels.get(&channel) else {
            // It was left before it was joined, so the gateway still has it for a member.
            return out.ask(Call::Leave(channel));
        };
        let Ok(last) = result else {
            // Without it the client's next position would not say where it was on the channel. It comes back with
            // the one that does. What a service wants the client to have, it cannot do without.
            if member.assigned || self.dialect() == Dialect::Events {
                return out.close(CloseCode::Overloaded);
            }
            let removed = self.channels.remove(&channel);
            if let Some(answer) = removed.and_then(|member| member.answer) {
                let message = "the channel cannot be followed now; try again";
                let (reference, code) = (answer.reference.as_ref(), ErrorCode::Unavailable);
                self.refuse(reference, code, message, Some(&channel), out);
            }
            return;
        };
        if let Some(since) = member.since
            && since != last
        {
            return out.ask(Call::History(channel, since));
        }
        member.feed.start(last);
        self.answer_joined(&channel, last, None, out);
        self.finish_catch_up(&channel, now, out);
    }

    /// Answers the request and has the subscription kept, once its position is known.
    pub(super) fn answer_joined(
        &mut self,
        channel: &ChannelName,
        cursor: Cursor,
        gap: Option<Gap>,
        out: &mut Out,
    ) {
        let Some(member) = self.channels.get(channel) else {
            return;
        };
        // The store knows of one that was restored.
        let Some(answer) = member.answer.take() else {
            return;
        };
        member.reported = Some(cursor);
        let assigned = member.assigned;
        // Where a device goes on that was there before, the store has said itself.
        let known = assigned && member.since.is_some();
        let reference = answer.reference.as_ref();
        self.announce(channel, reference, cursor, gap.is_none(), out);
        if !known {
            let (asked, channel) = (!assigned, channel.clone());
            self.keep(Subscription { channel, cursor }, asked, out);
        }
    }

    fn announce(
        &self,
        channel: &ChannelName,
        reference: Option<&Ref>,
        cursor: Cursor,
        recovered: bool,
        out: &mut Out,
    ) {
        let told = self.dialect().tells();
        let subscribed = ServerFrame::Subscribed {
            channel,
            reference: reference.filter(|_| told),
            cursor: told.then_some(cursor),
            recovered: told.then_some(recovered),
        };
        self.write_at(At::Log(channel, cursor), &subscribed, out);
    }

    pub(super) fn unsubscribe(
        &mut self,
        channel: &ChannelName,
        reference: Option<&Ref>,
        out: &mut Out,
    ) {
        if self.channels.get(channel).is_some_and(|it| it.assigned) {
            let message =
                "a service has put this user on the channel; it is that service that ends it";
            let code = ErrorCode::Assigned;
            return self.refuse(reference, code, message, Some(channel), out);
        }
        self.leave(channel, out);
        // The simple protocol does not answer.
        if self.dialect().tells() {
            out.write(&ServerFrame::Unsubscribed {
                channel,
                reference,
                code: None,
            });
        }
    }

    pub(super) fn leave(&mut self, channel: &ChannelName, out: &mut Out) {
        let Some(member) = self.channels.remove(channel) else {
            return;
        };
        out.ask(Call::Leave(channel.clone()));
        if let Some(holder) = self.holder(member.assigned, member.durable) {
            out.ask(Call::Forget(holder, channel.clone()));
        }
    }
}
