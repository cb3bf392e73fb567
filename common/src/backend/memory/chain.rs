//! A run of frames with contiguous numbers: a user's inbox, or a channel's log.

use std::collections::VecDeque;

use crate::{
    backend::{Gap, PAGE_BYTES, Page},
    ids::{Cursor, Millis},
    notification::Frame,
};

/// What a frame costs besides its body, in bytes; an estimate on the safe side.
const FRAME_OVERHEAD: u64 = 128;

/// The kept frames between two positions. Only its ends ever change; what stands in the middle is
/// overwritten by a tombstone of the same cursor, never removed.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The position before the oldest kept frame.
    base: Cursor,
    frames: VecDeque<Frame>,
    /// The newest position; [`Cursor::ZERO`] when there is no history.
    last: Cursor,
    bytes: u64,
}

/// How a position relates to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// In the chain: the frame of this index is the next one.
    Kept(usize),
    /// Before the kept part.
    Behind,
    /// After the newest position, or the same number in another history.
    Foreign,
}

impl Chain {
    pub(super) fn frames(&self) -> &VecDeque<Frame> {
        &self.frames
    }

    pub(super) fn base(&self) -> Cursor {
        self.base
    }

    pub(super) fn last(&self) -> Cursor {
        self.last
    }

    pub(super) fn has_history(&self) -> bool {
        self.last != Cursor::ZERO
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a frame of this body will add to [`bytes`](Self::bytes).
    pub(super) fn weight(body: usize) -> u64 {
        body as u64 + FRAME_OVERHEAD
    }

    /// The next position: one further, or seeded with the time, so that numbers only grow even
    /// when a history was lost.
    pub(super) fn next(&self, now: Millis, nonce: u32) -> Cursor {
        let seq = if self.has_history() {
            self.last.seq + 1
        } else {
            u64::try_from(now).unwrap_or_default().max(1)
        };
        Cursor { seq, nonce }
    }

    /// Appends a frame made for [`next`](Self::next) and answers with the position before it.
    pub(super) fn append(&mut self, frame: Frame) -> Cursor {
        let prev = std::mem::replace(&mut self.last, frame.cursor);
        self.bytes += Self::weight(frame.body.len());
        self.frames.push_back(frame);
        prev
    }

    /// A history begins here, before its first frame.
    pub(super) fn begin(&mut self, at: Cursor) {
        (self.base, self.last) = (at, at);
    }

    /// Where a position stands.
    pub(super) fn relation(&self, at: Cursor) -> Relation {
        if at == self.last {
            return Relation::Kept(self.frames.len());
        }
        if at == self.base {
            return Relation::Kept(0);
        }
        if at.seq >= self.last.seq {
            return Relation::Foreign;
        }
        let next = self.index_after(at.seq);
        match next.checked_sub(1).and_then(|at| self.frames.get(at)) {
            None => Relation::Behind,
            Some(frame) if frame.cursor == at => Relation::Kept(next),
            Some(_) => Relation::Foreign,
        }
    }

    /// How many kept frames have numbers up to `seq`: the index of the next one.
    pub(super) fn index_after(&self, seq: u64) -> usize {
        let passed = (seq + 1).saturating_sub(self.first_seq());
        usize::try_from(passed).map_or(self.frames.len(), |passed| passed.min(self.frames.len()))
    }

    /// The position before the frame of this index.
    pub(super) fn before(&self, index: usize) -> Cursor {
        match index.checked_sub(1) {
            None => self.base,
            Some(previous) => self.frames.get(previous).map_or(self.last, |f| f.cursor),
        }
    }

    /// Forgets the oldest frames.
    pub(super) fn drop_oldest(&mut self, count: usize) {
        for _ in 0..count {
            let Some(frame) = self.frames.pop_front() else {
                return;
            };
            self.base = frame.cursor;
            self.bytes -= Self::weight(frame.body.len());
        }
    }

    /// Overwrites a frame in place, so that the chain stays whole; answers with what stood there.
    pub(super) fn bury(&mut self, index: usize) -> Option<Frame> {
        let frame = self.frames.get_mut(index)?;
        let stood = frame.clone();
        self.bytes -= frame.body.len() as u64;
        frame.tombstone = true;
        frame.trace = None;
        frame.body = bytes::Bytes::new();
        Some(stood)
    }

    /// Puts back what was overwritten just now.
    pub(super) fn unbury(&mut self, index: usize, stood: Frame) {
        if let Some(frame) = self.frames.get_mut(index) {
            self.bytes += stood.body.len() as u64;
            *frame = stood;
        }
    }

    /// Which frame has this number.
    pub(super) fn index_of(&self, seq: u64) -> Option<usize> {
        let index = usize::try_from(seq.checked_sub(self.first_seq())?).ok()?;
        (index < self.frames.len()).then_some(index)
    }

    /// Up to `limit` frames, and [`PAGE_BYTES`], from an index on.
    pub(super) fn page(&self, start: Cursor, index: usize, limit: u32, gap: Option<Gap>) -> Page {
        let mut bytes = 0;
        let fits = |(at, frame): &(usize, &Frame)| {
            bytes += frame.body.len();
            *at == 0 || bytes <= PAGE_BYTES
        };
        let asked = self
            .frames
            .iter()
            .skip(index)
            .take(limit as usize)
            .enumerate();
        let frames: Vec<Frame> = asked
            .take_while(fits)
            .map(|(_, frame)| frame.clone())
            .collect();
        let more = index + frames.len() < self.frames.len();
        Page {
            start,
            end: match frames.last() {
                Some(frame) if more => frame.cursor,
                _ => self.last,
            },
            frames,
            more,
            gap,
        }
    }

    fn first_seq(&self) -> u64 {
        (self.last.seq + 1).saturating_sub(self.frames.len() as u64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A chain 10, 11, … whose nonces are the seq; of these frames, some expire at the given time.
    pub(crate) fn chain(base: u64, expiries: &[Millis]) -> Chain {
        let at = |seq: u64| Cursor {
            seq,
            nonce: u32::try_from(seq).unwrap(),
        };
        let mut chain = Chain::default();
        chain.append(frame(at(base), 0));
        chain.drop_oldest(1);
        for (seq, expires_at) in (base + 1..).zip(expiries) {
            chain.append(frame(at(seq), *expires_at));
        }
        chain
    }

    fn frame(cursor: Cursor, expires_at: Millis) -> Frame {
        Frame {
            cursor,
            id: uuid::Uuid::nil(),
            stored_at: 0,
            expires_at,
            tombstone: false,
            trace: None,
            body: "{}".into(),
        }
    }

    #[test]
    fn positions_relate_to_the_kept_part() {
        let chain = chain(10, &[0, 0, 0]); // keeps 11, 12, 13
        let relation = |seq, nonce| chain.relation(Cursor { seq, nonce });
        assert_eq!(relation(9, 9), Relation::Behind);
        assert_eq!(relation(10, 10), Relation::Kept(0), "the predecessor");
        assert_eq!(relation(10, 7), Relation::Behind, "nobody remembers");
        assert_eq!(relation(11, 11), Relation::Kept(1));
        assert_eq!(relation(12, 99), Relation::Foreign);
        assert_eq!(relation(13, 13), Relation::Kept(3));
        assert_eq!(relation(13, 99), Relation::Foreign);
        assert_eq!(relation(14, 14), Relation::Foreign);
    }

    #[test]
    fn a_chain_that_keeps_nothing_still_knows_where_it_stands() {
        let chain = chain(10, &[]);
        let relation = |seq, nonce| chain.relation(Cursor { seq, nonce });
        assert_eq!(relation(10, 10), Relation::Kept(0));
        assert_eq!(relation(9, 9), Relation::Behind);
        assert_eq!(relation(10, 11), Relation::Foreign);
        assert_eq!(relation(11, 11), Relation::Foreign);
    }

    #[test]
    fn numbers_go_on_and_start_with_the_time() {
        assert_eq!(Chain::default().next(1_000, 5).seq, 1_000);
        assert_eq!(chain(10, &[0]).next(1_000, 5).seq, 12);
    }

    #[test]
    fn pages_end_at_their_last_frame_or_at_the_newest_position() {
        let chain = chain(10, &[0, 0, 0]);
        let page = chain.page(chain.base(), 0, 2, None);
        assert_eq!((page.frames.len(), page.more, page.end.seq), (2, true, 12));
        let page = chain.page(chain.last(), 3, 2, None);
        assert_eq!((page.frames.len(), page.more, page.end.seq), (0, false, 13));
    }

    #[test]
    fn bytes_follow_what_is_kept() {
        let mut chain = chain(10, &[0, 0]);
        assert_eq!(chain.bytes(), 2 * Chain::weight(2));
        chain.bury(1);
        assert_eq!(chain.bytes(), Chain::weight(2) + Chain::weight(0));
        chain.drop_oldest(9);
        assert_eq!((chain.bytes(), chain.base()), (0, chain.last()));
    }
}
