//! Where a connection stands in a channel's log, or in that of broadcasts.
//!
//! The gateway keeps the chain once for all its members ([`crate::routing::channels`]); a member only needs
//! to know what it had before.

use std::sync::Arc;

use carillon_common::{
    backend::{Gap, Page},
    ids::{Cursor, Millis},
    notification::Frame,
    protocol::Dialect,
};

use super::written::Written;
use crate::push::Push;

/// Hints that wait for a page of history; more are dropped, and the log is read once more.
const BUFFERED: usize = 256;

#[derive(Debug)]
pub(super) struct Feed {
    position: Cursor,
    pinged: Cursor,
    confirmed: Cursor,
    /// None while there is nothing to confirm: most simple clients missed nothing.
    unconfirmed: Option<Box<Unconfirmed>>,
    catching_up: Option<Box<CatchUp>>,
}

#[derive(Debug, Default)]
struct Unconfirmed {
    /// What the client may ack; only with `carillon.v1`.
    written: Written,
    /// The client has acked once, so its pongs confirm nothing any more.
    acks: bool,
    /// The end of what had been missed, until it is confirmed: that is reported soon, or a second broken
    /// connection would make all of it come again.
    replayed: Option<u64>,
}

/// What an ack is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    /// It is of something that was written and not acked yet.
    Forward,
    /// It repeats the last ack.
    Known,
    /// It is of nothing that was written here.
    Foreign,
}

#[derive(Debug, Default)]
struct CatchUp {
    buffered: Vec<Arc<Push>>,
    missed: bool,
}

/// What a page of history leads to.
#[derive(Debug)]
pub(super) struct Caught {
    /// To be written, in order.
    pub frames: Vec<Frame>,
    /// Hints that waited, to be written after them.
    pub buffered: Vec<Arc<Push>>,
    /// Where to read on.
    pub next: Option<Cursor>,
}

impl Feed {
    /// A feed whose catch-up is under way: hints wait for it.
    pub(super) fn catching_up(from: Cursor) -> Self {
        Self {
            position: from,
            pinged: from,
            confirmed: from,
            unconfirmed: None,
            catching_up: Some(Box::default()),
        }
    }

    /// The last position that was handled.
    pub(super) fn position(&self) -> Cursor {
        self.position
    }

    /// The last position that the client is known to have read.
    pub(super) fn confirmed(&self) -> Cursor {
        self.confirmed
    }

    /// Starts over at a position, before a catch-up.
    pub(super) fn start(&mut self, from: Cursor) {
        self.position = from;
        self.pinged = from;
        self.confirmed = from;
        if self.catching_up.is_none() {
            self.catching_up = Some(Box::default());
        }
    }

    /// Whether a hint is to be written now.
    pub(super) fn on_push(&mut self, push: &Arc<Push>) -> bool {
        if let Some(catch_up) = &mut self.catching_up {
            if catch_up.buffered.len() < BUFFERED {
                catch_up.buffered.push(push.clone());
            } else {
                catch_up.missed = true;
            }
            return false;
        }
        let new = push.frame.cursor.seq > self.position.seq;
        if new {
            self.position = push.frame.cursor;
        }
        new
    }

    /// A page of the log.
    pub(super) fn on_page(&mut self, page: Page, now: Millis) -> Caught {
        self.position = page.end;
        if page.gap == Some(Gap::Rewound) {
            // Positions of the history that is gone mean nothing in this one.
            (self.confirmed, self.pinged) = (page.start, page.start);
            self.start_over();
        }
        let mut frames = page.frames;
        frames.retain(|frame| frame.deliverable(now));
        let Some(catch_up) = &mut self.catching_up else {
            return Caught {
                frames,
                buffered: Vec::new(),
                next: None,
            };
        };
        if page.more || std::mem::take(&mut catch_up.missed) {
            catch_up.buffered.clear();
            return Caught {
                frames,
                buffered: Vec::new(),
                next: Some(self.position),
            };
        }
        Caught {
            frames,
            buffered: self.finish(),
            next: None,
        }
    }

    /// Ends the catch-up; answers with what waited and is new.
    pub(super) fn finish(&mut self) -> Vec<Arc<Push>> {
        let Some(catch_up) = self.catching_up.take() else {
            return Vec::new();
        };
        let mut buffered = catch_up.buffered;
        buffered.retain(|push| {
            let new = push.frame.cursor.seq > self.position.seq;
            if new {
                self.position = push.frame.cursor;
            }
            new
        });
        buffered
    }

    /// The log does not continue here: what comes next counts from `resume`.
    pub(super) fn jump(&mut self, resume: Cursor) {
        self.position = resume;
        self.confirmed = resume;
        self.pinged = resume;
        self.start_over();
    }

    /// What was written of an earlier history cannot be acked any more.
    fn start_over(&mut self) {
        if let Some(unconfirmed) = &mut self.unconfirmed {
            unconfirmed.written = Written::default();
            unconfirmed.replayed = None;
        }
    }

    /// One of its notifications was written to a client that can ack it.
    pub(super) fn wrote(&mut self, cursor: Cursor) {
        let unconfirmed = self.unconfirmed.get_or_insert_default();
        unconfirmed.written.note(cursor);
    }

    /// What had been missed up to its position was written.
    pub(super) fn replayed(&mut self) {
        let unconfirmed = self.unconfirmed.get_or_insert_default();
        unconfirmed.replayed = Some(self.position.seq);
    }

    /// Whether what had been missed is confirmed now; true only once.
    pub(super) fn replay_confirmed(&mut self) -> bool {
        let confirmed = self.confirmed.seq;
        let unconfirmed = self.unconfirmed.as_mut();
        unconfirmed.is_some_and(|it| it.replayed.take_if(|to| *to <= confirmed).is_some())
    }

    /// An ack of the client's own: everything up to there is handled.
    pub(super) fn on_ack(&mut self, cursor: Cursor) -> Acked {
        match &mut self.unconfirmed {
            Some(unconfirmed) if unconfirmed.written.has(cursor) => {
                unconfirmed.written.forget(cursor);
                unconfirmed.acks = true;
                self.confirmed = cursor;
                Acked::Forward
            }
            Some(unconfirmed) if unconfirmed.acks && cursor == self.confirmed => Acked::Known,
            _ => Acked::Foreign,
        }
    }

    /// A ping is sent. The pong of a simple client will confirm what was written before it. That of
    /// `carillon.v1` is no ack; but a client that had a whole ping's interval to ack and never acked
    /// is judged by its pongs.
    pub(super) fn pinged(&mut self, dialect: Dialect) {
        if let (Dialect::V1, Some(unconfirmed)) = (dialect, &mut self.unconfirmed)
            && !unconfirmed.acks
        {
            self.confirmed = self.pinged;
            unconfirmed.written.forget(self.confirmed);
        }
        self.pinged = self.position;
    }

    /// The pong came.
    pub(super) fn ponged(&mut self, dialect: Dialect) {
        if dialect == Dialect::Simple {
            self.confirmed = self.pinged;
        }
    }
}
