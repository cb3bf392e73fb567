//! Where a connection stands in a channel's log, or in that of broadcasts.
//!
//! The gateway keeps the chain once for all its members ([`crate::channels`]); a member only needs
//! to know what it had before.

use std::sync::Arc;

use carillon_common::{
    backend::Page,
    ids::{Cursor, Millis},
    notification::Frame,
};

use crate::push::Push;

/// Hints that wait for a page of history; more are dropped, and the log is read once more.
const BUFFERED: usize = 256;

#[derive(Debug)]
pub(super) struct Feed {
    position: Cursor,
    pinged: Cursor,
    confirmed: Cursor,
    catching_up: Option<Box<CatchUp>>,
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
    }

    /// A ping was sent: its pong will confirm what was written before.
    pub(super) fn pinged(&mut self) {
        self.pinged = self.position;
    }

    /// The pong came.
    pub(super) fn ponged(&mut self) {
        self.confirmed = self.pinged;
    }
}
