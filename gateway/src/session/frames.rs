//! What a client's frames do, and what becomes of the channels it is on.

use carillon_common::{
    auth::may_join,
    backend::{BackendError, Gap, Page, Subscription},
    ids::{ChannelName, Cursor, Millis},
    notification::{Frame, rfc3339},
    protocol::{ClientFrame, CloseCode, Dialect, ErrorCode, Ref, Request, ServerFrame},
    telemetry::spans::Destination,
};

use super::{
    Call, Effect, Note, Now, Session,
    channels::{Answer, Member},
    feed::Feed,
};
use crate::{
    push::{ChannelGap, encode},
    session::traced::Traced,
};

impl Session {
    /// Whether the client may send one more frame, which nobody looks at.
    pub(crate) fn allows_frame(&mut self, now: Now) -> bool {
        self.pace.allows_frame(now.mono, self.rules.socket())
    }

    /// A text frame.
    pub(crate) fn on_client(&mut self, text: &str, now: Now, effects: &mut Vec<Effect>) {
        self.pace.heard(now.mono);
        let frame = ClientFrame::parse(text);
        // Bounded by what was written: whoever acks each of a replay one by one is no flood.
        if self.dialect() == Dialect::V1
            && let Ok(frame) = &frame
            && let Request::Ack { cursor } = &frame.request
            && self.on_ack(*cursor, effects)
        {
            return;
        }
        if !self.allows_frame(now) {
            return effects.push(Effect::Close(CloseCode::RateLimited, None));
        }
        match frame {
            Ok(frame) => self.on_request(frame, now, effects),
            Err(error) => {
                self.refuse(
                    error.reference.as_ref(),
                    error.code,
                    &error.message,
                    None,
                    effects,
                );
            }
        }
    }

    fn on_request(&mut self, frame: ClientFrame, now: Now, effects: &mut Vec<Effect>) {
        let reference = frame.reference;
        match frame.request {
            Request::Ping => {
                let reference = self.echoed(reference.as_ref());
                let pong = ServerFrame::Pong {
                    timestamp: rfc3339(now.wall),
                    reference,
                };
                effects.push(Effect::Write(pong.encode().into()));
            }
            Request::Subscribe {
                channel,
                since,
                durable,
            } => {
                self.subscribe(channel, since, durable, reference, effects);
            }
            Request::Unsubscribe { channel } => {
                self.unsubscribe(&channel, reference.as_ref(), effects);
            }
            Request::Auth { .. } | Request::Ack { .. } if self.dialect() == Dialect::Simple => {
                let message = "this frame needs the subprotocol carillon.v1";
                self.refuse(None, ErrorCode::NotInSimple, message, None, effects);
            }
            Request::Auth { token } => self.renew(&token, reference.as_ref(), now, effects),
            // It was looked at before it was counted.
            Request::Ack { .. } => {}
        }
    }

