//! One connection's session as a pure state machine: frames and events in, effects out.
//!
//! It knows neither socket nor store nor clock. [`crate::connection`] feeds it and carries its
//! effects out; the rules of delivery are all here and in the modules below.

mod asking;
mod assigned;
mod catching_up;
mod clock;
mod closing;
mod confirming;
mod delivery;
mod event_id;
mod feed;
mod frames;
mod identity;
mod inbox;
mod keeping;
mod memberships;
mod out;
mod pace;
mod receipts;
mod registering;
mod rules;
mod streaming;
mod subscribing;
#[cfg(test)]
mod tests;
mod traced;
mod vocabulary;
mod written;

use std::{num::NonZeroU64, sync::Arc};

use carillon_common::{
    auth::Claims,
    ids::{Cursor, Millis},
    protocol::Dialect,
};
use tokio::time::Instant;

use asking::Asking;
pub(crate) use closing::Closing;
pub(crate) use event_id::EventId;
use feed::Feed;
pub(crate) use identity::Identity;
use inbox::Inbox;
use memberships::Memberships;
pub(crate) use out::Out;
use pace::Pace;
use receipts::Receipts;
pub(crate) use rules::Rules;
use streaming::Streaming;
pub(crate) use streaming::Wanted;
pub(crate) use traced::Marks;
pub(crate) use vocabulary::{Call, Effect, Event, Note, Now};

/// From where a session is to go on.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// The client's own position in the inbox.
    pub since: Option<Cursor>,
    /// Where the gateway stands in the log of broadcasts.
    pub broadcast: Cursor,
    /// What an event stream is asked for; `None` of every other dialect.
    pub wanted: Option<Wanted>,
}

/// One connection's session.
#[derive(Debug)]
pub(crate) struct Session {
    rules: Arc<Rules>,
    identity: Identity,
    claims: Claims,
    /// The fence of its registration. Stores never give 0.
    fence: Option<NonZeroU64>,
    inbox: Inbox,
    receipts: Receipts,
    broadcast: Feed,
    channels: Memberships,
    pace: Pace,
    asking: Asking,
    /// Of an event stream. Boxed, because most are none.
    stream: Option<Box<Streaming>>,
    /// When it is given up, unless it has caught up for the first time by then.
    live_by: Option<Instant>,
    /// How often this simple connection may still ask for subscriptions that others hold.
    claims_left: u8,
    warned_of_expiry: bool,
    /// When its connection ends because the token's key is gone; `Millis::MAX` while it is not.
    revoked_at: Millis,
    /// A registration is under way.
    registering: bool,
    /// Another one follows: the answer to this one may be older than the doubt.
    register_once_more: bool,
    /// The client was told, in this catch-up, that the store has lost something.
    told_of_loss: bool,
}

impl Session {
    /// A session that has yet to be registered.
    pub(crate) fn open(
        rules: Arc<Rules>,
        identity: Identity,
        claims: Claims,
        start: Start,
        now: Now,
        out: &mut Out,
    ) -> Self {
        let Start {
            since,
            broadcast,
            wanted,
        } = start;
        let pace = Pace::new(&rules.settings, now.mono);
        let registration = identity.registration(None, since, broadcast);
        out.ask(Call::Register(registration));
        Self {
            rules,
            identity,
            claims,
            fence: None,
            inbox: Inbox::new(),
            receipts: Receipts::new(),
            broadcast: Feed::catching_up(broadcast),
            channels: Memberships::new(),
            pace,
            asking: Asking::default(),
            stream: wanted.map(|wanted| Box::new(Streaming::new(wanted))),
            live_by: Some(now.mono + clock::LIVE_WITHIN),
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

    /// Anything but a hint or a frame.
    pub(crate) fn on_event(&mut self, event: Event, now: Now, out: &mut Out) {
        match event {
            Event::Registered(result) => self.on_registered(result, now, out),
            Event::Page(page) => {
                self.on_page(page, now, out);
                self.progressed(now);
            }
            Event::Acked => self.receipts.on_acked(),
            Event::NotKept(channel) => self.on_not_kept(&channel, out),
            Event::Joined(channel, result) => self.on_joined(channel, result, now, out),
            Event::History(channel, page) => self.on_history(channel, page, now, out),
            Event::Claimed(claimed) => self.on_claimed(claimed, out),
            Event::Assigned(assigned) => self.on_assigned(assigned, out),
            Event::Unassigned(channel) => self.on_unassigned(&channel, out),
            Event::ChannelGap(gap) => self.on_channel_gap(&gap, out),
            Event::Dirty => self.register_again(Call::Register, out),
            Event::Contested => self.register_again(Call::Contest, out),
            Event::Audit(last) => self.on_audit(last, out),
            Event::Drain { close_in, code } => self.on_drain(close_in, code, now, out),
            Event::Revocation(ends_in) => self.on_revocation(ends_in, now, out),
            Event::Revoked => self.on_revoked(now, out),
            Event::Close(code) => out.close(code),
            Event::Disconnect(code, reason) => {
                out.close_because(self.dialect_code(code), reason);
            }
        }
    }
}
