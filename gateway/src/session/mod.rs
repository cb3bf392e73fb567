//! One connection's session as a pure state machine: frames and events in, effects out.
//!
//! It knows neither socket nor store nor clock. [`crate::connection`] feeds it and carries its
//! effects out; the rules of delivery are all here and in the modules below.

mod asking;
mod channels;
mod confirming;
mod feed;
mod frames;
mod identity;
mod inbox;
mod keeping;
mod pace;
mod parting;
mod receipts;
#[cfg(test)]
mod tests;
pub(crate) mod traced;
mod written;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use carillon_common::{
    auth::{Claims, Keyring},
    backend::{
        Ack, BackendError, Claimed, Device, Gap, Holder, Page, Registered, Registration,
        Subscription,
    },
    ids::{ChannelName, Cursor, Millis},
    notification::Frame,
    protocol::{CloseCode, Dialect, ServerFrame, SocketLimits},
    settings::{Settings, SocketSettings},
    telemetry::spans::Destination,
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{
    push::{ChannelGap, ChannelPush, Push, encode},
    session::traced::Traced,
};
use asking::Asking;
use channels::Channels;
use feed::Feed;
pub(crate) use identity::Identity;
use inbox::{Inbox, Step};
use pace::Pace;
pub(crate) use parting::Closing;
use receipts::Receipts;

/// What all sessions of a gateway go by.
pub(crate) struct Rules {
    /// The configuration.
    pub settings: Settings,
    /// What tokens are checked by.
    pub keyring: Keyring,
    /// Told in `welcome`.
    pub limits: SocketLimits,
}

impl Rules {
    fn socket(&self) -> &SocketSettings {
        &self.settings.socket
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Rules {
    /// From the configuration and the keys that are in force.
    pub(crate) fn new(settings: Settings, keyring: Keyring) -> Self {
        let limits = SocketLimits {
            frame_bytes: settings.socket.frame_bytes,
            channels: settings.socket.channels,
            frames_per_second: settings.socket.frames_per_second,
            inbox: u32::try_from(settings.inbox.max).unwrap_or(u32::MAX),
        };
        Self {
            settings,
            keyring,
            limits,
        }
    }
}

/// The two clocks a session lives by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For deadlines.
    pub mono: Instant,
    /// For expiries: the store's time.
    pub wall: Millis,
}

/// Something for a session from the gateway, the bus or the store.
#[derive(Debug)]
pub(crate) enum Event {
    /// The answer to [`Call::Register`].
    Registered(Result<Registered, BackendError>),
    /// The answer to [`Call::Read`].
    Page(Page),
    /// The answer to [`Call::Ack`].
    Acked,
    /// The answer to [`Call::Keep`] when the user keeps as many as may be.
    NotKept(ChannelName),
    /// The answer to [`Call::Join`]: the log's last cursor.
    Joined(ChannelName, Result<Cursor, BackendError>),
    /// The answer to [`Call::History`].
    History(ChannelName, Page),
    /// The answer to [`Call::Claim`].
    Claimed(Claimed),
    /// A channel's log does not continue where its members are.
    ChannelGap(ChannelGap),
    /// Hints may have been missed, or the registration lost.
    Dirty,
    /// Another connection has registered this session. It may be an older one that came late and
    /// ended already: the store decides, after a moment.
    Contested,
    /// The audit found the inbox's last cursor here.
    Audit(Cursor),
    /// Leave, within this time.
    Drain {
        /// When this connection is to be closed.
        close_in: Duration,
        /// Why, as in the frame.
        reason: &'static str,
    },
    /// Keys have gone: a connection whose token was signed with one of them ends after this.
    Revocation(Duration),
    /// End now.
    Close(CloseCode),
}

impl Event {
    /// What it brings to be written, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Registered(Ok(registered)) => registered.page.weight(),
            Self::Page(page) | Self::History(_, page) => page.weight(),
            _ => 0,
        }
    }
}

/// Something for the socket or the store.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Write a text frame.
    Write(Utf8Bytes),
    /// Send a ping with this payload.
    Ping(String),
    /// Ask the store; the answer comes back as an event.
    Do(Box<Call>),
    /// Write a close frame and end.
    Close(CloseCode, Option<&'static str>),
    /// Count it.
    Note(Note),
    /// What was just to be written is traced.
    Traced(Box<Traced>),
}

