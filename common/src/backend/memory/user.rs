//! All that is kept of one user.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::{
    assigned::Assigned,
    budget::Share,
    chain::Chain,
    dedup::Dedup,
    lease::Leases,
    presence::Entry,
    rules::{self, Reader, Record, Standing, millis},
    scheduled::{DueUsers, Scheduled},
    subscriptions::Kept,
};
use crate::{
    backend::{BackendError, Device, LeftReason, Limits, Page, ReadState, receipt::Marks},
    ids::{CollapseKey, Cursor, DeviceId, Millis, SessionId, UserId},
};

/// How long a user is remembered beyond the inbox's own life.
const GRACE_MS: Millis = 86_400_000;
/// Positions that a user's `left` list holds.
const LEFT: usize = 256;

/// One user: inbox, readers, connections, kept subscriptions.
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) chain: Chain,
    pub(super) records: HashMap<Reader, Record>,
    /// When devices acked; `None`: those that do not name themselves.
    pub(super) marks: HashMap<Option<DeviceId>, Marks>,
    /// The number of the last notification of each key.
    pub(super) collapse: HashMap<CollapseKey, u64>,
    /// What was read.
    pub(super) read: ReadState,
    pub(super) presence: HashMap<(Device, SessionId), Entry>,
    pub(super) kept: Kept,
    pub(super) assigned: Assigned,
    pub(super) scheduled: Scheduled,
    pub(super) dedup: Dedup,
    pub(super) highest_fence: u64,
    left: VecDeque<Left>,
    pub(super) touched: Millis,
    bytes: Share,
    _place: Share,
}

/// A position that left the inbox, for some reader or for all, without being delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which notification.
    pub cursor: Cursor,
    /// Who did not get it; `None`: whoever was behind it.
    pub reader: Option<Reader>,
    /// Why.
    pub reason: LeftReason,
    /// When.
    pub at: Millis,
}

/// What the store's operations on a user are given: the time, the limits, the gateways.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) now: Millis,
    pub(super) limits: &'a Limits,
    pub(super) leases: &'a Leases,
    pub(super) due: &'a Mutex<DueUsers>,
}

impl Reader {
    /// Whose position a connection moves.
    pub(super) fn of(device: &Device, session: &SessionId) -> Self {
        match device {
            Device::Named(device) => Self::Named(device.clone()),
            Device::Anonymous => Self::Session(session.clone()),
        }
    }

    /// Its device, if it has a name.
    pub(super) fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Named(device) => Some(device.clone()),
            Self::Session(_) | Self::Folded => None,
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        !matches!(self, Self::Named(_))
    }
}

impl User {
    pub(super) fn new(id: UserId, place: Share, bytes: Share, now: Millis) -> Self {
        Self {
            id,
            chain: Chain::default(),
            records: HashMap::new(),
            marks: HashMap::new(),
            collapse: HashMap::new(),
            read: ReadState::default(),
            presence: HashMap::new(),
            kept: Kept::default(),
            assigned: Assigned::default(),
            scheduled: Scheduled::default(),
            dedup: Dedup::default(),
            highest_fence: 0,
            left: VecDeque::new(),
            touched: now,
            bytes,
            _place: place,
        }
    }

    /// Whether there is nothing to remember, or nobody asked for too long.
    pub(super) fn is_idle(&self, cx: &Context<'_>) -> bool {
        let is_blank = !self.chain.has_history()
            && self.records.is_empty()
            && self.kept.is_empty()
            && self.assigned.is_empty()
            && self.left.is_empty()
            && !self.scheduled.has_left()
            && self.dedup.is_empty();
        let lapses = self.touched + millis(cx.limits.inbox_ttl) + GRACE_MS;
        let is_over = is_blank || (lapses < cx.now && self.assigned.is_empty());
        self.presence.is_empty() && self.scheduled.is_empty() && is_over
    }

    /// Forgets everything, as if the user had never been known.
    pub(super) fn forget(&mut self, now: Millis) {
        self.chain = Chain::default();
        self.records.clear();
        self.marks.clear();
        self.collapse.clear();
        self.read = ReadState::default();
        self.kept = Kept::default();
        self.assigned = Assigned::default();
        self.scheduled = Scheduled::default();
        self.dedup = Dedup::default();
        self.left.clear();
        self.touched = now;
        self.settle();
    }

    /// Frees what has lapsed.
    pub(super) fn prune(&mut self, cx: &Context<'_>) {
        self.dedup.prune(cx.now);
        self.kept.prune(cx.now - millis(cx.limits.restore));
        self.settle();
    }

    /// Takes the bytes that something about to be kept will need.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), BackendError> {
        self.bytes.grow(bytes)
    }

    /// Gives back the bytes that are not needed after all.
    pub(super) fn settle(&mut self) {
        self.bytes
            .shrink_to(self.chain.bytes() + self.dedup.bytes() + self.scheduled.bytes());
    }

    /// Every reader, and whether it is connected now.
    pub(super) fn standings(&self, cx: &Context<'_>) -> Vec<Standing> {
        let connected = self.connected(cx);
        self.records
            .iter()
            .map(|(reader, record)| Standing {
                reader: reader.clone(),
                record: *record,
                connected: connected.contains(reader),
            })
            .collect()
    }

    /// A page for a reader that asks for what follows `since`.
    pub(super) fn page(&self, record: &Record, since: Option<Cursor>, cx: &Context<'_>) -> Page {
        let resume = rules::resume(&self.chain, record, since);
        self.chain
            .page(resume.start, resume.index, cx.limits.page, resume.gap)
    }

    /// The page that follows `after`. The anonymous device reads by the least of its records.
    pub(super) fn read(&self, device: &Device, after: Cursor, cx: &Context<'_>) -> Page {
        let record = match device {
            Device::Named(device) => self.records.get(&Reader::Named(device.clone())).copied(),
            Device::Anonymous => self.anonymous_record(),
        };
        let record = record.unwrap_or(Record::starting(Cursor::ZERO, Cursor::ZERO));
        self.page(&record, Some(after), cx)
    }

    /// The anonymous connections' records, ended ones included, as one.
    pub(super) fn anonymous_record(&self) -> Option<Record> {
        self.records
            .iter()
            .filter(|(reader, _)| reader.is_anonymous())
            .map(|(_, record)| *record)
            .reduce(rules::fold)
    }

    pub(super) fn note_left(&mut self, left: Left) {
        if self.left.len() == LEFT {
            self.left.pop_front();
        }
        self.left.push_back(left);
    }

    /// When the oldest note was made, if there may have been older ones.
    pub(super) fn oldest_note(&self) -> Option<Millis> {
        let oldest = self.left.front().filter(|_| self.left.len() == LEFT);
        oldest.map(|left| left.at)
    }

    pub(super) fn left(&self) -> impl Iterator<Item = &Left> {
        self.left.iter()
    }
}
