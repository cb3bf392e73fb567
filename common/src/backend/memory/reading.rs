//! What services ask of inboxes.

use async_trait::async_trait;

use super::{
    MemoryBackend,
    rules::Reader,
    user::{Context, Left, User},
};
use crate::{
    backend::{
        BackendError, BusEvent, Devices, Inboxes, LeftReason, Look, PAGE_BYTES, ReadChange,
        ReadMark, ReadState, Receipt, Retraction, Sight, Standing,
        receipt::{self, Facts, Known, Note},
    },
    ids::{CollapseKey, Cursor, UserId},
    notification::Frame,
};

#[async_trait]
impl Inboxes for MemoryBackend {
    async fn look(&self, user: &UserId, look: &Look) -> Result<Option<Sight>, BackendError> {
        Ok(self.store.with_known_user(user, |user, _| match user {
            Some(user) => user.look(look),
            None => look.after.is_none().then(|| Sight {
                frames: Vec::new(),
                more: false,
                read: ReadState::default(),
            }),
        }))
    }

    async fn receipt(
        &self,
        user: &UserId,
        cursor: Cursor,
    ) -> Result<Option<Receipt>, BackendError> {
        Ok(self
            .store
            .with_known_user(user, |user, cx| user?.facts(cursor, cx).map(Facts::judged)))
    }

    async fn devices(&self, user: &UserId) -> Result<Devices, BackendError> {
        Ok(self.store.with_known_user(user, |user, _| match user {
            Some(user) => Devices::of(user.chain.last(), user.known()),
            None => Devices::of(Cursor::ZERO, Vec::new()),
        }))
    }

    async fn retract(&self, user: &UserId, cursor: Cursor) -> Result<Retraction, BackendError> {
        Ok(self.store.with_known_user(user, |user, cx| {
            user.map_or(Retraction::Gone, |user| user.retract(cursor, cx))
        }))
    }

    async fn erase(&self, user: &UserId) -> Result<bool, BackendError> {
        Ok(self.store.with_known_user(user, |user, cx| {
            let Some(user) = user else { return false };
            user.forget(cx.now);
            cx.due.lock().set(&user.id, None);
            true
        }))
    }

    async fn mark_read(&self, user: &UserId, mark: ReadMark) -> Result<Option<bool>, BackendError> {
        Ok(self.store.with_known_user(user, |user, cx| match user {
            Some(user) => user.mark_read(mark, cx),
            None => (mark == ReadMark::All).then_some(false),
        }))
    }

    async fn unread(&self, user: &UserId) -> Result<u64, BackendError> {
        Ok(self
            .store
            .with_known_user(user, |user, cx| user.map_or(0, |user| user.unread(cx))))
    }
}

impl User {
    fn look(&self, look: &Look) -> Option<Sight> {
        let frames = self.chain.frames();
        let all = frames.len();
        let (before, after) = match look.after {
            None => (all, 0),
            Some(after) => {
                let index = match self.chain.index_of(after.seq) {
                    Some(index) if frames[index].cursor == after => Some(index),
                    Some(_) => return None,
                    None if after.seq < frames.front()?.cursor.seq => None,
                    None => return None,
                };
                (index.unwrap_or(0), index.map_or(0, |index| index + 1))
            }
        };
        let ordered: Box<dyn Iterator<Item = &Frame>> = match look.backwards {
            true => Box::new(frames.range(..before).rev()),
            false => Box::new(frames.range(after..)),
        };
        let left = if look.backwards { before } else { all - after };
        let mut bytes = 0;
        let fits = |(at, frame): &(usize, &Frame)| {
            bytes += frame.body.len();
            *at == 0 || bytes <= PAGE_BYTES
        };
        let seen = ordered.take(look.limit as usize).enumerate();
        let seen: Vec<_> = seen.take_while(fits).map(|(_, it)| it.clone()).collect();
        Some(Sight {
            more: seen.len() < left,
            frames: seen,
            read: self.read.clone(),
        })
    }

