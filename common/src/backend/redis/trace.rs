//! Where a notification is: what Redis still says of it. Reads only, and needs no functions.
//!
//! Redis keeps a position for each device, not a history: that a device's acks have passed a notification
//! is known, and when is not; nor is when a gateway wrote it to a socket.

mod records;
mod search;

use redis::{FromRedisValue, Pipeline, cmd};

pub use self::records::{Fate, Note, Record, RecordName, fate};
use super::{
    keys::Keys,
    link::{Link, LinkError},
    wire,
};
use crate::{
    backend::{Device, Presence},
    ids::{ChannelName, Cursor, Millis, NotificationId, UserId},
    notification::Frame,
};

/// Frames that are looked at in one piece.
const PIECE: usize = 64;
/// Of so many positions it is known how they left (`note_left`).
pub const NOTES: usize = 256;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// By its identity.
    Id(NotificationId),
    /// By its position.
    Cursor(Cursor),
}

/// Where the notification of a position is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there, so many positions before the last one.
    Kept(Box<Frame>, u64),
    /// Before the oldest that is kept, or the only thing left is where the user stood.
    Trimmed,
    /// Another stands at its number: the history that it belonged to is gone.
    Replaced(Cursor),
    /// After the last one, or nothing is known of the user: it was never stored here, or is lost.
    Beyond,
}

/// A device, and what became of the notification there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTrace {
    /// Its record.
    pub record: Record,
    /// What became of it.
    pub fate: Fate,
    /// Its connections, as they are registered.
    pub connections: Vec<Presence>,
}

/// What Redis says of a personal notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxTrace {
    /// Whose it is.
    pub user: UserId,
    /// Its position.
    pub cursor: Cursor,
    /// Where it is.
    pub standing: Standing,
    /// That it left for whoever had not read it, if that was noted.
    pub left: Option<Note>,
    /// Every device that is known.
    pub devices: Vec<DeviceTrace>,
    /// Whether positions left of which nothing is known any more.
    pub notes_are_full: bool,
    /// Redis' time.
    pub now: Millis,
}

/// What Redis says of a channel's notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTrace {
    /// Whose it is.
    pub channel: ChannelName,
    /// The notification.
    pub frame: Frame,
    /// How many are kept after it.
    pub after: u64,
    /// Redis' time.
    pub now: Millis,
}

/// Looks at the data of one deployment.
pub struct Tracer<'a> {
    link: &'a Link,
    keys: Keys,
}

impl<'a> Tracer<'a> {
    /// Under this prefix.
    pub fn new(link: &'a Link, prefix: &str) -> Self {
        let tags = link.tags().iter().map(|(tag, _)| tag.clone()).collect();
        Self {
            link,
            keys: Keys::new(prefix, tags),
        }
    }

    /// A notification of a user; none where nothing in the inbox has that identity.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses.
    pub async fn in_inbox(
        &self,
        user: &UserId,
        sought: Sought,
    ) -> Result<Option<InboxTrace>, LinkError> {
        let keys = self.keys.user(user);
        let found = match sought {
            Sought::Id(id) => match self.by_id(&keys.inbox, keys.partition, id).await? {
                Some(frame) => Found::Kept(frame),
                None => return Ok(None),
            },
            Sought::Cursor(cursor) => self.by_cursor(&keys.inbox, keys.partition, cursor).await?,
        };
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(&keys.user);
        pipeline.cmd("HGETALL").arg(&keys.presence);
        pipeline.cmd("LRANGE").arg(&keys.left).arg(0).arg(-1);
        pipeline.cmd("TIME");
        type Facts = (
            Vec<(String, String)>,
            Vec<(String, String)>,
            Vec<String>,
            (i64, i64),
        );
        let (fields, places, notes, time): Facts = self.ask(keys.partition, &pipeline).await?;
        let last = fields.iter().find(|(name, _)| name == "l");
        let last: Option<Cursor> = last.and_then(|(_, cursor)| cursor.parse().ok());
        let (cursor, standing) = match (found, sought) {
            (Found::Kept(frame), _) => {
                let after = last.map_or(0, |last| last.seq.saturating_sub(frame.cursor.seq));
                (frame.cursor, Standing::Kept(Box::new(frame), after))
            }
            (Found::Other(there), Sought::Cursor(cursor)) => (cursor, Standing::Replaced(there)),
            (Found::Nothing, Sought::Cursor(cursor)) => match last {
                Some(last) if last.seq >= cursor.seq => (cursor, Standing::Trimmed),
                _ => (cursor, Standing::Beyond),
            },
            (_, Sought::Id(_)) => return Ok(None),
        };
        let now = milliseconds(time);
        let notes_are_full = notes.len() >= NOTES;
        let notes = notes.iter().filter_map(|text| Note::read(text));
        let notes: Vec<_> = notes.filter(|note| note.cursor == cursor).collect();
        let places = places
            .iter()
            .filter_map(|(field, place)| wire::presence(field, place));
        let places: Vec<_> = places.collect();
        let expired = match &standing {
            Standing::Kept(frame, _) if frame.expires_at <= now => Some(frame.expires_at),
            _ => None,
        };
        let records = fields
            .iter()
            .filter_map(|(name, value)| Record::read(name, value));
        let devices = records.map(|record| DeviceTrace {
            fate: fate(cursor, &record, &notes, expired),
            connections: of_record(&record, &places),
            record,
        });
        let mut devices: Vec<_> = devices.collect();
        devices.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        Ok(Some(InboxTrace {
            user: user.clone(),
            cursor,
            standing,
            left: notes.into_iter().find(|note| note.record.is_none()),
            devices,
            notes_are_full,
            now,
        }))
    }

