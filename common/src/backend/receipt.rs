//! What became of a notification, for whoever sent it: judged purely, by what a store still knows.
//!
//! A store keeps a position for each device and when its acks moved it (*marks*), and a note of each position that
//! left without having been delivered. Both are bounded. Where what is known no longer decides, the answer is
//! [`Fate::Unknown`], never a guess.

use crate::{
    ids::{Cursor, DeviceId, Millis},
    notification::Frame,
};

/// When a device's acks moved it on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// It begins after this number: what came before is not for it.
    pub begin: Option<u64>,
    /// Whether earlier ones are gone.
    pub cut: bool,
    /// Up to which number, and when, in order; bounded by [`Marks::MOST`].
    pub noted: Vec<(u64, Millis)>,
}

impl Marks {
    /// So many are kept of each device.
    pub const MOST: usize = 32;

    /// Notes that acks have come to a number; another anonymous connection may have come further.
    pub(super) fn note(&mut self, number: u64, now: Millis) {
        if self.noted.last().is_some_and(|(last, _)| number <= *last) {
            return;
        }
        self.noted.push((number, now));
        if self.noted.len() > Self::MOST {
            self.noted.remove(0);
            self.cut = true;
        }
    }
}

/// Why a position left without being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftReason {
    /// Its time had passed.
    Expired,
    /// The inbox was full.
    Dropped,
    /// Its sender took it back.
    Retracted,
    /// Another of the same collapse key came after it.
    Replaced,
}

impl LeftReason {
    /// As in the store and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Retracted => "retracted",
            Self::Replaced => "replaced",
        }
    }

    /// Of its word.
    pub fn of_word(word: &str) -> Option<Self> {
        [
            Self::Expired,
            Self::Dropped,
            Self::Retracted,
            Self::Replaced,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == word)
    }
}

/// A note that a position left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// For whom; `None`: for whoever had not read it. Of the anonymous devices each is [`Reader::Anonymous`].
    pub(super) reader: Option<Reader>,
    pub(super) reason: LeftReason,
    pub(super) at: Millis,
}

/// Whose receipt it is. All connections without a device are one, since they share the user's anonymous device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reader {
    Anonymous,
    Named(DeviceId),
}

/// What is known of a device.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) reader: Reader,
    /// It has everything up to here, or began here, or was moved on.
    pub(super) position: Cursor,
    /// Whether it has acked anything at all.
    pub(super) has_acked: bool,
    pub(super) marks: Marks,
}

/// All that a store knows of a position.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) cursor: Cursor,
    pub(super) standing: Standing,
    /// One for each record; the anonymous ones are taken together here.
    pub(super) known: Vec<Known>,
    /// Of this position.
    pub(super) notes: Vec<Note>,
    /// When the oldest note of the user's was made, if there may have been older ones.
    pub(super) oldest_note: Option<Millis>,
    pub(super) now: Millis,
}

/// Where a notification is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// In the inbox, as it is there.
    Kept(Box<Frame>),
    /// It was in the inbox, and every device that counts is past it.
    Trimmed,
    /// It was accepted into a history that the store has lost.
    Lost,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its position.
    pub cursor: Cursor,
    /// Where it is.
    pub standing: Standing,
    /// Each device for which something is known, the one without a name first.
    pub devices: Vec<DeviceReceipt>,
    /// That it left for whoever had not read it: why, and when.
    pub left: Option<(LeftReason, Millis)>,
    /// The store's time.
    pub now: Millis,
}

/// What became of it at one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReceipt {
    /// The device; `None`: those that do not name themselves.
    pub device: Option<DeviceId>,
    /// What became of it there.
    pub fate: Fate,
}

/// What became of a notification at a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It waits to be delivered, or to be acked.
    Queued,
    /// The device acked it, and when; `None`: before such times were kept.
    Delivered(Option<Millis>),
    /// It left before the device had it.
    Left(LeftReason, Millis),
    /// The device came after it.
    NotAddressed,
    /// It was accepted into a history that the store has lost.
    Lost,
    /// What would tell is no longer kept.
    Unknown,
}

/// How far the devices of a user have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// The last position of the inbox; [`Cursor::ZERO`] where nothing was ever sent.
    pub last: Cursor,
    /// Each that is known, the one without a name first.
    pub devices: Vec<DevicePosition>,
}