    fn facts(&self, cursor: Cursor, cx: &Context<'_>) -> Option<Facts> {
        if !self.chain.has_history() || cursor.seq > self.chain.last().seq {
            return None;
        }
        let standing = match self.chain.index_of(cursor.seq) {
            None => Standing::Trimmed,
            Some(index) => {
                let frame = &self.chain.frames()[index];
                if frame.cursor != cursor {
                    return None;
                }
                Standing::Kept(Box::new(frame.clone()))
            }
        };
        let notes = self.left().filter(|left| left.cursor == cursor);
        let notes = notes.map(|left| Note {
            reader: left.reader.as_ref().map(of_receipts),
            reason: left.reason,
            at: left.at,
        });
        Some(Facts {
            cursor,
            standing,
            known: self.known(),
            notes: notes.collect(),
            oldest_note: self.oldest_note(),
            now: cx.now,
        })
    }

    fn known(&self) -> Vec<Known> {
        let known = self.records.iter().map(|(reader, record)| Known {
            reader: of_receipts(reader),
            position: record.cursor,
            has_acked: record.has_acked,
            marks: self
                .marks
                .get(&reader.device())
                .cloned()
                .unwrap_or_default(),
        });
        known.collect()
    }

    fn retract(&mut self, cursor: Cursor, cx: &Context<'_>) -> Retraction {
        let Some(index) = self.chain.index_of(cursor.seq) else {
            return Retraction::Gone;
        };
        let frame = &self.chain.frames()[index];
        if frame.cursor != cursor {
            return Retraction::Gone;
        }
        if frame.tombstone || frame.expires_at <= cx.now {
            return Retraction::Left;
        }
        if let Some(frame) = self.chain.bury(index) {
            self.take_back(&frame, LeftReason::Retracted, cx);
        }
        self.settle();
        Retraction::Done {
            devices: self.connected_devices(cx),
        }
    }

    fn mark_read(&mut self, mark: ReadMark, cx: &Context<'_>) -> Option<bool> {
        let frames = self.chain.frames();
        let (Some(first), last) = (frames.front(), self.chain.last()) else {
            return (mark == ReadMark::All).then_some(false);
        };
        let first = first.cursor.seq;
        let kept = |cursor: Cursor| {
            let index = self.chain.index_of(cursor.seq)?;
            let frame = &frames[index];
            (frame.cursor == cursor).then_some(frame.id)
        };
        let (changed, change) = match mark {
            ReadMark::One(cursor) => {
                let id = kept(cursor)?;
                (self.read.mark(cursor.seq), ReadChange::One { cursor, id })
            }
            ReadMark::UpTo(cursor) => {
                if cursor != last {
                    kept(cursor)?;
                }
                (self.read.mark_up_to(cursor.seq), ReadChange::UpTo(cursor))
            }
            ReadMark::All => (self.read.mark_up_to(last.seq), ReadChange::UpTo(last)),
        };
        if changed {
            self.read.trim(first);
            self.hint(cx, || BusEvent::Read {
                user: self.id.clone(),
                change,
            });
        }
        Some(changed)
    }

    fn unread(&self, cx: &Context<'_>) -> u64 {
        let frames = self.chain.frames().iter();
        let good = frames.filter(|frame| frame.deliverable(cx.now));
        good.filter(|frame| !self.read.includes(frame.cursor))
            .count() as u64
    }

    /// Notes that a frame was taken back, and tells those who may have it.
    pub(super) fn take_back(&mut self, frame: &Frame, reason: LeftReason, cx: &Context<'_>) {
        self.note_left(Left {
            cursor: frame.cursor,
            reader: None,
            reason,
            at: cx.now,
        });
        self.hint(cx, || BusEvent::Retracted {
            user: self.id.clone(),
            cursor: frame.cursor,
            id: frame.id,
        });
    }

    /// The frame that the next one of a collapse key replaces.
    pub(super) fn replaced(&self, key: &CollapseKey) -> Option<usize> {
        let number = self.collapse.get(key)?;
        let index = self.chain.index_of(*number)?;
        (!self.chain.frames()[index].tombstone).then_some(index)
    }

    /// What a collapse key stands for from now on. Those of notifications that are no longer kept go.
    pub(super) fn note_key(&mut self, key: &CollapseKey, cursor: Cursor) {
        self.collapse.insert(key.clone(), cursor.seq);
        if self.collapse.len() > self.chain.frames().len() {
            let chain = &self.chain;
            self.collapse
                .retain(|_, number| chain.index_of(*number).is_some());
        }
    }
}

fn of_receipts(reader: &Reader) -> receipt::Reader {
    match reader {
        Reader::Named(device) => receipt::Reader::Named(device.clone()),
        Reader::Session(_) | Reader::Folded => receipt::Reader::Anonymous,
    }
}
