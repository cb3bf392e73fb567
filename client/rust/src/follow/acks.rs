//! What was handled and is to be acknowledged, log by log.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Notification;

/// Acknowledgements are gathered for so long, or so many: a frame for each would cost both sides.
const WITHIN: Duration = Duration::from_millis(500);
const AFTER: usize = 32;

/// Each has positions of its own.
#[derive(Debug, PartialEq, Eq)]
enum Log {
    Inbox,
    Everyone,
    Channel(String),
}

impl Log {
    fn of(notification: &Notification) -> Self {
        match &notification.channel {
            _ if notification.is_personal() => Self::Inbox,
            Some(channel) => Self::Channel(channel.clone()),
            None => Self::Everyone,
        }
    }
}

/// Of one connection: only what was written on it may be acknowledged there.
#[derive(Debug, Default)]
pub(super) struct Acks {
    newest: Vec<(Log, String)>,
    handled: usize,
    due: Option<Instant>,
}

impl Acks {
    /// A notification was handled; an acknowledgement covers those before it, too.
    pub(super) fn note(&mut self, notification: &Notification, now: Instant) {
        let Some(cursor) = notification.cursor.clone() else {
            return;
        };
        let log = Log::of(notification);
        match self.newest.iter_mut().find(|(other, _)| *other == log) {
            Some((_, newest)) => *newest = cursor,
            None => self.newest.push((log, cursor)),
        }
        self.handled += 1;
        let due = if self.handled >= AFTER {
            now
        } else {
            now + WITHIN
        };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// When they are to be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The frames to send.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Value> {
        let newest = std::mem::take(self).newest.into_iter();
        newest.map(|(_, cursor)| json!({"type": "ack", "cursor": cursor}))
    }
}