/// A question to the store or the hub.
#[derive(Debug)]
pub(crate) enum Call {
    /// Register the connection and read its first page.
    Register(Registration),
    /// Register it again after a moment: another connection took the session.
    Contest(Registration),
    /// Read the next page of the inbox.
    Read(Cursor),
    /// Tell how far the device has read.
    Ack(Ack),
    /// Become a member of a channel.
    Join(ChannelName),
    /// Stop being one.
    Leave(ChannelName),
    /// Read a page of a channel's log.
    History(ChannelName, Cursor),
    /// Keep a subscription. `asked`: the client asked for it now; else it is only known where it
    /// stands.
    Keep {
        /// Whose it is.
        holder: Holder,
        /// To which channel, and from where on.
        subscription: Subscription,
        /// Whether it is a use.
        asked: bool,
    },
    /// Forget a kept one.
    Forget(Holder, ChannelName),
    /// Take over what ended connections of the user left, after a delay.
    Claim(Duration),
}

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// Notifications written: live or replayed.
    Written {
        /// From the inbox or log rather than the bus.
        replayed: bool,
        /// When it was stored, for the latency of live ones.
        stored_at: Millis,
    },
    /// A hint did not continue the chain.
    ChainBreak,
    /// A client was told of a gap.
    Gap(&'static str),
    /// A notification was not delivered because it had expired.
    Expired,
    /// An ack of a cursor that was not written on this connection.
    ForeignAck,
    /// The audit found something that had not been delivered.
    AuditRepair,
    /// A request was refused with this code.
    Refused(&'static str),
    /// A restored subscription gave way to one that was asked for.
    GaveWay,
}

/// One connection's session.
#[derive(Debug)]
pub(crate) struct Session {
    rules: Arc<Rules>,
    identity: Identity,
    claims: Claims,
    /// A number that no store gives is none.
    fence: Option<NonZeroU64>,
    inbox: Inbox,
    receipts: Receipts,
    broadcast: Feed,
    channels: Channels,
    pace: Pace,
    asking: Asking,
    /// Until it has caught up for the first time: when it is given up.
    live_by: Option<Instant>,
    /// At most three delays are left before this simple connection gives up claiming.
    claims_left: u8,
    warned_of_expiry: bool,
    /// When its connection ends because the token's key is gone; `Millis::MAX` while it is not.
    revoked_at: Millis,
    /// A registration is under way, and whether another one is to follow it: what it answers may be
    /// older than the doubt.
    registering: bool,
    register_once_more: bool,
    /// The client was told, while it is caught up, that the store has lost something.
    told_of_loss: bool,
}

/// When a simple connection asks again for subscriptions that others still held: a gateway that
/// was killed holds them until its lease ends and it is reaped.
const CLAIM_AGAIN: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// How long a connection may take from one page to the next until it has caught up for the first
/// time. Clients that are answered pings would wait without end; a store that is away for longer is
/// better waited for with pauses.
const LIVE_WITHIN: Duration = Duration::from_secs(60);

/// How long before a token's end a client is told.
const EXPIRY_WARNING_MS: i64 = 60_000;

impl Session {
    /// A session that has yet to be registered; `broadcast` is where the gateway stands in that
    /// log.
    pub(crate) fn open(
        rules: Arc<Rules>,
        identity: Identity,
        claims: Claims,
        broadcast: Cursor,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let pace = Pace::new(&rules.settings, now.mono);
        let registration = identity.registration(None, identity.since, broadcast);
        effects.push(Effect::Do(Box::new(Call::Register(registration))));
        Self {
            rules,
            identity,
            claims,
            fence: None,
            inbox: Inbox::new(),
            receipts: Receipts::new(),
            broadcast: Feed::catching_up(broadcast),
            channels: Channels::new(),
            pace,
            asking: Asking::default(),
            live_by: Some(now.mono + LIVE_WITHIN),
            claims_left: 3,
            warned_of_expiry: false,
            revoked_at: Millis::MAX,
            registering: true,
            register_once_more: false,
            told_of_loss: false,
        }
    }

    /// The fence of its registration, once it has one.
    pub(crate) fn fence(&self) -> Option<u64> {
        self.fence.map(NonZeroU64::get)
    }

    /// Where it stands in its inbox.
    pub(crate) fn position(&self) -> Cursor {
        self.inbox.position()
    }

    fn dialect(&self) -> Dialect {
        self.identity.dialect
    }

    /// A hint of a personal notification.
    pub(crate) fn on_push(&mut self, push: &Arc<Push>, now: Now, effects: &mut Vec<Effect>) {
        match self.inbox.on_push(push) {
            Step::Deliver => self.deliver_live(push, now, effects),
            Step::Nothing => {}
            Step::Read(after) => {
                effects.push(Effect::Note(Note::ChainBreak));
                effects.push(Effect::Do(Box::new(Call::Read(after))));
            }
        }
    }

    fn deliver_live(&mut self, push: &Arc<Push>, now: Now, effects: &mut Vec<Effect>) {
        if push.deliverable(now.wall) {
            self.write_live(push, effects);
            self.receipts.wrote(push.frame.cursor);
        } else {
            self.skip(push.frame.cursor, push.frame.tombstone, effects);
        }
    }

    /// Passes over a frame that is not to be delivered.
    fn skip(&mut self, cursor: Cursor, tombstone: bool, effects: &mut Vec<Effect>) {
        if !tombstone && !self.identity.user.is_canary() {
            effects.push(Effect::Note(Note::Expired));
        }
        self.receipts.skipped(cursor, !tombstone);
    }

    fn write_live(&self, push: &Arc<Push>, effects: &mut Vec<Effect>) {
        let dialect = self.dialect();
        effects.push(Effect::Write(push.text(dialect)));
        self.note_written(false, push.frame.stored_at, effects);
        effects.extend(Traced::live(push, dialect).map(Effect::Traced));
    }

    fn note_written(&self, replayed: bool, stored_at: Millis, effects: &mut Vec<Effect>) {
        // What the canary is given is no user's.
        if self.identity.user.is_canary() {
            return;
        }
        effects.push(Effect::Note(Note::Written {
            replayed,
            stored_at,
        }));
    }

    /// A notification outside the chain.
    pub(crate) fn on_fleeting(&mut self, push: &Arc<Push>, effects: &mut Vec<Effect>) {
        if self.inbox.is_open() {
            self.write_live(push, effects);
        }
    }

    /// A hint of a channel's notification, or of a broadcast.
    pub(crate) fn on_channel_push(
        &mut self,
        push: &Arc<ChannelPush>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let feed = if push.channel.is_broadcast() {
            &mut self.broadcast
        } else {
            match self.channels.feed(&push.channel) {
                Some(feed) => feed,
                None => return,
            }
        };
        if feed.on_push(&push.push) {
            self.write_channel_push(&push.channel, &push.push, now, effects);
        }
    }

    fn write_channel_push(
        &mut self,
        channel: &ChannelName,
        push: &Arc<Push>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if push.deliverable(now.wall) {
            self.write_live(push, effects);
            self.wrote_passing(channel, push.frame.cursor, now);
        }
    }

    /// Hints were dropped because the outbox was full; it has drained.
    pub(crate) fn on_overflow(&mut self, effects: &mut Vec<Effect>) {
        if let Some(after) = self.inbox.suspect() {
            effects.push(Effect::Do(Box::new(Call::Read(after))));
        }
    }

    /// Anything but a hint.
    pub(crate) fn on_event(&mut self, event: Event, now: Now, effects: &mut Vec<Effect>) {
        match event {
            Event::Registered(Ok(registered)) => {
                self.on_registered(registered, now, effects);
                self.after_registering(now, effects);
            }
            Event::Registered(Err(BackendError::Replaced)) => {
                effects.push(Effect::Close(CloseCode::Replaced, None));
            }
            Event::Registered(Err(BackendError::TooManyConnections)) => {
                effects.push(Effect::Close(CloseCode::TooManyConnections, None));
            }
            Event::Registered(Err(_)) => effects.push(Effect::Close(CloseCode::Overloaded, None)),
            Event::Page(page) => {
                self.on_page(page, now, effects);
                self.progressed(now);
            }
            Event::Acked => self.receipts.on_acked(),
            Event::NotKept(channel) => self.on_not_kept(&channel, effects),
            Event::Joined(channel, result) => self.on_joined(channel, result, now, effects),
            Event::History(channel, page) => self.on_history(channel, page, now, effects),
            Event::Claimed(claimed) => self.on_claimed(claimed, effects),
            Event::ChannelGap(gap) => self.on_channel_gap(&gap, effects),
            Event::Dirty => self.register_again(Call::Register, effects),
            Event::Contested => self.register_again(Call::Contest, effects),
            Event::Audit(last) => {
                if let Some(after) = self.inbox.audit(last) {
                    effects.push(Effect::Note(Note::AuditRepair));
                    effects.push(Effect::Do(Box::new(Call::Read(after))));
                }
            }
            Event::Drain { close_in, reason } => self.on_drain(close_in, reason, now, effects),
            Event::Revocation(ends_in) => self.on_revocation(ends_in, now, effects),
            Event::Close(code) => effects.push(Effect::Close(code, None)),
        }
    }

    fn on_registered(&mut self, registered: Registered, now: Now, effects: &mut Vec<Effect>) {
        let again = self.fence.is_some();
        self.fence = NonZeroU64::new(registered.fence);
        let page = registered.page;
        if !again {
            self.receipts.start(page.start, registered.broadcast);
            if self.dialect() == Dialect::V1 {
                self.welcome(&page, effects);
            }
            self.catch_up_broadcasts(registered.broadcast, now, effects);
            for subscription in registered.subscriptions {
                self.rejoin(subscription, effects);
            }
            if self.dialect() == Dialect::Simple && registered.claimable {
                effects.push(Effect::Do(Box::new(Call::Claim(Duration::ZERO))));
            }
        }
        self.on_page(page, now, effects);
    }

    fn welcome(&self, page: &Page, effects: &mut Vec<Effect>) {
        let device = match &self.identity.device {
            Device::Named(device) => Some(device),
            Device::Anonymous => None,
        };
        let frame = ServerFrame::Welcome {
            protocol: ServerFrame::PROTOCOL,
            session: &self.identity.session,
            user: &self.identity.user,
            device,
            cursor: page.start,
            recovered: page.gap.is_none() && !page.frames.iter().any(Frame::is_loss),
            ping_interval_ms: millis(self.rules.socket().ping_interval),
            token_expires_at: carillon_common::notification::rfc3339(self.claims.exp_ms),
            limits: self.rules.limits,
        };
        effects.push(Effect::Write(frame.encode().into()));
    }

    fn on_page(&mut self, page: Page, now: Now, effects: &mut Vec<Effect>) {
        if let Some(gap) = page.gap {
            self.tell_gap(None, gap, page.start, effects);
            self.receipts.restart(page.start);
            self.told_of_loss |= gap == Gap::Rewound;
        }
        let dialect = self.dialect();
        let mut count = 0;
        for frame in &page.frames {
            if frame.deliverable(now.wall) {
                effects.push(Effect::Write(encode(frame, dialect, true)));
                self.note_written(true, frame.stored_at, effects);
                let traced = Traced::replayed(frame, Destination::Inbox, dialect);
                effects.extend(traced.map(Effect::Traced));
                self.receipts.wrote(frame.cursor);
                count += 1;
            } else {
                if frame.is_loss() {
                    self.on_loss(frame.cursor, effects);
                }
                self.skip(frame.cursor, frame.tombstone, effects);
            }
        }
        match self.inbox.on_page(page.end, page.more, count) {
            Step::Read(after) => effects.push(Effect::Do(Box::new(Call::Read(after)))),
            Step::Deliver | Step::Nothing => self.go_live(now, effects),
        }
    }

    /// The store has lost something here: told once for all that is caught up with.
    fn on_loss(&mut self, at: Cursor, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.told_of_loss, true) {
            self.tell_gap(None, Gap::Rewound, at, effects);
        }
        if self.dialect() == Dialect::V1 {
            self.receipts.told_of_loss();
        }
    }

    /// The last page is written: what the bus brought meanwhile follows.
    fn go_live(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.told_of_loss = false;
        let replayed = self.inbox.take_replayed();
        for push in self.inbox.take_buffered() {
            match self.inbox.on_buffered(&push) {
                Step::Deliver => self.deliver_live(&push, now, effects),
                Step::Nothing => {}
                Step::Read(after) => {
                    effects.push(Effect::Do(Box::new(Call::Read(after))));
                    break;
                }
            }
        }
        if let Some(count) = replayed
            && self.dialect() == Dialect::V1
        {
            let frame = ServerFrame::Replayed {
                cursor: self.inbox.position(),
                count: count.into(),
            };
            effects.push(Effect::Write(frame.encode().into()));
        }
    }

    /// What had to wait for the registration.
    fn after_registering(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.progressed(now);
        self.announce_close(now, effects);
        self.registering = false;
        if std::mem::take(&mut self.register_once_more) {
            self.register_again(Call::Register, effects);
        }
    }

    /// A page was handled.
    fn progressed(&mut self, now: Now) {
        let catching_up = !self.inbox.is_live();
        let patience = self.live_by.filter(|_| catching_up);
        self.live_by = patience.map(|_| now.mono + LIVE_WITHIN);
    }

    fn register_again(
        &mut self,
        call: impl FnOnce(Registration) -> Call,
        effects: &mut Vec<Effect>,
    ) {
        if self.registering {
            self.register_once_more = true;
            return;
        }
        let Some(fence) = self.fence() else { return };
        self.registering = true;
        self.inbox.register_again();
        let since = Some(self.inbox.position());
        let registration =
            self.identity
                .registration(Some(fence), since, self.broadcast.position());
        effects.push(Effect::Do(Box::new(call(registration))));
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do next.
    pub(crate) fn next_deadline(&self, now: Now) -> Instant {
        let mut next = self.pace.next(self.rules.socket());
        let told = self.pace.tell_at().filter(|_| self.can_be_told());
        // While a ping waits for its pong no other is sent.
        let ask = self.asks_alone_at(now);
        let ask = ask.filter(|_| !self.receipts.is_asking());
        for due in [self.receipts.flush_at(), told, ask, self.live_by] {
            next = due.map_or(next, |due| next.min(due));
        }
        let end = if self.is_to_be_warned() {
            self.token_end().min(self.claims.exp_ms - EXPIRY_WARNING_MS)
        } else {
            self.token_end()
        };
        let until = Duration::from_millis(u64::try_from(end - now.wall).unwrap_or(0));
        next.min(now.mono + until)
    }

    /// The token is good as long as it would be accepted (`auth.leeway`).
    fn token_end(&self) -> Millis {
        let leeway = self.rules.settings.auth.leeway.as_millis();
        let end = self.claims.exp_ms + Millis::try_from(leeway).unwrap_or(0);
        end.min(self.revoked_at)
    }

    /// Whether `token_expiring` is still to come.
    fn is_to_be_warned(&self) -> bool {
        !self.warned_of_expiry && self.can_be_told()
    }

    /// Whether frames of the gateway's own may be sent: never before `welcome`.
    fn can_be_told(&self) -> bool {
        self.dialect() == Dialect::V1 && self.fence.is_some()
    }

    /// Whatever is due: pings, acks, the token's end, a drain's close.
    pub(crate) fn on_deadline(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Some(code) = self.pace.overdue(now.mono, self.rules.socket()) {
            return effects.push(Effect::Close(self.dialect_code(code), None));
        }
        if self.token_end() <= now.wall {
            return effects.push(Effect::Close(CloseCode::TokenExpired, None));
        }
        if self.live_by.is_some_and(|by| by <= now.mono) {
            return effects.push(Effect::Close(CloseCode::Overloaded, None));
        }
        self.announce_close(now, effects);
        if self.is_to_be_warned() && self.claims.exp_ms - now.wall <= EXPIRY_WARNING_MS {
            self.warned_of_expiry = true;
            self.tell_expiring(self.claims.exp_ms, effects);
        }
        if self.pace.ping_due(now.mono) {
            self.ping(now, effects);
        }
        if self.receipts.flush_at().is_some_and(|at| at <= now.mono) {
            self.flush_acks(effects);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
