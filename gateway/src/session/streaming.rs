//! What is particular to a session whose client can only listen: that of an event stream.
//!
//! It cannot be asked and acks nothing on the stream. It acks by coming back with the id of the last event that it
//! read, so each event that moves it forward has an id, and a stream ends when it holds enough that is not acked.

use carillon_common::{
    ids::{ChannelName, Cursor},
    protocol::{CloseCode, ErrorCode, ServerFrame},
};
use tokio::time::Instant;

use super::{Now, Out, Session, event_id::EventId};

/// What a stream's request asks for besides its notifications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The id of the last event that the client has read.
    pub came_with: Option<EventId>,
    /// Channels to be on; what is wrong with a name that is none.
    pub channels: Vec<Result<ChannelName, String>>,
}

/// What only a stream's session has.
#[derive(Debug)]
pub(super) struct Streaming {
    /// Until it is registered.
    wanted: Wanted,
    /// When it ends, if nothing ends it before: something was written that is not acked.
    end_at: Option<Instant>,
}

/// Where the client is once it has what is written next.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'a> {
    /// Where the session is.
    Here,
    /// There in the inbox.
    Inbox(Cursor),
    /// There in the log of a channel, or of the broadcasts.
    Log(&'a ChannelName, Cursor),
}

impl Streaming {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            end_at: None,
        }
    }

    pub(super) fn end_at(&self) -> Option<Instant> {
        self.end_at
    }
}

impl Session {
    /// Where the client itself says that it is in the broadcasts.
    pub(super) fn broadcast_came_with(&self) -> Option<Cursor> {
        let came_with = self.stream.as_ref()?.wanted.came_with.as_ref()?;
        Some(came_with.broadcast).filter(|cursor| *cursor != Cursor::ZERO)
    }

    /// The same of a channel.
    pub(super) fn channel_came_with(&self, channel: &ChannelName) -> Option<Cursor> {
        let came_with = self.stream.as_ref()?.wanted.came_with.as_ref()?;
        came_with.on(channel)
    }

    /// The store starts it there. Where the client said that it is, it has everything before.
    pub(super) fn acked_by_coming(&mut self, start: Cursor) {
        let stream = self.stream.as_ref();
        let came_with = stream.and_then(|stream| stream.wanted.came_with.as_ref());
        if start != Cursor::ZERO && came_with.is_some_and(|id| id.inbox == start) {
            self.receipts.confirmed_before();
        }
    }

    /// Joins the channels that the request names. One that is refused is told, and keeps no other out.
    pub(super) fn join_wanted(&mut self, out: &mut Out) {
        let channels = match &mut self.stream {
            Some(stream) => std::mem::take(&mut stream.wanted.channels),
            None => return,
        };
        for channel in channels {
            match channel {
                Ok(channel) => {
                    let since = self.channel_came_with(&channel);
                    self.subscribe(channel, since, false, None, out);
                }
                Err(message) => self.refuse(None, ErrorCode::InvalidChannel, &message, None, out),
            }
        }
    }

    /// It goes on from where the client came with.
    pub(super) fn has_begun(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.wanted = Wanted::default();
        }
    }

    /// Says where the client is once it has what is written next.
    pub(super) fn mark(&self, at: At<'_>, out: &mut Out) {
        if self.stream.is_none() {
            return;
        }
        let on = |channel: &ChannelName, position| match at {
            At::Log(other, cursor) if other == channel => cursor,
            _ => position,
        };
        let inbox = match at {
            At::Inbox(cursor) => cursor,
            _ => self.inbox.position(),
        };
        let everyone = ChannelName::broadcast();
        let mut id = EventId::new(inbox, on(&everyone, self.broadcast.position()));
        for (channel, position) in self.channels.positions() {
            id.follow(channel, on(channel, position));
        }
        out.position(id.to_string());
    }

    /// A control frame that moves the client.
    pub(super) fn write_at(&self, at: At<'_>, frame: &ServerFrame<'_>, out: &mut Out) {
        self.mark(at, out);
        out.write(frame);
    }

    /// A personal notification was written. Ends a stream that holds enough.
    pub(super) fn wrote(&mut self, cursor: Cursor, now: Now, out: &mut Out) {
        self.receipts.wrote(cursor);
        let Some(stream) = &mut self.stream else {
            return;
        };
        let sse = &self.rules.settings.sse;
        if stream.end_at.is_none() {
            let within = sse.unacked_for.mul_f64(rand::random_range(0.5..1.5));
            stream.end_at = Some(now.mono + within);
        }
        if self.receipts.outstanding() >= sse.unacked as usize {
            out.close(CloseCode::Unacked);
        }
    }

    /// Shows that the stream goes on, to the client and to every proxy on the way. A client that is gone shows in
    /// that its kernel acknowledges nothing.
    pub(super) fn beat(&mut self, now: Now, out: &mut Out) {
        self.pace.heard(now.mono);
        self.pace.beat(now.mono, self.rules.socket());
        out.ping(String::new());
    }
}
