//! What `carillon_3` writes of a user's devices and of positions that left, and what follows for one of them.

use crate::ids::{Cursor, DeviceId, Millis, SessionId};

/// Whose acks a record gathers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordName {
    /// A device that names itself.
    Device(DeviceId),
    /// One connection without a device.
    Session(SessionId),
    /// All connections without a device that have ended.
    Ended,
}

impl RecordName {
    fn read(text: &str) -> Option<Self> {
        match text.split_at_checked(1)? {
            ("=", device) => Some(Self::Device(DeviceId::new(device).ok()?)),
            ("~", "") => Some(Self::Ended),
            ("~", session) => Some(Self::Session(SessionId::new(session).ok()?)),
            _ => None,
        }
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: RecordName,
    /// Up to where it has acked, or was moved, or began.
    pub acked: Cursor,
    /// When it last connected or acked, in Redis' time, to the second.
    pub seen: Millis,
    /// Whether it has acked anything at all.
    pub has_acked: bool,
    /// Whether a full inbox moved it on since its last ack.
    pub moved: bool,
}

impl Record {
    /// Reads a field of the user hash: `d:<name>` with `acked|seen|broadcast|flags`.
    pub(super) fn read(field: &str, value: &str) -> Option<Self> {
        Self::of(field.strip_prefix("d:")?, value)
    }

    /// Reads `acked|seen|broadcast|flags` of the device with this name.
    pub(in crate::backend::redis) fn of(name: &str, value: &str) -> Option<Self> {
        let name = RecordName::read(name)?;
        let mut parts = value.split('|');
        let acked = parts.next()?.parse().ok()?;
        let seen: Millis = parts.next()?.parse().ok()?;
        let flags = parts.nth(1)?;
        Some(Self {
            name,
            acked,
            seen: seen * 1_000,
            has_acked: flags.contains('a'),
            moved: flags.contains('m'),
        })
    }
}

/// A position that left without delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which position.
    pub cursor: Cursor,
    /// For which device; none: for every one that had not read it.
    pub record: Option<RecordName>,
    /// `expired`, `dropped`, `retracted`, `replaced`.
    pub reason: String,
    /// When.
    pub at: Millis,
}

impl Note {
    /// Reads `cursor|device|reason|time`; a device's name has no `|`.
    pub(in crate::backend::redis) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let cursor = parts.next()?.parse().ok()?;
        let record = match parts.next()? {
            "*" => None,
            name => Some(RecordName::read(name)?),
        };
        Some(Self {
            cursor,
            record,
            reason: parts.next()?.to_owned(),
            at: parts.next()?.parse().ok()?,
        })
    }
}

/// What became of a notification at one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The device's acks have passed it.
    Acked,
    /// It left there without delivery: why, and when.
    Left(String, Millis),
    /// It expired, and is passed over when it is read.
    Expired(Millis),
    /// The device begins after it: it was already there when the device came, or is not for it.
    Before,
    /// The device's position is after it, and whether by an ack is not known.
    Passed,
    /// The device has not acked it yet.
    Waits,
}

/// What became of the notification at `cursor`, by a device's record and what was noted of that position.
/// `expired`: when, if it has.
pub fn fate(cursor: Cursor, record: &Record, notes: &[Note], expired: Option<Millis>) -> Fate {
    if let Some(note) = notes
        .iter()
        .find(|note| note.record.as_ref() == Some(&record.name))
    {
        return Fate::Left(note.reason.clone(), note.at);
    }
    let of_all = notes.iter().find(|note| note.record.is_none());
    if record.acked.seq < cursor.seq {
        return match (of_all, expired) {
            (Some(note), _) => Fate::Left(note.reason.clone(), note.at),
            (None, Some(at)) => Fate::Expired(at),
            (None, None) => Fate::Waits,
        };
    }
    match (record.has_acked, record.moved, of_all) {
        (true, false, None) => Fate::Acked,
        (false, false, None) => Fate::Before,
        // Moved on by a full inbox, or over what had expired.
        _ => Fate::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(field: &str, value: &str) -> Record {
        Record::read(field, value).unwrap()
    }

    #[test]
    fn records_and_notes_are_read_as_they_are_written() {
        let phone = record("d:=phone", "5-1|1700000000|0-0|a");
        assert_eq!(
            phone.name,
            RecordName::Device(DeviceId::new("phone").unwrap())
        );
        assert_eq!(phone.acked, Cursor { seq: 5, nonce: 1 });
        assert_eq!(phone.seen, 1_700_000_000_000);
        assert!(phone.has_acked && !phone.moved);
        assert_eq!(record("d:~", "0-0|1|0-0|").name, RecordName::Ended);
        assert!(matches!(
            record("d:~s1", "0-0|1|0-0|m").name,
            RecordName::Session(_)
        ));
        for (field, value) in [
            ("l", "5-1"),
            ("d:=phone", ""),
            ("d:=phone", "5-1|1"),
            ("d:?phone", "5-1|1|0-0|"),
        ] {
            assert_eq!(Record::read(field, value), None, "{field} {value}");
        }
        let note = Note::read("5-1|*|expired|12").unwrap();
        assert_eq!((note.record, &*note.reason, note.at), (None, "expired", 12));
        assert_eq!(
            Note::read("5-1|=phone|dropped|12").unwrap().record,
            Some(phone.name)
        );
        assert_eq!(Note::read("5-1|*|expired"), None);
    }

    #[test]
    fn what_became_of_it_says_no_more_than_is_known() {
        let at = Cursor { seq: 5, nonce: 1 };
        let note = |text: &str| Note::read(text).unwrap();
        let behind = record("d:=phone", "4-1|1|0-0|a");
        let past = record("d:=phone", "6-1|1|0-0|a");
        let began = record("d:=phone", "6-1|1|0-0|");
        let moved = record("d:=phone", "6-1|1|0-0|am");
        let dropped = note("5-1|=phone|dropped|12");
        let expired = note("5-1|*|expired|13");
        for (record, notes, over, expected) in [
            (&behind, vec![], None, Fate::Waits),
            (&behind, vec![], Some(9), Fate::Expired(9)),
            (
                &behind,
                vec![expired.clone()],
                None,
                Fate::Left("expired".into(), 13),
            ),
            (&past, vec![], None, Fate::Acked),
            // Acked before it expired.
            (&past, vec![], Some(9), Fate::Acked),
            (&past, vec![expired.clone()], None, Fate::Passed),
            (&began, vec![], None, Fate::Before),
            (&moved, vec![], None, Fate::Passed),
            (
                &moved,
                vec![dropped.clone()],
                None,
                Fate::Left("dropped".into(), 12),
            ),
            (
                &behind,
                vec![expired, dropped],
                None,
                Fate::Left("dropped".into(), 12),
            ),
        ] {
            assert_eq!(fate(at, record, &notes, over), expected, "{record:?}");
        }
        let other = note("5-1|=tablet|dropped|12");
        assert_eq!(fate(at, &past, &[other], None), Fate::Acked);
    }
}