    /// The simple protocol's answers carry no mark.
    fn echoed<'a>(&self, reference: Option<&'a Ref>) -> Option<&'a Ref> {
        reference.filter(|_| self.dialect() == Dialect::V1)
    }

    fn refuse(
        &self,
        reference: Option<&Ref>,
        code: ErrorCode,
        message: &str,
        channel: Option<&ChannelName>,
        effects: &mut Vec<Effect>,
    ) {
        let reference = self.echoed(reference);
        let retryable = code.is_retryable();
        let frame = ServerFrame::Error {
            reference,
            code,
            message,
            retryable,
            channel,
        };
        effects.push(Effect::Write(frame.encode().into()));
        effects.push(Effect::Note(Note::Refused(code.as_str())));
    }

    fn renew(&mut self, token: &str, reference: Option<&Ref>, now: Now, effects: &mut Vec<Effect>) {
        let claims = match self
            .rules
            .keyring
            .current()
            .verifier
            .verify(token, now.wall)
        {
            Ok(claims) => claims,
            Err(error) => {
                let message = error.to_string();
                return self.refuse(reference, ErrorCode::TokenRefused, &message, None, effects);
            }
        };
        if *claims.sub != *self.identity.user.as_str() {
            let message = "the token is another user's; open a new connection for that user";
            return self.refuse(reference, ErrorCode::UserMismatch, message, None, effects);
        }
        self.claims = claims;
        self.revoked_at = Millis::MAX;
        self.warned_of_expiry = false;
        let expires_at = rfc3339(self.claims.exp_ms);
        let frame = ServerFrame::Authenticated {
            reference,
            expires_at,
        };
        effects.push(Effect::Write(frame.encode().into()));
        for channel in self.channels.names() {
            if !self.may_join(&channel) {
                self.leave(&channel, effects);
                let code = Some(ErrorCode::ChannelForbidden);
                let frame = ServerFrame::Unsubscribed {
                    channel: &channel,
                    reference: None,
                    code,
                };
                effects.push(Effect::Write(frame.encode().into()));
            }
        }
    }

    pub(super) fn may_join(&self, channel: &ChannelName) -> bool {
        let namespace = self.rules.settings.namespace(channel.as_str());
        may_join(&self.claims, channel.as_str(), namespace)
    }

    fn subscribe(
        &mut self,
        channel: ChannelName,
        since: Option<Cursor>,
        durable: bool,
        reference: Option<Ref>,
        effects: &mut Vec<Effect>,
    ) {
        let simple = self.dialect() == Dialect::Simple;
        if !self.may_join(&channel) {
            let code = ErrorCode::ChannelForbidden;
            let message = format!("the token does not allow channel {channel}");
            return self.refuse(reference.as_ref(), code, &message, Some(&channel), effects);
        }
        if let Some(member) = self.channels.get(&channel) {
            let (position, cursor) = (member.feed.position(), member.feed.confirmed());
            let restored = std::mem::take(&mut member.restored);
            // Twice is once; a subscription that is being restored is announced when it stands.
            if member.answer.is_none() {
                self.announce(&channel, reference.as_ref(), position, true, effects);
            }
            if restored {
                self.keep(Subscription { channel, cursor }, true, effects);
            }
            return;
        }
        if self.channels.len() >= self.rules.socket().channels && !self.make_room(effects) {
            let code = ErrorCode::TooManyChannels;
            let most = self.rules.socket().channels;
            let message = format!("a connection may be on {most} channels; unsubscribe from one");
            return self.refuse(reference.as_ref(), code, &message, Some(&channel), effects);
        }
        // The simple protocol has neither.
        let (since, durable) = if simple {
            (None, false)
        } else {
            (since, durable)
        };
        self.join(channel, since, durable, Some(Answer { reference }), effects);
    }

    pub(super) fn join(
        &mut self,
        channel: ChannelName,
        since: Option<Cursor>,
        durable: bool,
        answer: Option<Answer>,
        effects: &mut Vec<Effect>,
    ) {
        let feed = Feed::catching_up(since.unwrap_or_default());
        self.channels.insert(Member {
            channel: channel.clone(),
            feed,
            durable,
            since,
            restored: answer.is_none(),
            // The store handed a restored one over.
            told: since.filter(|_| answer.is_none()),
            answer,
        });
        effects.push(Effect::Do(Box::new(Call::Join(channel))));
    }

    /// The gateway follows the channel: the log ends at `last`.
    pub(super) fn on_joined(
        &mut self,
        channel: ChannelName,
        result: Result<Cursor, BackendError>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(member) = self.channels.get(&channel) else {
            // It was left before it was joined, so the gateway still has it for a member.
            return effects.push(Effect::Do(Box::new(Call::Leave(channel))));
        };
        let Ok(last) = result else {
            let Some(member) = self.channels.remove(&channel) else {
                return;
            };
            if let Some(answer) = member.answer {
                let message = "the channel cannot be followed now; try again";
                let code = ErrorCode::Unavailable;
                self.refuse(
                    answer.reference.as_ref(),
                    code,
                    message,
                    Some(&channel),
                    effects,
                );
            }
            return;
        };
        if let Some(since) = member.since
            && since != last
        {
            effects.push(Effect::Do(Box::new(Call::History(channel, since))));
            return;
        }
        member.feed.start(last);
        self.joined(&channel, last, None, effects);
        self.finish_catch_up(&channel, now, effects);
    }

    /// Answers the request and has the subscription kept, once it is known where it stands.
    fn joined(
        &mut self,
        channel: &ChannelName,
        cursor: Cursor,
        gap: Option<Gap>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(member) = self.channels.get(channel) else {
            return;
        };
        // The store knows of one that was restored.
        let Some(answer) = member.answer.take() else {
            return;
        };
        member.told = Some(cursor);
        self.announce(
            channel,
            answer.reference.as_ref(),
            cursor,
            gap.is_none(),
            effects,
        );
        let channel = channel.clone();
        self.keep(Subscription { channel, cursor }, true, effects);
    }

    fn announce(
        &self,
        channel: &ChannelName,
        reference: Option<&Ref>,
        cursor: Cursor,
        recovered: bool,
        effects: &mut Vec<Effect>,
    ) {
        let frame = match self.dialect() {
            Dialect::Simple => ServerFrame::Subscribed {
                channel,
                reference: None,
                cursor: None,
                recovered: None,
            },
            Dialect::V1 => ServerFrame::Subscribed {
                channel,
                reference,
                cursor: Some(cursor),
                recovered: Some(recovered),
            },
        };
        effects.push(Effect::Write(frame.encode().into()));
    }

    fn finish_catch_up(&mut self, channel: &ChannelName, now: Now, effects: &mut Vec<Effect>) {
        let Some(feed) = self.feed(channel) else {
            return;
        };
        for push in feed.finish() {
            self.write_channel_push(channel, &push, now, effects);
        }
    }

    pub(super) fn feed(&mut self, channel: &ChannelName) -> Option<&mut Feed> {
        if channel.is_broadcast() {
            Some(&mut self.broadcast)
        } else {
            self.channels.feed(channel)
        }
    }

    /// Starts the broadcasts: from the device's position, or at once when nothing was missed.
    pub(super) fn catch_up_broadcasts(
        &mut self,
        from: Cursor,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let here = self.broadcast.position();
        self.broadcast.start(from);
        if from == here {
            self.finish_catch_up(&ChannelName::broadcast(), now, effects);
        } else {
            effects.push(Effect::Do(Box::new(Call::History(
                ChannelName::broadcast(),
                from,
            ))));
        }
    }

    /// A page of a channel's log.
    pub(super) fn on_history(
        &mut self,
        channel: ChannelName,
        page: Page,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let loss = page.frames.iter().any(Frame::is_loss);
        let (gap, start) = (page.gap.or(loss.then_some(Gap::Rewound)), page.start);
        let Some(feed) = self.feed(&channel) else {
            return;
        };
        let caught = feed.on_page(page, now.wall);
        if !channel.is_broadcast() {
            self.joined(&channel, start, gap, effects);
        }
        if let Some(gap) = gap {
            self.tell_gap(Some(&channel), gap, start, effects);
        }
        let dialect = self.dialect();
        for frame in &caught.frames {
            effects.push(Effect::Write(encode(
                frame,
                dialect,
                dialect == Dialect::V1,
            )));
            self.note_written(true, frame.stored_at, effects);
            let traced = Traced::replayed(frame, Destination::Channel, dialect);
            effects.extend(traced.map(Effect::Traced));
            self.wrote_passing(&channel, frame.cursor, now);
        }
        if !caught.frames.is_empty() {
            self.caught_up(&channel, now);
        }
        for push in &caught.buffered {
            self.write_channel_push(&channel, push, now, effects);
        }
        if let Some(after) = caught.next {
            effects.push(Effect::Do(Box::new(Call::History(channel, after))));
        }
    }

    pub(super) fn on_channel_gap(&mut self, gap: &ChannelGap, effects: &mut Vec<Effect>) {
        let Some(feed) = self.feed(&gap.channel) else {
            return;
        };
        feed.jump(gap.resume);
        self.tell_gap(Some(&gap.channel), gap.reason, gap.resume, effects);
    }

    pub(super) fn tell_gap(
        &self,
        channel: Option<&ChannelName>,
        reason: Gap,
        resume: Cursor,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Note(Note::Gap(reason.as_str())));
        if self.dialect() == Dialect::V1 {
            let frame = ServerFrame::Gap {
                channel,
                reason,
                resume,
            };
            effects.push(Effect::Write(frame.encode().into()));
        }
    }

    /// A binary frame: the protocol is text.
    pub(crate) fn on_binary(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Close(CloseCode::Unsupported, None));
    }
}
