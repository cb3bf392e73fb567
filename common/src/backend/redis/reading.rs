//! What services ask of inboxes.

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;

use super::{
    calls::{self, Erase, number, word},
    reply::Reply,
    store::RedisBackend,
    trace::{Note as Noted, Record, RecordName},
    wire,
};
use crate::{
    backend::{
        BackendError, Devices, Inboxes, LeftReason, Look, Marks, PAGE_BYTES, ReadMark, ReadState,
        Receipt, Retraction, Sight, Standing,
        receipt::{Facts, Known, Note, Reader},
    },
    ids::{Cursor, Millis, UserId},
    notification::Frame,
};

/// How many frames one call looks at, and how many bytes of them, to count those that were not read.
const COUNTED: u32 = 128;
const COUNTED_BYTES: usize = 128 << 10;

#[async_trait]
impl Inboxes for RedisBackend {
    async fn look(&self, user: &UserId, look: &Look) -> Result<Option<Sight>, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = calls::Look {
            inbox: &keys.inbox,
            user: &keys.user,
            also: &keys.read,
            after: look.after.map(number).unwrap_or_default(),
            backwards: number(u8::from(look.backwards)),
            limit: number(look.limit),
            bytes: number(PAGE_BYTES),
        };
        let value = self.shared.read(keys.partition, call).await?;
        let mut reply = Reply::new(value)?;
        if reply.text()? != "ok" {
            return Ok(None);
        }
        let more = reply.flag()?;
        let texts = reply.texts()?.into_iter();
        let frames = texts.map(read_frame).collect::<Result<_, _>>()?;
        let (up_to, also) = (reply.parse()?, reply.texts()?);
        let also = also.iter().filter_map(|number| number.parse().ok());
        Ok(Some(Sight {
            frames,
            more,
            read: ReadState {
                up_to,
                also: also.collect(),
            },
        }))
    }

    async fn receipt(
        &self,
        user: &UserId,
        cursor: Cursor,
    ) -> Result<Option<Receipt>, BackendError> {
        let value = self.ask_of(user, cursor).await?;
        Ok(read_facts(value, cursor)?.map(Facts::judged))
    }

    async fn devices(&self, user: &UserId) -> Result<Devices, BackendError> {
        // What is told of a position has all devices, whichever it is.
        read_devices(self.ask_of(user, Cursor::ZERO).await?)
    }

    async fn retract(&self, user: &UserId, cursor: Cursor) -> Result<Retraction, BackendError> {
        let shared = &self.shared;
        let keys = shared.keys.user(user);
        let call = calls::Retract {
            inbox: &keys.inbox,
            user: &keys.user,
            left: &keys.left,
            presence: &keys.presence,
            buried: &keys.buried,
            user_name: word(user.as_str()),
            cursor: number(cursor),
            gateway_channel: shared.keys.gateway_channel_prefix(keys.partition).into(),
            life_s: number(shared.life_s()),
        };
        let value = shared.commit(keys.partition, call).await?;
        let mut reply = Reply::new(value)?;
        match reply.text()?.as_str() {
            "gone" => Ok(Retraction::Gone),
            "left" => Ok(Retraction::Left),
            _ => Ok(Retraction::Done {
                devices: shared.count_devices(&reply.texts()?),
            }),
        }
    }

    async fn erase(&self, user: &UserId) -> Result<bool, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = Erase {
            inbox: &keys.inbox,
            user: &keys.user,
            left: &keys.left,
            buried: &keys.buried,
            subs: &keys.subs,
            marks: &keys.marks,
            collapse: &keys.collapse,
            also: &keys.read,
            assigned: &keys.assigned,
            scheduled: &keys.scheduled,
            waiting: &keys.waiting,
            due: &keys.due,
            user_name: word(user.as_str()),
        };
        match self.shared.commit(keys.partition, call).await? {
            Value::Int(there) => Ok(there != 0),
            other => Err(BackendError::Unexpected(format!("{other:?} in a reply"))),
        }
    }

    async fn mark_read(&self, user: &UserId, mark: ReadMark) -> Result<Option<bool>, BackendError> {
        let shared = &self.shared;
        let keys = shared.keys.user(user);
        let (what, cursor) = match mark {
            ReadMark::One(cursor) => ("one", cursor),
            ReadMark::UpTo(cursor) => ("up_to", cursor),
            ReadMark::All => ("all", Cursor::ZERO),
        };
        let call = calls::MarkRead {
            inbox: &keys.inbox,
            user: &keys.user,
            presence: &keys.presence,
            also: &keys.read,
            user_name: word(user.as_str()),
            what: word(what),
            cursor: number(cursor),
            gateway_channel: shared.keys.gateway_channel_prefix(keys.partition).into(),
            life_s: number(shared.life_s()),
        };
        let value = shared.commit(keys.partition, call).await?;
        match Reply::new(value)?.text()?.as_str() {
            "gone" => Ok(None),
            what => Ok(Some(what == "changed")),
        }
    }

    async fn unread(&self, user: &UserId) -> Result<u64, BackendError> {
        let keys = self.shared.keys.user(user);
        let (mut count, mut from) = (0, 0_u64);
        loop {
            let call = calls::Unread {
                inbox: &keys.inbox,
                user: &keys.user,
                also: &keys.read,
                from: number(from),
                limit: number(COUNTED),
                bytes: number(COUNTED_BYTES),
            };
            let value = self.shared.read(keys.partition, call).await?;
            let mut reply = Reply::new(value)?;
            count += reply.parse::<u64>()?;
            let next = reply.text()?;
            if next.is_empty() {
                return Ok(count);
            }
            // Always further, whatever is said.
            from = next.parse().unwrap_or(0).max(from + 1);
        }
    }
}

