//! The id of an event: where its client is, in every log that it follows, once it has read the event.
//!
//! `inbox.broadcasts` and, for each channel, `.key:cursor`. A client brings it back as `Last-Event-ID` and need not
//! understand it. A channel is named by a hash, for its name may be long: where two have the same, one of them is told
//! a gap that is none, and nothing is lost.

use std::{fmt, str::FromStr};

use carillon_common::ids::{ChannelName, Cursor, InvalidName};

/// A place in the inbox, in the broadcasts and in channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventId {
    /// In the user's inbox.
    pub inbox: Cursor,
    /// In the log of broadcasts; zero where it is not known.
    pub broadcast: Cursor,
    channels: Vec<(u32, Cursor)>,
}

impl EventId {
    /// A place that follows no channel.
    pub(crate) fn new(inbox: Cursor, broadcast: Cursor) -> Self {
        Self {
            inbox,
            broadcast,
            channels: Vec::new(),
        }
    }

    /// With a place in a channel's log as well, if that is known.
    pub(super) fn follow(&mut self, channel: &ChannelName, cursor: Cursor) {
        if cursor != Cursor::ZERO {
            self.channels.push((key(channel), cursor));
        }
    }

    /// The place in a channel's log.
    pub(super) fn on(&self, channel: &ChannelName) -> Option<Cursor> {
        let key = key(channel);
        let mut all = self.channels.iter();
        all.find(|(other, _)| *other == key)
            .map(|(_, cursor)| *cursor)
    }
}

/// FNV-1a, 32 bits: every gateway of every version is to come to the same.
fn key(channel: &ChannelName) -> u32 {
    let bytes = channel.as_str().bytes();
    bytes.fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.inbox, self.broadcast)?;
        for (key, cursor) in &self.channels {
            write!(f, ".{key:x}:{cursor}")?;
        }
        Ok(())
    }
}

/// A cursor alone is a place in the inbox.
impl FromStr for EventId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut parts = text.split('.');
        let inbox = parts.next().unwrap_or_default().parse()?;
        let broadcast = parts.next().map_or(Ok(Cursor::ZERO), str::parse)?;
        let mut id = Self::new(inbox, broadcast);
        for part in parts {
            let (key, cursor) = part.split_once(':').unwrap_or((part, ""));
            let cursor = cursor.parse()?;
            // What is no number is no channel's key.
            let key = u32::from_str_radix(key, 16);
            id.channels.extend(key.ok().map(|key| (key, cursor)));
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Cursor {
        Cursor { seq, nonce: 7 }
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::new(name).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut id = EventId::new(at(10), at(20));
        assert_eq!(id.to_string(), "10-7.20-7");
        id.follow(&channel("orders"), at(30));
        id.follow(&channel("not-known"), Cursor::ZERO);
        let text = id.to_string();
        assert_eq!(text, "10-7.20-7.325e96ec:30-7");
        let read: EventId = text.parse().unwrap();
        assert_eq!(read, id);
        assert_eq!(read.on(&channel("orders")), Some(at(30)));
        assert_eq!(read.on(&channel("not-known")), None);
        let cursor: EventId = "10-7".parse().unwrap();
        assert_eq!(cursor, EventId::new(at(10), Cursor::ZERO));
    }

    #[test]
    fn what_was_not_given_out_is_refused() {
        for text in [
            "",
            "nonsense",
            "10-7.",
            "10-7.x",
            "10-7.20-7.",
            "10-7.20-7.ab",
            "10-7.20-7.ab:",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }
}
