//! What a missed hint leads to: the channel's log is read, and its members are given what it holds.

use std::{sync::Arc, time::Duration};

use carillon_common::{
    backend::{Gap, Page},
    ids::{ChannelName, Cursor},
    retry::pauses,
};
use tokio::time::sleep;

use super::{Channels, Handle, Log};
use crate::{
    push::{ChannelGap, ChannelPush, Push, Way},
    session::Event,
};

/// The longest first pause, and the longest of all, before a log is read again that could not be.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

impl Channels {
    /// Reads every followed channel's log after where it stands: hints may have been missed.
    pub(crate) fn repair_all(self: &Arc<Self>) {
        let all: Vec<ChannelName> = self.logs.lock().keys().cloned().collect();
        for channel in all {
            if self.begin_repair(&channel) {
                self.repair(channel);
            }
        }
    }

    /// Compares where the followed channels stand with the ends of their logs: a hint that was lost at
    /// the very end of a log shows by no other. What is behind has `patience` to catch up first.
    pub(crate) async fn audit(self: &Arc<Self>, patience: Duration) {
        let followed: Vec<ChannelName> = {
            let logs = self.logs.lock();
            let followed = logs.iter().filter(|(_, log)| log.followed.initialized());
            followed.map(|(channel, _)| channel.clone()).collect()
        };
        let Ok(membership) = self.membership() else {
            return;
        };
        let Ok(ends) = membership.log_ends(&followed).await else {
            return;
        };
        let mut behind: Vec<(ChannelName, Cursor)> = followed.into_iter().zip(ends).collect();
        behind.retain(|(channel, end)| self.is_behind(channel, *end));
        if behind.is_empty() {
            return;
        }
        // What was on its way a moment ago has arrived by now, unless it was lost.
        sleep(patience).await;
        for (channel, end) in behind {
            if self.is_behind(&channel, end) && self.begin_repair(&channel) {
                self.metrics.all.audit_repairs.inc();
                self.repair(channel);
            }
        }
    }

    fn is_behind(&self, channel: &ChannelName, end: Cursor) -> bool {
        let logs = self.logs.lock();
        logs.get(channel).is_some_and(|log| {
            log.last.seq < end.seq || (log.last.seq == end.seq && log.last != end)
        })
    }

    /// From here on hints wait; false when they do already.
    fn begin_repair(&self, channel: &ChannelName) -> bool {
        let mut logs = self.logs.lock();
        let idle = logs
            .get_mut(channel)
            .filter(|log| log.repairing.is_none() && log.followed.initialized());
        idle.is_some_and(|log| log.repairing.replace(Vec::new()).is_none())
    }

    pub(super) fn repair(self: &Arc<Self>, channel: ChannelName) {
        let channels = self.clone();
        self.tasks
            .spawn(async move { channels.read_on(&channel).await });
    }

    /// Reads a channel's log page by page until it meets the hints that wait.
    async fn read_on(&self, channel: &ChannelName) {
        let mut pauses = pauses(PAUSES.0, PAUSES.1);
        loop {
            let Some(after) = self.logs.lock().get(channel).map(|log| log.last) else {
                return;
            };
            let Ok(membership) = self.membership() else {
                return;
            };
            let page = match membership.history(channel, after).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%channel, %error, "a channel's log cannot be read yet");
                    sleep(pauses.next().unwrap_or(PAUSES.1)).await;
                    continue;
                }
            };
            let mut logs = self.logs.lock();
            let Some(log) = logs.get_mut(channel) else {
                return;
            };
            let more = page.more;
            self.give_page(log, channel, page);
            if more || std::mem::take(&mut log.missed) {
                continue;
            }
            for push in log.repairing.take().unwrap_or_default() {
                if push.push.frame.cursor.seq > log.last.seq {
                    log.last = push.push.frame.cursor;
                    self.fan_out(log, &push);
                }
            }
            return;
        }
    }

    /// Gives the members what a page holds, and tells them once what is missing.
    fn give_page(&self, log: &mut Log, channel: &ChannelName, page: Page) {
        if let Some(reason) = page.gap {
            self.tell_gap(log, channel, reason, page.start);
        }
        let mut told = page.gap == Some(Gap::Rewound);
        let mut prev = page.start;
        for frame in page.frames {
            let cursor = frame.cursor;
            if !frame.is_loss() {
                let push = ChannelPush {
                    channel: channel.clone(),
                    push: Push::traced(prev, frame, Way::Log, &self.metrics.spans),
                };
                self.fan_out(log, &Arc::new(push));
            } else if !std::mem::replace(&mut told, true) {
                self.tell_gap(log, channel, Gap::Rewound, cursor);
            }
            prev = cursor;
        }
        log.last = page.end;
    }

    fn tell_gap(&self, log: &Log, channel: &ChannelName, reason: Gap, resume: Cursor) {
        let gap = ChannelGap {
            channel: channel.clone(),
            reason,
            resume,
        };
        let give = |handle: &Arc<Handle>| handle.mailbox.post(Event::ChannelGap(gap.clone()));
        if channel.is_broadcast() {
            self.hub.each(give);
        } else {
            log.members.iter().for_each(give);
        }
    }
}
