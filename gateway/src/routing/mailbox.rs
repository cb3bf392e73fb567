//! What waits for a connection or is being written to it, bounded in bytes.
//!
//! The hub puts in and never waits; the connection's task takes a part, writes it, and comes back.
//! What it took counts until then. Hints that do not fit are dropped: personal ones stay in the
//! inbox and the connection reads them from there, channel ones go by their channel's policy.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use carillon_common::{
    backend::{Gap, ReadChange},
    ids::{Cursor, NotificationId},
    protocol::CloseCode,
    settings::OverflowPolicy,
};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::{
    push::{ChannelGap, ChannelPush, Push},
    session::Event,
};

/// How much of a mailbox is taken at once, in bytes.
const AT_ONCE: usize = 48 << 10;
/// What is written of a retraction, or of what was read, in bytes, and about what stands around it.
const CHANGE: usize = 160;

/// Something that waits for a session.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A personal notification.
    Inbox(Arc<Push>),
    /// An ephemeral one, which is not in the inbox.
    Ephemeral(Arc<Push>),
    /// A personal notification was taken back. Boxed, as are the next: every queue that was used once has room for
    /// four mails.
    Retracted(Box<(Cursor, NotificationId)>),
    /// The user has read something.
    Read(Box<ReadChange>),
    /// A channel's notification.
    Channel(Arc<ChannelPush>),
    /// Anything else. Never refused: answers are as many as the session's questions. But what they
    /// bring leaves so much less room for hints.
    Event(Box<Event>),
}

impl Mail {
    fn weight(&self) -> usize {
        match self {
            Self::Inbox(push) | Self::Ephemeral(push) => push.weight(),
            Self::Retracted(_) | Self::Read(_) => CHANGE,
            Self::Channel(channel) => channel.push.weight(),
            Self::Event(event) => event.weight(),
        }
    }
}

/// What a connection takes out.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// In the order they came.
    pub mails: VecDeque<Mail>,
    /// Personal hints were dropped.
    pub behind: bool,
    /// Channels whose oldest hints were dropped, and how far.
    pub gaps: Vec<ChannelGap>,
}

/// A bounded queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    taken: Taken,
    /// Bytes of what waits.
    bytes: usize,
    /// Bytes of what was taken and is being written.
    writing: usize,
    closed: bool,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It waits for the connection.
    Kept,
    /// It did not fit.
    Overflow,
}

impl Mailbox {
    /// Puts an event in, unless the connection has ended.
    pub(crate) fn post(&self, event: Event) {
        drop(self.offer(event));
    }

    /// The same; gives the event back when the connection has ended.
    pub(crate) fn offer(&self, event: Event) -> Option<Event> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Some(event);
        }
        queue.push(Mail::Event(Box::new(event)));
        drop(queue);
        self.waker.wake();
        None
    }

    /// Puts a personal hint in, if it fits into `bound` bytes.
    pub(crate) fn hint(&self, mail: Mail, bound: usize) -> Put {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Put::Kept;
        }
        let fits = queue.fits(mail.weight(), bound);
        if fits {
            queue.push(mail);
        } else {
            queue.taken.behind = true;
        }
        drop(queue);
        self.waker.wake();
        if fits { Put::Kept } else { Put::Overflow }
    }

    /// Puts a channel's hint in, by the channel's policy if it does not fit.
    pub(crate) fn channel_hint(
        &self,
        push: Arc<ChannelPush>,
        bound: usize,
        policy: OverflowPolicy,
    ) -> Put {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Put::Kept;
        }
        let weight = push.push.weight();
        let mut put = Put::Kept;
        if !queue.fits(weight, bound) {
            put = Put::Overflow;
            match policy {
                OverflowPolicy::Disconnect => {
                    let close = Event::Close(CloseCode::SlowConsumer);
                    queue.taken.mails.push_back(Mail::Event(Box::new(close)));
                    queue.closed = true;
                }
                OverflowPolicy::DropOldest => queue.drop_oldest(weight, bound),
                OverflowPolicy::Latest => queue.drop_older(&push),
            }
        }
        if !queue.closed && queue.fits(weight, bound) {
            queue.push(Mail::Channel(push));
        } else if !queue.closed {
            queue.note_gap(&push);
        }
        drop(queue);
        self.waker.wake();
        put
    }

    /// Takes the next part, or waits for something to take. The caller has written what it took before.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        self.waker.register(context.waker());
        let mut queue = self.queue.lock();
        queue.writing = 0;
        let taken = &queue.taken;
        if taken.mails.is_empty() && !taken.behind && taken.gaps.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(queue.take())
    }

    /// Nothing is taken in any more; answers with what nobody took.
    pub(crate) fn close(&self) -> Taken {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.bytes = 0;
        std::mem::take(&mut queue.taken)
    }

    /// How many things wait, and how many bytes wait or are being written.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.taken.mails.len(), queue.held())
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }
}

impl Queue {
    fn held(&self) -> usize {
        self.bytes + self.writing
    }

    /// An empty mailbox has room for one of any size.
    fn fits(&self, weight: usize, bound: usize) -> bool {
        let held = self.held();
        held == 0 || held + weight <= bound
    }

    fn push(&mut self, mail: Mail) {
        self.bytes += mail.weight();
        self.taken.mails.push_back(mail);
    }

    /// At most [`AT_ONCE`] bytes, but at least one mail: a copy of its own is made of what is written,
    /// where what waits is shared with others. That hints were dropped is said after the last.
    fn take(&mut self) -> Taken {
        let mut weights = self.taken.mails.iter().map(Mail::weight);
        let mut taking = weights.next().unwrap_or(0);
        let more = weights.take_while(|weight| {
            taking += weight;
            taking <= AT_ONCE
        });
        let count = 1 + more.count();
        if count >= self.taken.mails.len() {
            self.writing = std::mem::take(&mut self.bytes);
            return std::mem::take(&mut self.taken);
        }
        let rest = self.taken.mails.split_off(count);
        let mails = std::mem::replace(&mut self.taken.mails, rest);
        self.writing = mails.iter().map(Mail::weight).sum();
        self.bytes -= self.writing;
        Taken {
            mails,
            behind: false,
            gaps: std::mem::take(&mut self.taken.gaps),
        }
    }

    fn drop_oldest(&mut self, weight: usize, bound: usize) {
        let mails = std::mem::take(&mut self.taken.mails);
        for mail in mails {
            match mail {
                Mail::Channel(old) if !self.fits(weight, bound) => {
                    self.bytes -= old.push.weight();
                    self.note_gap(&old);
                }
                mail => self.taken.mails.push_back(mail),
            }
        }
    }

    fn drop_older(&mut self, newest: &ChannelPush) {
        let mut freed = 0;
        self.taken.mails.retain(|mail| match mail {
            Mail::Channel(old) if old.channel == newest.channel => {
                freed += old.push.weight();
                false
            }
            _ => true,
        });
        self.bytes -= freed;
    }

    fn note_gap(&mut self, dropped: &ChannelPush) {
        let resume = dropped.push.frame.cursor;
        match self
            .taken
            .gaps
            .iter_mut()
            .find(|gap| gap.channel == dropped.channel)
        {
            Some(gap) => gap.resume = resume,
            None => self.taken.gaps.push(ChannelGap {
                channel: dropped.channel.clone(),
                reason: Gap::TooMany,
                resume,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
