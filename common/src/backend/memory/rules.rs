//! The decisions about a user's inbox, as functions of what is known: no locks, no clocks.
//! They are the specification; what surrounds them only carries them out.

use std::cmp::Reverse;

use super::chain::{Chain, Relation};
use crate::{
    backend::{Gap, Limits, OPENED_TOGETHER, Registration},
    ids::{Cursor, DeviceId, Millis, SessionId},
};

/// Whose position a record holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reader {
    /// A device that names itself.
    Named(DeviceId),
    /// One anonymous connection.
    Session(SessionId),
    /// What remains of the anonymous connections that ended.
    Folded,
}

/// What is remembered of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// It has everything up to here, or began here.
    pub cursor: Cursor,
    /// Where it stands in the broadcast log.
    pub broadcast: Cursor,
    /// When it was last heard of.
    pub seen: Millis,
    /// Whether an ack ever moved its cursor.
    pub has_acked: bool,
    /// Whether a full inbox moved its cursor, and it has not acked since.
    pub passed_over: bool,
}

impl Record {
    /// Of a reader that begins here.
    pub(super) fn starting(cursor: Cursor, broadcast: Cursor) -> Self {
        Self {
            cursor,
            broadcast,
            seen: 0,
            has_acked: false,
            passed_over: false,
        }
    }
}

/// A reader as the rules look at it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub reader: Reader,
    pub record: Record,
    pub connected: bool,
}

/// Where a reader goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resume {
    pub start: Cursor,
    pub index: usize,
    pub gap: Option<Gap>,
}

/// Where a reader goes on that asks for what follows `since`.
pub(super) fn resume(chain: &Chain, record: &Record, since: Option<Cursor>) -> Resume {
    if !chain.has_history() {
        let lost = since.is_some_and(|since| since != Cursor::ZERO);
        return Resume {
            start: Cursor::ZERO,
            index: 0,
            gap: lost.then_some(Gap::Expired),
        };
    }
    // From its own position, or from the oldest frame when that is not in the chain.
    let from_own = |gap| {
        let (start, index) = match chain.relation(record.cursor) {
            Relation::Kept(index) => (record.cursor, index),
            Relation::Behind | Relation::Foreign => (chain.base(), 0),
        };
        Resume { start, index, gap }
    };
    let nothing_missing = record.cursor.seq >= chain.base().seq;
    let lost = if record.passed_over {
        Gap::TooMany
    } else {
        Gap::Expired
    };
    match since {
        None if nothing_missing && !record.passed_over => from_own(None),
        None => from_own(Some(lost)),
        Some(Cursor::ZERO) => Resume {
            start: chain.base(),
            index: 0,
            gap: None,
        },
        Some(since) => match chain.relation(since) {
            Relation::Kept(index) => Resume {
                start: since,
                index,
                gap: None,
            },
            // It has acked whatever is no longer kept; where it merely started tells nothing.
            Relation::Behind if nothing_missing && record.has_acked && !record.passed_over => {
                from_own(None)
            }
            Relation::Behind => from_own(Some(lost)),
            Relation::Foreign => from_own(Some(Gap::Rewound)),
        },
    }
}

/// Where reading a log goes on after `after`.
pub(super) fn resume_log(chain: &Chain, after: Cursor) -> Resume {
    let oldest = |gap| Resume {
        start: chain.base(),
        index: 0,
        gap,
    };
    if !chain.has_history() {
        return oldest((after != Cursor::ZERO).then_some(Gap::Expired));
    }
    if after == Cursor::ZERO {
        return oldest(None);
    }
    match chain.relation(after) {
        Relation::Kept(index) => Resume {
            start: after,
            index,
            gap: None,
        },
        Relation::Behind => oldest(Some(Gap::Expired)),
        Relation::Foreign => oldest(Some(Gap::Rewound)),
    }
}

/// The readers that hold trimming back: the connected ones and the most recently seen, up to
/// `devices` of them, each for `device_ttl` after it was last seen.
pub(super) fn counting(standings: &[Standing], limits: &Limits, now: Millis) -> Vec<Standing> {
    let mut counting: Vec<Standing> = standings
        .iter()
        .filter(|s| s.connected || s.record.seen + millis(limits.device_ttl) >= now)
        .cloned()
        .collect();
    counting.sort_by_key(|s| Reverse((s.connected, s.record.seen)));
    counting.truncate(limits.devices as usize);
    counting
}

/// The readers that are forgotten, so that no more of those that are not connected are left than may
/// be: those not seen for the longest, and what anonymous connections left last of all.
pub(super) fn to_forget(standings: Vec<Standing>, limits: &Limits) -> Vec<Reader> {
    let mut idle: Vec<Standing> = standings.into_iter().filter(|s| !s.connected).collect();
    idle.sort_by_key(|s| (s.reader == Reader::Folded, s.record.seen));
    let excess = idle.len().saturating_sub(limits.idle_devices() as usize);
    idle.truncate(excess);
    idle.into_iter().map(|s| s.reader).collect()
}