/// How far a device has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePosition {
    /// The device; `None`: those that do not name themselves.
    pub device: Option<DeviceId>,
    /// It has everything up to here, or began here.
    pub position: Cursor,
    /// When its acks last moved it on; `None`: they never did, or before such times were kept.
    pub acked_at: Option<Millis>,
}

impl Devices {
    pub(super) fn of(last: Cursor, known: Vec<Known>) -> Self {
        let devices = together(known).into_iter().map(|known| DevicePosition {
            device: known.reader.device(),
            position: known.position,
            acked_at: known.marks.noted.last().map(|(_, at)| *at),
        });
        Self {
            last,
            devices: devices.collect(),
        }
    }
}

impl Reader {
    /// Its name.
    fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Named(device) => Some(device.clone()),
            Self::Anonymous => None,
        }
    }
}

impl Facts {
    pub(super) fn judged(mut self) -> Receipt {
        self.known = together(std::mem::take(&mut self.known));
        let devices = self.known.iter().map(|known| DeviceReceipt {
            device: known.reader.device(),
            fate: self.fate(known),
        });
        let devices = devices.collect();
        let left = self.notes.iter().find(|note| note.reader.is_none());
        let left = left.map(|note| (note.reason, note.at));
        Receipt {
            devices,
            left: left.or_else(|| self.expired().map(|at| (LeftReason::Expired, at))),
            cursor: self.cursor,
            standing: self.standing,
            now: self.now,
        }
    }

    fn fate(&self, known: &Known) -> Fate {
        let number = self.cursor.seq;
        if self.standing == Standing::Lost {
            return Fate::Lost;
        }
        if known.marks.begin.is_some_and(|begin| number <= begin) {
            return Fate::NotAddressed;
        }
        let own = |note: &&Note| note.reader.as_ref() == Some(&known.reader);
        let of_all = |note: &&Note| note.reader.is_none();
        let notes = &self.notes;
        let note = notes.iter().find(own).or(notes.iter().find(of_all));
        let covers = |(up_to, _): &(u64, Millis)| *up_to >= number;
        let mark = known.marks.noted.iter().position(covers);
        match (mark, note) {
            (Some(first), Some(note)) => {
                let at = known.marks.noted[first].1;
                if at < note.at {
                    Fate::Delivered(Some(at))
                } else if first == 0 && known.marks.cut {
                    // One that is gone may have covered it before it left.
                    Fate::Unknown
                } else {
                    Fate::Left(note.reason, note.at)
                }
            }
            (Some(first), None) if self.has_all_notes() => {
                Fate::Delivered(Some(known.marks.noted[first].1))
            }
            (None, Some(note)) => Fate::Left(note.reason, note.at),
            (None, None) if known.position.seq < number => match self.expired() {
                Some(at) => Fate::Left(LeftReason::Expired, at),
                None => Fate::Queued,
            },
            (None, None) if known.has_acked && self.has_all_notes() => Fate::Delivered(None),
            _ => Fate::Unknown,
        }
    }

    /// When it expired, if it has without anything having been noted of it.
    fn expired(&self) -> Option<Millis> {
        match &self.standing {
            Standing::Kept(frame) if !frame.tombstone && frame.expires_at <= self.now => {
                Some(frame.expires_at)
            }
            _ => None,
        }
    }

    /// Whether each note of this position would still be there.
    fn has_all_notes(&self) -> bool {
        let accepted = match &self.standing {
            Standing::Kept(frame) => frame.stored_at,
            // Numbers begin at the time and grow by one, so it cannot have been accepted before that.
            _ => Millis::try_from(self.cursor.seq).unwrap_or(Millis::MAX),
        };
        self.oldest_note.is_none_or(|oldest| accepted > oldest)
    }
}

/// The records of anonymous connections as one: at least once to the browser, so the one that came furthest.
fn together(mut known: Vec<Known>) -> Vec<Known> {
    known.sort_by(|one, other| {
        let by_reader = one.reader.cmp(&other.reader);
        by_reader.then(other.position.seq.cmp(&one.position.seq))
    });
    known.dedup_by(|later, first| {
        first.has_acked |= later.has_acked && later.reader == first.reader;
        later.reader == first.reader
    });
    known
}

#[cfg(test)]
mod tests;
