//! Which entries of a log were written to a `carillon.v1` client and are not acked.
//!
//! A log's numbers are contiguous, so only the nonce of each cursor is remembered: four bytes
//! an entry, and nothing on a connection whose client acks.

use std::collections::VecDeque;

use carillon_common::ids::Cursor;

/// As many as a log usually keeps; a client further behind can ack only newer ones.
const REMEMBERED: usize = 1_024;
/// The nonce of an entry that was passed over: no cursor has this one.
const NOT_WRITTEN: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Written {
    /// The number of the newest entry.
    last: u64,
    /// Of the newest entries, oldest first.
    nonces: VecDeque<u32>,
}

impl Written {
    /// An entry was written.
    pub(super) fn note(&mut self, cursor: Cursor) {
        let passed_over = match cursor.seq.checked_sub(self.last + 1) {
            Some(count) if !self.nonces.is_empty() && count < REMEMBERED as u64 => count,
            // The log goes on elsewhere, or this is the first: nothing older is of use.
            _ => {
                self.nonces.clear();
                0
            }
        };
        for _ in 0..passed_over {
            self.push(NOT_WRITTEN);
        }
        self.push(cursor.nonce);
        self.last = cursor.seq;
    }

    fn push(&mut self, nonce: u32) {
        if self.nonces.len() == REMEMBERED {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
    }

    /// Whether exactly this was written.
    pub(super) fn has(&self, cursor: Cursor) -> bool {
        let behind = self.last.checked_sub(cursor.seq);
        let at = behind.and_then(|behind| {
            let behind = usize::try_from(behind).ok()?;
            self.nonces.len().checked_sub(behind + 1)
        });
        cursor.nonce != NOT_WRITTEN && at.is_some_and(|at| self.nonces[at] == cursor.nonce)
    }

    /// Everything up to there is acked.
    pub(super) fn forget(&mut self, up_to: Cursor) {
        let newer = usize::try_from(self.last.saturating_sub(up_to.seq)).unwrap_or(usize::MAX);
        let acked = self.nonces.len().saturating_sub(newer);
        self.nonces.drain(..acked);
        if self.nonces.is_empty() {
            self.nonces.shrink_to(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64, nonce: u32) -> Cursor {
        Cursor { seq, nonce }
    }

    fn written(cursors: &[(u64, u32)]) -> Written {
        let mut written = Written::default();
        cursors
            .iter()
            .for_each(|(seq, nonce)| written.note(at(*seq, *nonce)));
        written
    }

    #[test]
    fn exactly_what_was_written_and_is_not_acked() {
        let mut written = written(&[(10, 7), (11, 8), (14, 9)]);
        for (seq, nonce, known) in [
            (10, 7, true),
            (14, 9, true),
            (10, 8, false),
            (12, 0, false),
            (13, 9, false),
            (9, 7, false),
            (15, 9, false),
        ] {
            assert_eq!(written.has(at(seq, nonce)), known, "{seq}-{nonce}");
        }
        written.forget(at(11, 8));
        assert!(!written.has(at(11, 8)) && written.has(at(14, 9)));
        written.forget(at(14, 9));
        assert!(!written.has(at(14, 9)));
        written.note(at(15, 3));
        assert!(written.has(at(15, 3)) && !written.has(at(14, 9)));
    }

    #[test]
    fn a_log_that_went_back_starts_over() {
        let mut written = written(&[(10, 7), (11, 8), (10, 6)]);
        assert!(written.has(at(10, 6)) && !written.has(at(10, 7)) && !written.has(at(11, 8)));
        written.note(at(5_000, 1));
        assert!(written.has(at(5_000, 1)) && !written.has(at(10, 6)));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let all: Vec<_> = (1..=REMEMBERED as u64 + 2).map(|seq| (seq, 5)).collect();
        let written = written(&all);
        assert!(!written.has(at(2, 5)) && written.has(at(3, 5)));
        assert_eq!(written.nonces.len(), REMEMBERED);
    }
}
