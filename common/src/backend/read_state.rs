//! Which of a user's notifications were read, by the user: on whichever device. Acks are another matter; they say what
//! a device has.

use std::collections::BTreeSet;

use crate::ids::{Cursor, NotificationId};

/// Which notifications a user has read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMark {
    /// The one at this position.
    One(Cursor),
    /// All up to this position.
    UpTo(Cursor),
    /// All that there are.
    All,
}

/// Something that was marked as read, and was not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadChange {
    /// One notification.
    One {
        /// Its position.
        cursor: Cursor,
        /// Its identity.
        id: NotificationId,
    },
    /// All up to a position.
    UpTo(Cursor),
}

/// What a user has read: all up to a number, and some after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadState {
    /// All up to this number; 0: none so.
    pub up_to: u64,
    /// Numbers after it. Of a piece of an inbox, those that concern it.
    pub also: BTreeSet<u64>,
}

impl ReadState {
    /// Whether the notification at a position was read.
    pub fn includes(&self, cursor: Cursor) -> bool {
        cursor.seq <= self.up_to || self.also.contains(&cursor.seq)
    }

    /// Marks one; answers whether it was not before.
    pub(crate) fn mark(&mut self, number: u64) -> bool {
        number > self.up_to && self.also.insert(number)
    }

    /// Marks all up to a number; answers whether they were not before.
    pub(crate) fn mark_up_to(&mut self, number: u64) -> bool {
        if number <= self.up_to {
            return false;
        }
        self.up_to = number;
        self.also = self.also.split_off(&(number + 1));
        true
    }

    /// Forgets what is before the oldest number that is kept.
    pub(crate) fn trim(&mut self, first: u64) {
        self.also = self.also.split_off(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Cursor {
        Cursor { seq, nonce: 1 }
    }

    #[test]
    fn what_is_read_is_all_up_to_a_number_and_some_after_it() {
        let mut read = ReadState::default();
        assert!(read.mark(7) && !read.mark(7) && read.mark(4));
        let includes =
            |read: &ReadState| -> Vec<u64> { (1..9).filter(|it| read.includes(at(*it))).collect() };
        assert_eq!(includes(&read), Vec::from([4, 7]));
        assert!(read.mark_up_to(5) && !read.mark_up_to(5) && !read.mark_up_to(2));
        assert_eq!(includes(&read), Vec::from([1, 2, 3, 4, 5, 7]));
        assert!(!read.mark(3), "it was read before");
        read.trim(7);
        assert_eq!(read.also.len(), 1);
        read.trim(8);
        assert_eq!((read.up_to, read.also.len()), (5, 0));
    }
}
