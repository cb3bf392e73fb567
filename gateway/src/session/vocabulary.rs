//! What a session is told and what it wants done: events in, effects out.

use std::time::Duration;

use carillon_common::{
    backend::{
        Ack, BackendError, Claimed, Gap, Holder, Page, Registered, Registration, Subscription,
    },
    ids::{ChannelName, Cursor, Millis},
    protocol::{CloseCode, ErrorCode},
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::traced::Traced;
use crate::push::ChannelGap;

/// The time, by the two clocks that a session goes by.
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
    /// A service has put the user on a channel, from this position on.
    Assigned(Subscription),
    /// A service has taken the user off a channel.
    Unassigned(ChannelName),
    /// A channel's log does not continue where its members are.
    ChannelGap(ChannelGap),
    /// Hints may have been missed, or the registration lost.
    Dirty,
    /// Another connection has registered this session. It may be an older one that came late and
    /// ended already: the store decides, after a moment.
    Contested,
    /// The inbox's last cursor, as an audit found it.
    Audit(Cursor),
    /// Leave, within this time.
    Drain {
        /// When this connection is to be closed.
        close_in: Duration,
        /// What it is closed with, which says why.
        code: CloseCode,
    },
    /// Keys have gone: a connection whose token was signed with one of them ends after this.
    Revocation(Duration),
    /// Tokens were revoked: a connection whose token is one of them ends at once.
    Revoked,
    /// End now.
    Close(CloseCode),
    /// End now, as an operator or a service wants it: with this code and, in the place of the code's own word, this
    /// reason.
    Disconnect(CloseCode, Option<Box<str>>),
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
    /// Write a notification's frame.
    Write(Utf8Bytes),
    /// Write a control frame of this type.
    Control(&'static str, Box<str>),
    /// Where the client is once it has what is written next; only of an event stream.
    Position(Box<str>),
    /// Send a ping with this payload, or what an event stream has instead.
    Ping(String),
    /// Ask the store; the answer comes back as an event.
    Ask(Box<Call>),
    /// What the close that follows says in the place of its code's own word.
    Reason(Box<str>),
    /// Write a close frame and end.
    Close(CloseCode),
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
    /// Report how far the device has read.
    Ack(Ack),
    /// Become a member of a channel.
    Join(ChannelName),
    /// Stop being one.
    Leave(ChannelName),
    /// Read a page of a channel's log.
    History(ChannelName, Cursor),
    /// Keep a subscription, or its new position.
    Keep {
        /// Whose it is.
        holder: Holder,
        /// To which channel, and from where on.
        subscription: Subscription,
        /// The client asked for it now, which counts as a use.
        asked: bool,
    },
    /// Forget a kept subscription.
    Forget(Holder, ChannelName),
    /// Take over the subscriptions that ended connections of the user left, after a delay.
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
    Gap(Gap),
    /// A notification was not delivered because it had expired.
    Expired,
    /// An ack of a cursor that was not written on this connection.
    ForeignAck,
    /// The audit found something that had not been delivered.
    AuditRepair,
    /// A request was refused with this code.
    Refused(ErrorCode),
    /// A restored subscription gave way to one that was asked for.
    GaveWay,
}
