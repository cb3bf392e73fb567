//! Where a connection stands in its user's inbox.
//!
//! A hint is delivered only if it continues the position; anything else is answered by reading
//! the inbox after it. That finds lost hints, gaps and histories that went back.

use std::sync::Arc;

use carillon_common::ids::{Cursor, NotificationId};

use crate::push::Push;

/// Hints that wait for a page, and retractions; more are dropped, and the inbox is read once more.
const BUFFERED: usize = 64;

/// What to do with a hint or after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is next: write it.
    Deliver,
    /// It waits, or was handled before.
    Nothing,
    /// Read the inbox after this position.
    Read(Cursor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first registration is under way: nothing may be written yet.
    Opening,
    /// A page is under way.
    Reading,
    /// Hints are delivered as they come.
    Live,
}

#[derive(Debug)]
pub(super) struct Inbox {
    position: Cursor,
    state: State,
    /// Hints that came while a page was under way; none otherwise.
    buffered: Vec<Arc<Push>>,
    /// Something was dropped while a page was under way: read once more after it.
    missed: bool,
    /// What was taken back meanwhile: a page that is under way may still have it. Boxed, because mostly there is
    /// none.
    taken_back: Option<Box<TakenBack>>,
    /// Notifications replayed since the catch-up began; `None` when nobody is waiting to be told.
    replayed: Option<u32>,
}

/// Positions and identities of notifications.
#[derive(Debug, Default)]
struct TakenBack(Vec<(Cursor, NotificationId)>);

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            position: Cursor::ZERO,
            state: State::Opening,
            buffered: Vec::new(),
            missed: false,
            taken_back: None,
            replayed: Some(0),
        }
    }

    /// The last position that was handled.
    pub(super) fn position(&self) -> Cursor {
        self.position
    }

    /// The client starts there.
    pub(super) fn start(&mut self, at: Cursor) {
        self.position = at;
    }

    /// Whether something may be written already.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Opening
    }

    /// Whether hints are delivered as they come.
    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// A hint from the bus.
    pub(super) fn on_push(&mut self, push: &Arc<Push>) -> Step {
        if self.state != State::Live {
            if self.buffered.len() < BUFFERED {
                self.buffered.push(push.clone());
            } else {
                self.missed = true;
            }
            return Step::Nothing;
        }
        if push.prev == self.position {
            self.position = push.frame.cursor;
            return Step::Deliver;
        }
        if push.frame.cursor == self.position {
            return Step::Nothing;
        }
        self.buffered.push(push.clone());
        self.read()
    }

    /// A notification was taken back. False where the client is to be told of it at once, since everything that was
    /// to be written before is written; else it is told when it has caught up.
    pub(super) fn take_back(&mut self, cursor: Cursor, id: NotificationId) -> bool {
        if self.state == State::Live {
            return false;
        }
        let TakenBack(all) = &mut **self.taken_back.get_or_insert_default();
        if all.len() < BUFFERED {
            all.push((cursor, id));
        } else {
            // What is read from now on no longer has it.
            self.missed = true;
        }
        true
    }

    /// Whether what is about to be written was taken back.
    pub(super) fn is_taken_back(&self, cursor: Cursor) -> bool {
        let is_it = |all: &TakenBack| all.0.iter().any(|(it, _)| *it == cursor);
        self.taken_back.as_deref().is_some_and(is_it)
    }

    /// What was taken back while the client was catching up.
    pub(super) fn told_taken_back(&mut self) -> Vec<NotificationId> {
        let TakenBack(all) = *self.taken_back.take().unwrap_or_default();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// A hint that waited for the last page. What the page held already is passed over; a history
    /// that went back meanwhile shows at the next hint, or in the audit.
    pub(super) fn on_buffered(&mut self, push: &Arc<Push>) -> Step {
        if push.prev == self.position {
            self.position = push.frame.cursor;
            Step::Deliver
        } else if push.frame.cursor.seq <= self.position.seq {
            Step::Nothing
        } else {
            self.read()
        }
    }

    fn read(&mut self) -> Step {
        self.state = State::Reading;
        Step::Read(self.position)
    }

    /// A page was handled up to `end`; `count` of it was delivered.
    pub(super) fn on_page(&mut self, end: Cursor, more: bool, count: u32) -> Step {
        self.position = end;
        if let Some(replayed) = &mut self.replayed {
            *replayed += count;
        } else if count > 0 {
            self.replayed = Some(count);
        }
        if more || std::mem::take(&mut self.missed) {
            // What the page held need not wait any longer. Else the buffer, once full, would never
            // have room for what comes during the next page, and there would always be a next page.
            self.buffered.retain(|push| push.frame.cursor.seq > end.seq);
            return self.read();
        }
        self.state = State::Live;
        Step::Nothing
    }

    /// What waited for the page.
    pub(super) fn take_buffered(&mut self) -> Vec<Arc<Push>> {
        std::mem::take(&mut self.buffered)
    }

    /// How many were replayed, if the client is to be told.
    pub(super) fn take_replayed(&mut self) -> Option<u32> {
        self.replayed.take()
    }

    /// Hints may have been dropped on this gateway: where to read, unless a page is under way.
    pub(super) fn suspect(&mut self) -> Option<Cursor> {
        match self.state {
            State::Live => {
                self.read();
                Some(self.position)
            }
            State::Opening | State::Reading => {
                self.missed = true;
                None
            }
        }
    }

    /// The store's last cursor: where to read if that is not where this connection stands.
    pub(super) fn audit(&mut self, last: Cursor) -> Option<Cursor> {
        (self.state == State::Live && last != self.position).then(|| self.suspect())?
    }

    /// The connection is about to be registered again, which reads a page.
    pub(super) fn register_again(&mut self) {
        // A page that is under way too is handled like any other: both start at or before here.
        self.state = State::Reading;
    }
}