    /// The notification of an inbox with this identity.
    async fn by_id(
        &self,
        inbox: &str,
        partition: u16,
        id: NotificationId,
    ) -> Result<Option<Frame>, LinkError> {
        // From the newest on: what is asked about is seldom old, and trimming moves only the other end.
        let mut end = -1_i64;
        loop {
            let start = end + 1 - PIECE as i64;
            let mut page = cmd("LRANGE");
            page.arg(inbox).arg(start).arg(end);
            let texts: Vec<Vec<u8>> = self.link.call(partition, &page).await?;
            let count = texts.len();
            let mut frames = texts
                .into_iter()
                .filter_map(|text| wire::frame(&text.into()));
            if let Some(frame) = frames.find(|frame| frame.id == id) {
                return Ok(Some(frame));
            }
            if count < PIECE {
                return Ok(None);
            }
            end -= PIECE as i64;
        }
    }

    async fn by_cursor(
        &self,
        inbox: &str,
        partition: u16,
        cursor: Cursor,
    ) -> Result<Found, LinkError> {
        let mut first = 0;
        loop {
            let index = i64::try_from(cursor.seq.saturating_sub(first)).unwrap_or(i64::MAX);
            let mut pipeline = redis::pipe();
            pipeline.cmd("LINDEX").arg(inbox).arg(0);
            pipeline.cmd("LINDEX").arg(inbox).arg(index);
            type Texts = (Option<Vec<u8>>, Option<Vec<u8>>);
            let (head, there): Texts = self.ask(partition, &pipeline).await?;
            let Some(head) = head.and_then(|text| wire::frame(&text.into())) else {
                return Ok(Found::Nothing);
            };
            if head.cursor.seq > cursor.seq {
                return Ok(Found::Nothing);
            }
            // The inbox was trimmed since, or this was the first look.
            if head.cursor.seq != first {
                first = head.cursor.seq;
                continue;
            }
            return Ok(match there.and_then(|text| wire::frame(&text.into())) {
                Some(frame) if frame.cursor == cursor => Found::Kept(frame),
                Some(frame) => Found::Other(frame.cursor),
                None => Found::Nothing,
            });
        }
    }

    async fn ask<T: FromRedisValue>(
        &self,
        partition: u16,
        pipeline: &Pipeline,
    ) -> Result<T, LinkError> {
        self.link.pipeline(partition, pipeline).await
    }
}

/// What stands at a position.
enum Found {
    Kept(Frame),
    Other(Cursor),
    Nothing,
}

fn milliseconds((seconds, microseconds): (i64, i64)) -> Millis {
    seconds * 1_000 + microseconds / 1_000
}

/// The connections whose acks count for a record.
fn of_record(record: &Record, places: &[Presence]) -> Vec<Presence> {
    let is_of = |place: &&Presence| match (&record.name, &place.device) {
        (RecordName::Device(name), Device::Named(device)) => name == device,
        (RecordName::Session(session), Device::Anonymous) => *session == place.session,
        _ => false,
    };
    places.iter().filter(is_of).cloned().collect()
}
