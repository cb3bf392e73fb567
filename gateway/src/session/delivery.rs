//! The rules of delivery: what is written of what the bus brings and of what is read.

use std::sync::Arc;

use carillon_common::{
    backend::{Gap, Page, ReadChange},
    ids::{ChannelName, Cursor, Millis, NotificationId},
    protocol::ServerFrame,
    telemetry::spans::Destination,
};

use super::{Call, Note, Now, Out, Session, inbox::Step, streaming::At, traced::Traced};
use crate::push::{ChannelPush, Push, encode};

impl Session {
    /// A hint of a personal notification.
    pub(crate) fn on_push(&mut self, push: &Arc<Push>, now: Now, out: &mut Out) {
        match self.inbox.on_push(push) {
            Step::Deliver => self.deliver_live(push, now, out),
            Step::Nothing => {}
            Step::Read(after) => {
                out.note(Note::ChainBreak);
                out.ask(Call::Read(after));
            }
        }
    }

    fn deliver_live(&mut self, push: &Arc<Push>, now: Now, out: &mut Out) {
        let cursor = push.frame.cursor;
        if push.deliverable(now.wall) && !self.inbox.is_taken_back(cursor) {
            self.mark(At::Inbox(push.frame.cursor), out);
            self.write_live(push, out);
            self.wrote(push.frame.cursor, now, out);
        } else {
            let is_gone = push.frame.tombstone || self.inbox.is_taken_back(cursor);
            self.skip(cursor, is_gone, out);
        }
    }

    /// A notification was taken back: it is not written any more, and a client that may show it is told.
    pub(crate) fn on_retracted(&mut self, cursor: Cursor, id: NotificationId, out: &mut Out) {
        if !self.inbox.take_back(cursor, id) {
            self.tell_retracted(&[id], out);
        }
    }

    /// The user has read something.
    pub(crate) fn on_read(&self, change: ReadChange, out: &mut Out) {
        if self.dialect().tells() {
            out.write(&change.into());
        }
    }

    fn tell_retracted(&self, ids: &[NotificationId], out: &mut Out) {
        if self.dialect().tells() && !ids.is_empty() {
            out.write(&ServerFrame::Retracted { ids });
        }
    }

    /// Passes over a frame that is not to be delivered.
    fn skip(&mut self, cursor: Cursor, tombstone: bool, out: &mut Out) {
        if !tombstone && !self.identity.user.is_canary() {
            out.note(Note::Expired);
        }
        self.receipts.skipped(cursor, !tombstone);
    }

    fn write_live(&self, push: &Arc<Push>, out: &mut Out) {
        let dialect = self.dialect();
        out.deliver(push.text(dialect), Traced::live(push, dialect));
        self.note_written(false, push.frame.stored_at, out);
    }

    pub(super) fn note_written(&self, replayed: bool, stored_at: Millis, out: &mut Out) {
        // What the canary is given is not counted as a user's.
        if self.identity.user.is_canary() {
            return;
        }
        out.note(Note::Written {
            replayed,
            stored_at,
        });
    }

    /// A notification outside the chain.
    pub(crate) fn on_ephemeral(&mut self, push: &Arc<Push>, out: &mut Out) {
        if self.inbox.is_open() {
            self.write_live(push, out);
        }
    }

    /// A hint of a channel's notification, or of a broadcast.
    pub(crate) fn on_channel_push(&mut self, push: &Arc<ChannelPush>, now: Now, out: &mut Out) {
        let Some(feed) = self.feed(&push.channel) else {
            return;
        };
        if feed.on_push(&push.push) {
            self.write_channel_push(&push.channel, &push.push, now, out);
        }
    }

    pub(super) fn write_channel_push(
        &mut self,
        channel: &ChannelName,
        push: &Arc<Push>,
        now: Now,
        out: &mut Out,
    ) {
        if push.deliverable(now.wall) {
            self.mark(At::Log(channel, push.frame.cursor), out);
            self.write_live(push, out);
            self.wrote_to_channel(channel, push.frame.cursor, now);
        }
    }

    /// Hints were dropped because the outbox was full; it has drained.
    pub(crate) fn on_overflow(&mut self, out: &mut Out) {
        if let Some(after) = self.inbox.suspect() {
            out.ask(Call::Read(after));
        }
    }

    /// The store's last cursor: whatever was not delivered is read.
    pub(super) fn on_audit(&mut self, last: Cursor, out: &mut Out) {
        if let Some(after) = self.inbox.audit(last) {
            out.note(Note::AuditRepair);
            out.ask(Call::Read(after));
        }
    }

    /// A page of the inbox.
    pub(super) fn on_page(&mut self, page: Page, now: Now, out: &mut Out) {
        if let Some(gap) = page.gap {
            self.tell_gap(None, gap, page.start, out);
            self.receipts.restart(page.start);
            self.told_of_loss |= gap == Gap::Rewound;
        }
        let dialect = self.dialect();
        let mut count = 0;
        for frame in &page.frames {
            let taken_back = self.inbox.is_taken_back(frame.cursor);
            if frame.deliverable(now.wall) && !taken_back {
                let traced = Traced::replayed(frame, Destination::Inbox, dialect);
                self.mark(At::Inbox(frame.cursor), out);
                out.deliver(encode(frame, dialect, true), traced);
                self.note_written(true, frame.stored_at, out);
                self.wrote(frame.cursor, now, out);
                if out.closed().is_some() {
                    return;
                }
                count += 1;
            } else {
                if frame.is_loss() {
                    self.on_loss(frame.cursor, out);
                }
                self.skip(frame.cursor, frame.tombstone || taken_back, out);
            }
        }
        match self.inbox.on_page(page.end, page.more, count) {
            Step::Read(after) => out.ask(Call::Read(after)),
            Step::Deliver | Step::Nothing => self.go_live(now, out),
        }
    }

    /// The store has lost something here: the client is told once in each catch-up.
    fn on_loss(&mut self, at: Cursor, out: &mut Out) {
        if !std::mem::replace(&mut self.told_of_loss, true) {
            self.tell_gap(None, Gap::Rewound, at, out);
        }
        if self.dialect().tells() {
            self.receipts.told_of_loss();
        }
    }

    /// The last page is written: what the bus brought meanwhile follows.
    fn go_live(&mut self, now: Now, out: &mut Out) {
        self.told_of_loss = false;
        let replayed = self.inbox.take_replayed();
        for push in self.inbox.take_buffered() {
            match self.inbox.on_buffered(&push) {
                Step::Deliver => self.deliver_live(&push, now, out),
                Step::Nothing => {}
                Step::Read(after) => {
                    out.ask(Call::Read(after));
                    break;
                }
            }
            if out.closed().is_some() {
                return;
            }
        }
        if self.inbox.is_live() {
            let taken_back = self.inbox.told_taken_back();
            self.tell_retracted(&taken_back, out);
        }
        if let Some(count) = replayed
            && self.dialect().tells()
        {
            let replayed = ServerFrame::Replayed {
                cursor: self.inbox.position(),
                count: count.into(),
            };
            self.write_at(At::Here, &replayed, out);
        }
    }

    /// Something is missing for good, in the inbox or in a channel's log.
    pub(super) fn tell_gap(
        &self,
        channel: Option<&ChannelName>,
        reason: Gap,
        resume: Cursor,
        out: &mut Out,
    ) {
        out.note(Note::Gap(reason));
        if self.dialect().tells() {
            let at = channel.map_or(At::Inbox(resume), |channel| At::Log(channel, resume));
            let gap = ServerFrame::Gap {
                channel,
                reason,
                resume,
            };
            self.write_at(at, &gap, out);
        }
    }
}
