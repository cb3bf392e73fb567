//! Where a notification is: what Redis still says of it. Reads only, and needs no functions.
//!
//! Redis keeps a position for each device, not a history: that a device's acks have passed a notification
//! is known, and when is not; nor is when a gateway wrote it to a socket.

mod records;

use redis::{FromRedisValue, Pipeline, cmd};

pub use self::records::{Fate, Note, Record, RecordName, fate};
use super::{
    keys::{Holds, Keys},
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
/// Keys that one step of a search asks for.
const STEP: usize = 512;
/// How far the clock of who made an identity may be from Redis'.
const CLOCKS: Millis = 60_000;
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

    /// A notification of a channel; none where its log does not hold it.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses.
    pub async fn in_log(
        &self,
        channel: &ChannelName,
        sought: Sought,
    ) -> Result<Option<LogTrace>, LinkError> {
        let partition = self.keys.partition(channel.as_str());
        let key = self.keys.log(channel);
        let mut from = "-".to_owned();
        let mut found = None;
        let mut after = 0;
        loop {
            let mut page = cmd("XRANGE");
            page.arg(&key).arg(&from).arg("+").arg("COUNT").arg(PIECE);
            type Entry = (String, Vec<Vec<u8>>);
            let entries: Vec<Entry> = self.link.call(partition, &page).await?;
            for (_, fields) in &entries {
                // p <the position before> f <the frame>
                let frame = fields
                    .get(3)
                    .and_then(|text| wire::frame(&text.clone().into()));
                match (&found, frame) {
                    (Some(_), _) => after += 1,
                    (None, Some(frame)) if is_sought(&frame, sought) => found = Some(frame),
                    (None, _) => {}
                }
            }
            match entries.last() {
                Some((last, _)) if entries.len() == PIECE => from = format!("({last}"),
                _ => break,
            }
        }
        let Some(frame) = found else { return Ok(None) };
        let time = self.link.call(partition, &cmd("TIME")).await?;
        Ok(Some(LogTrace {
            channel: channel.clone(),
            frame,
            after,
            now: milliseconds(time),
        }))
    }

    /// Looks for an identity through every inbox and log; `tell` hears how many were looked at.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses.
    pub async fn search(
        &self,
        id: NotificationId,
        mut tell: impl FnMut(u64),
    ) -> Result<Option<Holds>, LinkError> {
        let mut looked = 0;
        for primary in self.link.primaries() {
            let mut at = "0".to_owned();
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(&at).arg("MATCH").arg(self.keys.all());
                scan.arg("COUNT").arg(STEP);
                let (next, keys): (String, Vec<String>) = self.link.at(&primary, &scan).await?;
                let holding = keys.iter().filter_map(|key| self.keys.holds(key));
                let (mut inboxes, mut logs) = (Vec::new(), Vec::new());
                for holds in holding {
                    match holds {
                        Holds::Inbox(user) => inboxes.push(user),
                        Holds::Log(channel) => logs.push(channel),
                    }
                }
                looked += (inboxes.len() + logs.len()) as u64;
                for user in self.of_that_time(&inboxes, id).await? {
                    let keys = self.keys.user(&user);
                    if self.by_id(&keys.inbox, keys.partition, id).await?.is_some() {
                        return Ok(Some(Holds::Inbox(user)));
                    }
                }
                for channel in logs {
                    if self.in_log(&channel, Sought::Id(id)).await?.is_some() {
                        return Ok(Some(Holds::Log(channel)));
                    }
                }
                tell(looked);
                at = next;
                if at == "0" {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Those of one primary whose inbox reaches over the time that an identity tells; one that a key gave
    /// tells none, and then it is all of them.
    async fn of_that_time(
        &self,
        users: &[UserId],
        id: NotificationId,
    ) -> Result<Vec<UserId>, LinkError> {
        let (Some(first), Some(time)) = (users.first(), time_of(id)) else {
            return Ok(users.to_vec());
        };
        let mut pipeline = redis::pipe();
        for user in users {
            let inbox = self.keys.user(user).inbox;
            pipeline.cmd("LINDEX").arg(&inbox).arg(0);
            pipeline.cmd("LINDEX").arg(&inbox).arg(-1);
        }
        let partition = self.keys.partition(first.as_str());
        let ends: Vec<Option<Vec<u8>>> = self.ask(partition, &pipeline).await?;
        let stored = |end: &Option<Vec<u8>>| {
            let frame = wire::frame(&end.clone()?.into())?;
            Some(frame.stored_at)
        };
        let reaches = |ends: &[Option<Vec<u8>>]| match (stored(&ends[0]), stored(&ends[1])) {
            (Some(oldest), Some(newest)) => oldest - CLOCKS <= time && time <= newest + CLOCKS,
            // What cannot be read is looked at.
            _ => true,
        };
        let pairs = users.iter().zip(ends.chunks_exact(2));
        Ok(pairs
            .filter(|(_, ends)| reaches(ends))
            .map(|(user, _)| user.clone())
            .collect())
    }

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

fn is_sought(frame: &Frame, sought: Sought) -> bool {
    match sought {
        Sought::Id(id) => frame.id == id,
        Sought::Cursor(cursor) => frame.cursor == cursor,
    }
}

/// When an identity was made, if it tells (UUIDv7).
fn time_of(id: NotificationId) -> Option<Millis> {
    let (seconds, nanoseconds) = (id.get_version_num() == 7)
        .then(|| id.get_timestamp())??
        .to_unix();
    Some(i64::try_from(seconds).ok()? * 1_000 + i64::from(nanoseconds / 1_000_000))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_tells_its_time_or_none() {
        let made: NotificationId = "0199a1b2-c3d4-7000-8000-000000000001".parse().unwrap();
        assert_eq!(time_of(made), Some(0x0199_a1b2_c3d4));
        let from_a_key = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, b"alice");
        assert_eq!(time_of(from_a_key), None);
    }
}