impl RedisBackend {
    /// All that is known of a position.
    async fn ask_of(&self, user: &UserId, cursor: Cursor) -> Result<Value, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = calls::Receipt {
            inbox: &keys.inbox,
            user: &keys.user,
            left: &keys.left,
            marks: &keys.marks,
            cursor: number(cursor),
        };
        self.shared.read(keys.partition, call).await
    }
}

/// `{what, frame, now, lost, devices, marks, notes, oldest note, last}`, for the position.
fn read_facts(value: Value, cursor: Cursor) -> Result<Option<Facts>, BackendError> {
    let mut reply = Reply::new(value)?;
    let (what, frame) = (reply.text()?, reply.text()?);
    let (now, lost): (Millis, Millis) = (reply.parse()?, reply.parse()?);
    let standing = match what.as_str() {
        "kept" => Standing::Kept(Box::new(read_frame(frame)?)),
        "trimmed" => Standing::Trimmed,
        // Another stands at its number, or it is after the last one: so it looks where a part of the history was
        // lost since, and where a position was never given out.
        _ if u64::try_from(lost).is_ok_and(|lost| cursor.seq <= lost) => Standing::Lost,
        _ => return Ok(None),
    };
    let known = read_known(&reply.texts()?, &reply.texts()?);
    let notes = reply.texts()?;
    let notes = notes.iter().filter_map(|text| read_note(text)).collect();
    let oldest = reply.text()?;
    Ok(Some(Facts {
        cursor,
        standing,
        known,
        notes,
        oldest_note: Noted::read(&oldest).map(|note| note.at),
        now,
    }))
}

/// The same, for the devices.
fn read_devices(value: Value) -> Result<Devices, BackendError> {
    let mut reply = Reply::new(value)?;
    for _ in ["what", "frame", "now", "lost"] {
        reply.value()?;
    }
    let known = read_known(&reply.texts()?, &reply.texts()?);
    for _ in ["notes", "oldest note"] {
        reply.value()?;
    }
    let last = match reply.text()? {
        none if none.is_empty() => Cursor::ZERO,
        last => last.parse().map_err(|_| {
            BackendError::Unexpected(format!("{last:?} in the place of a position"))
        })?,
    };
    Ok(Devices::of(last, known))
}

/// Records of devices, and their marks.
fn read_known(devices: &[String], marks: &[String]) -> Vec<Known> {
    let records = pairs(devices).filter_map(|(name, value)| Record::of(name, value));
    let marks_of = |name: &str| {
        let found = pairs(marks).find(|(of, _)| *of == name);
        found
            .and_then(|(_, text)| read_marks(text))
            .unwrap_or_default()
    };
    let known = records.map(|record| {
        let (reader, marks) = match record.name {
            RecordName::Device(device) => {
                let marks = marks_of(&format!("={device}"));
                (Reader::Named(device), marks)
            }
            RecordName::Session(_) | RecordName::Ended => (Reader::Anonymous, marks_of("~")),
        };
        Known {
            reader,
            position: record.acked,
            has_acked: record.has_acked,
            marks,
        }
    });
    known.collect()
}

fn read_frame(text: String) -> Result<Frame, BackendError> {
    wire::frame(&Bytes::from(text))
        .ok_or_else(|| BackendError::Unexpected("a frame of another version".to_owned()))
}

fn read_note(text: &str) -> Option<Note> {
    let Noted {
        record, reason, at, ..
    } = Noted::read(text)?;
    let reader = record.map(|name| match name {
        RecordName::Device(device) => Reader::Named(device),
        RecordName::Session(_) | RecordName::Ended => Reader::Anonymous,
    });
    let reason = LeftReason::of_word(&reason)?;
    Some(Note { reader, reason, at })
}

/// `begin|cut|seq:ms,seq:ms,…`
fn read_marks(text: &str) -> Option<Marks> {
    let mut parts = text.splitn(3, '|');
    let begin = parts.next()?;
    let cut = parts.next()? == "c";
    let noted = parts.next()?.split(',').filter(|it| !it.is_empty());
    let noted = noted.map(|mark| {
        let (number, at) = mark.split_once(':')?;
        Some((number.parse().ok()?, at.parse().ok()?))
    });
    Some(Marks {
        begin: begin.parse().ok(),
        cut,
        noted: noted.collect::<Option<_>>()?,
    })
}

/// A flat list of names, each followed by its value.
fn pairs(texts: &[String]) -> impl Iterator<Item = (&str, &str)> {
    texts
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_the_library_writes_them() {
        let read = |text| read_marks(text).unwrap();
        let marks = read("99|c|101:2000,120:3000");
        assert_eq!((marks.begin, marks.cut), (Some(99), true));
        assert_eq!(marks.noted, [(101, 2000), (120, 3000)]);
        let marks = read("||");
        assert_eq!(marks, Marks::default());
        for text in ["", "1", "1|", "||x", "||1:", "||1:2,"] {
            let expected = (text == "||1:2,").then(|| Marks {
                noted: vec![(1, 2)],
                ..Marks::default()
            });
            assert_eq!(read_marks(text), expected, "{text}");
        }
    }
}