/// Up to where every reader that counts has everything; `None` without such a reader.
pub(super) fn floor(counting: &[Standing]) -> Option<Cursor> {
    counting
        .iter()
        .map(|s| s.record.cursor)
        .min_by_key(|cursor| cursor.seq)
}

/// Whether a reader that stands at `own` has everything up to `at`: a position further on, in this
/// history. (The same number in another one would cover notifications that it never saw.)
pub(super) fn may_ack(chain: &Chain, at: Cursor, own: Cursor) -> bool {
    at.seq > own.seq && chain.relation(at) != Relation::Foreign
}

/// How many of the oldest frames may go when everyone has everything up to `floor`: all but the
/// newest `keep` of those, and never the very last of them, the anchor that resuming starts from.
pub(super) fn trimmable(chain: &Chain, floor: Option<Cursor>, keep: u32) -> usize {
    let acked = floor.map_or(0, |floor| chain.index_after(floor.seq));
    acked.saturating_sub(keep.max(1) as usize)
}

/// Whether one more frame may follow those after `floor`.
pub(super) fn fits(chain: &Chain, floor: Option<Cursor>, max: u32) -> bool {
    let unacked = floor.map_or(0, |floor| chain.index_after(floor.seq));
    first_that_fits(chain, max) <= unacked
}

/// What a full inbox calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Enough,
    /// These readers are passed over: moved forward to `place`, and what is before it may go.
    PassOver {
        /// The new position.
        place: Cursor,
        /// Who is behind it.
        readers: Vec<Reader>,
    },
    /// The send is refused.
    Full,
}

/// How room is made, once expired frames are gone.
pub(super) fn make_room(
    chain: &Chain,
    standings: &[Standing],
    limits: &Limits,
    now: Millis,
) -> Room {
    let counting = counting(standings, limits, now);
    if fits(chain, floor(&counting), limits.inbox_max) {
        return Room::Enough;
    }
    if !standings.iter().any(|s| s.record.has_acked) {
        return Room::Full;
    }
    let place = chain.before(first_that_fits(chain, limits.inbox_max));
    let behind: Vec<&Standing> = counting
        .iter()
        .filter(|s| s.record.cursor.seq < place.seq)
        .collect();
    if behind.iter().any(|s| s.connected) {
        return Room::Full;
    }
    Room::PassOver {
        place,
        readers: behind.into_iter().map(|s| s.reader.clone()).collect(),
    }
}

/// The least index from which on there is room for one more: fewer than `max` frames that may
/// still be delivered, and fewer than twice as many with the tombstones among them.
fn first_that_fits(chain: &Chain, max: u32) -> usize {
    let frames = chain.frames();
    let bound = max as usize;
    if frames.len() < bound {
        return 0;
    }
    let (mut live, mut first) = (0, frames.len());
    for frame in frames.iter().rev() {
        live += usize::from(!frame.tombstone);
        if live >= bound || frames.len() - first + 1 >= 2 * bound {
            break;
        }
        first -= 1;
    }
    first
}

/// Where a new device starts: after what any device has acked, or at the oldest frame there is.
pub(super) fn start<'a>(records: impl Iterator<Item = &'a Record>, chain: &Chain) -> Cursor {
    records
        .filter(|record| record.has_acked)
        .map(|record| record.cursor)
        .max_by_key(|cursor| cursor.seq)
        .unwrap_or(chain.base())
}

/// Two anonymous records as one: nothing that either still needs is passed over.
pub(super) fn fold(one: Record, other: Record) -> Record {
    let least = |a: Cursor, b: Cursor| if b.seq < a.seq { b } else { a };
    Record {
        cursor: least(one.cursor, other.cursor),
        broadcast: least(one.broadcast, other.broadcast),
        seen: one.seen.max(other.seen),
        has_acked: one.has_acked || other.has_acked,
        passed_over: one.passed_over || other.passed_over,
    }
}

/// The fence of a new connection.
pub(super) fn next_fence(now: Millis, highest: u64) -> u64 {
    u64::try_from(now).unwrap_or_default().max(highest + 1)
}

/// Whether a session's connection was opened later than one that registers only now.
pub(super) fn opened_later(holder: Millis, arriving: &Registration) -> bool {
    holder > arriving.opened + millis(OPENED_TOGETHER)
}

/// A duration in the unit of [`Millis`].
pub(super) fn millis(duration: std::time::Duration) -> Millis {
    // A thousand years, so that adding it to a time cannot overflow.
    const LONGEST: Millis = 1_000 * 365 * 86_400_000;
    Millis::try_from(duration.as_millis()).map_or(LONGEST, |ms| ms.min(LONGEST))
}

#[cfg(test)]
mod tests;
