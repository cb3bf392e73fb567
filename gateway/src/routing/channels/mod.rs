//! The channels that this gateway follows for its members.
//!
//! The gateway follows a channel from its first member until a while after its last. It keeps the
//! log's chain once for all members: what breaks it is answered by reading the log.

mod counts;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use carillon_common::{
    backend::{BackendError, Gap, Membership},
    ids::{ChannelName, Cursor},
    notification::Frame,
    settings::{OverflowPolicy, Settings},
};
use tokio::{sync::OnceCell, time::Instant};
use tokio_util::task::TaskTracker;

use crate::{
    metrics::Metrics,
    push::{ChannelGap, ChannelPush, Push, Way},
    routing::hub::{Handle, Hub},
    routing::mailbox::Put,
    session::Event,
    upkeep::AUDIT_PATIENCE,
};

/// Hints that wait while a channel's log is read; more are dropped, and it is read once more.
const BUFFERED: usize = 1_024;

/// The channels of a gateway.
pub(crate) struct Channels {
    hub: Arc<Hub>,
    feeds: Mutex<HashMap<ChannelName, Feed>>,
    /// One follow or unfollow at a time, so that they cannot overtake each other.
    order: tokio::sync::Mutex<()>,
    membership: OnceLock<Arc<dyn Membership>>,
    settings: Arc<Settings>,
    metrics: Metrics,
    tasks: TaskTracker,
}

struct Feed {
    last: Cursor,
    members: Vec<Arc<Handle>>,
    /// Set once the gateway follows the channel.
    followed: Arc<OnceCell<()>>,
    /// Hints that wait while the log is read.
    repairing: Option<Vec<Arc<ChannelPush>>>,
    missed: bool,
    empty_since: Option<Instant>,
    policy: OverflowPolicy,
}

impl Channels {
    /// Follows nothing yet; [`join_deployment`](Self::join_deployment) comes next.
    pub(crate) fn new(
        hub: Arc<Hub>,
        settings: Arc<Settings>,
        metrics: Metrics,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            hub,
            feeds: Mutex::default(),
            order: tokio::sync::Mutex::default(),
            membership: OnceLock::new(),
            settings,
            metrics,
            tasks,
        }
    }

    /// Learns through which membership to follow, and where the broadcasts stand.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn join_deployment(
        &self,
        membership: Arc<dyn Membership>,
    ) -> Result<(), BackendError> {
        // A second call changes nothing.
        drop(self.membership.set(membership.clone()));
        let broadcast = ChannelName::broadcast();
        let last = membership.follow(&broadcast).await?;
        let mut feeds = self.lock();
        let feed = feeds
            .entry(broadcast.clone())
            .or_insert_with(|| self.feed(&broadcast));
        feed.last = if feed.last.seq > last.seq {
            feed.last
        } else {
            last
        };
        feed.empty_since = None;
        drop(feed.followed.set(()));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelName, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feed(&self, channel: &ChannelName) -> Feed {
        let policy = self
            .settings
            .namespace(channel.as_str())
            .map_or(self.settings.channels.policy, |namespace| namespace.policy);
        Feed {
            last: Cursor::ZERO,
            members: Vec::new(),
            followed: Arc::default(),
            repairing: None,
            missed: false,
            empty_since: None,
            policy,
        }
    }

    /// Where the gateway stands in the broadcasts.
    pub(crate) fn broadcast_position(&self) -> Cursor {
        self.lock()
            .get(&ChannelName::broadcast())
            .map_or(Cursor::ZERO, |feed| feed.last)
    }

    /// Makes a connection a member; answers where the log stood then.
    ///
    /// # Errors
    /// When the store does not answer; then it is no member.
    pub(crate) async fn join(
        &self,
        channel: &ChannelName,
        handle: &Arc<Handle>,
    ) -> Result<Cursor, BackendError> {
        let followed = {
            let mut feeds = self.lock();
            let feed = feeds
                .entry(channel.clone())
                .or_insert_with(|| self.feed(channel));
            feed.members.push(handle.clone());
            feed.empty_since = None;
            if feed.followed.initialized() {
                return Ok(feed.last);
            }
            feed.followed.clone()
        };
        let result = followed
            .get_or_try_init(|| async {
                let _order = self.order.lock().await;
                let last = self.membership()?.follow(channel).await?;
                if let Some(feed) = self.lock().get_mut(channel)
                    && feed.last.seq < last.seq
                {
                    feed.last = last;
                }
                Ok::<_, BackendError>(())
            })
            .await;
        if let Err(error) = result {
            self.leave(channel, handle);
            return Err(error);
        }
        Ok(self
            .lock()
            .get(channel)
            .map_or(Cursor::ZERO, |feed| feed.last))
    }

    fn membership(&self) -> Result<&Arc<dyn Membership>, BackendError> {
        self.membership
            .get()
            .ok_or_else(|| BackendError::Unavailable("starting".to_owned()))
    }

    /// Ends a connection's membership.
    pub(crate) fn leave(&self, channel: &ChannelName, handle: &Arc<Handle>) {
        let mut feeds = self.lock();
        let Some(feed) = feeds.get_mut(channel) else {
            return;
        };
        if let Some(at) = feed
            .members
            .iter()
            .position(|member| Arc::ptr_eq(member, handle))
        {
            feed.members.swap_remove(at);
        }
        if feed.members.is_empty() {
            feed.empty_since = Some(Instant::now());
        }
    }

    /// A hint from the bus.
    pub(crate) fn on_push(self: &Arc<Self>, channel: ChannelName, prev: Cursor, frame: Frame) {
        let push = Arc::new(ChannelPush {
            channel,
            push: Push::traced(prev, frame, Way::Channel, &self.metrics.spans),
        });
        let mut feeds = self.lock();
        let Some(feed) = feeds.get_mut(&push.channel) else {
            return;
        };
        if let Some(buffered) = &mut feed.repairing {
            if buffered.len() < BUFFERED {
                buffered.push(push);
            } else {
                feed.missed = true;
            }
        } else if !feed.followed.initialized() || push.push.prev == feed.last {
            feed.last = push.push.frame.cursor;
            self.fan_out(feed, &push);
        } else if push.push.frame.cursor != feed.last {
            self.metrics.chain_break("channel");
            let channel = push.channel.clone();
            feed.repairing = Some(vec![push]);
            drop(feeds);
            self.repair(channel);
        }
    }

    fn fan_out(&self, feed: &Feed, push: &Arc<ChannelPush>) {
        let _observed = self.metrics.all.fan_out.start_timer();
        self.count(feed, &push.channel);
        let bound = self.hub.outbox_bytes();
        let mut overflows = 0;
        let mut give = |handle: &Arc<Handle>| {
            if handle
                .mailbox
                .channel_hint(push.clone(), bound, feed.policy)
                == Put::Overflow
            {
                overflows += 1;
            }
        };
        if push.channel.is_broadcast() {
            self.hub.each(give);
        } else {
            feed.members.iter().for_each(&mut give);
        }
        self.metrics.overflow(feed.policy, overflows);
    }

    fn tell_gap(&self, feed: &Feed, gap: &ChannelGap) {
        let give = |handle: &Arc<Handle>| handle.mailbox.post(Event::ChannelGap(gap.clone()));
        if gap.channel.is_broadcast() {
            self.hub.each(give);
        } else {
            feed.members.iter().for_each(give);
        }
    }

    /// Reads every followed channel's log after where it stands: hints may have been missed.
    pub(crate) fn repair_all(self: &Arc<Self>) {
        let all: Vec<ChannelName> = self.lock().keys().cloned().collect();
        for channel in all {
            if self.begin_repair(&channel) {
                self.repair(channel);
            }
        }
    }

    /// Compares where the followed channels stand with the ends of their logs: a hint that was lost at
    /// the very end of a log shows by no other.
    pub(crate) async fn audit(self: &Arc<Self>) {
        let followed: Vec<ChannelName> = {
            let feeds = self.lock();
            let followed = feeds.iter().filter(|(_, feed)| feed.followed.initialized());
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
        tokio::time::sleep(AUDIT_PATIENCE).await;
        for (channel, end) in behind {
            if self.is_behind(&channel, end) && self.begin_repair(&channel) {
                self.metrics.all.audit_repairs.inc();
                self.repair(channel);
            }
        }
    }

    fn is_behind(&self, channel: &ChannelName, end: Cursor) -> bool {
        let feeds = self.lock();
        feeds.get(channel).is_some_and(|feed| {
            feed.last.seq < end.seq || (feed.last.seq == end.seq && feed.last != end)
        })
    }

    /// From here on hints wait; false when they do already.
    fn begin_repair(&self, channel: &ChannelName) -> bool {
        let mut feeds = self.lock();
        let idle = feeds
            .get_mut(channel)
            .filter(|feed| feed.repairing.is_none() && feed.followed.initialized());
        idle.is_some_and(|feed| feed.repairing.replace(Vec::new()).is_none())
    }

    fn repair(self: &Arc<Self>, channel: ChannelName) {
        let channels = self.clone();
        self.tasks
            .spawn(async move { channels.read_on(&channel).await });
    }

    /// Reads a channel's log page by page until it meets the hints that wait.
    async fn read_on(&self, channel: &ChannelName) {
        let mut backoff = Duration::from_millis(50);
        loop {
            let Some(after) = self.lock().get(channel).map(|feed| feed.last) else {
                return;
            };
            let Ok(membership) = self.membership() else {
                return;
            };
            let page = match membership.history(channel, after).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%channel, %error, "a channel's log cannot be read yet");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(Duration::from_secs(2));
                    continue;
                }
            };
            let mut feeds = self.lock();
            let Some(feed) = feeds.get_mut(channel) else {
                return;
            };
            if let Some(reason) = page.gap {
                let resume = page.start;
                self.tell_gap(
                    feed,
                    &ChannelGap {
                        channel: channel.clone(),
                        reason,
                        resume,
                    },
                );
            }
            let mut told = page.gap == Some(Gap::Rewound);
            let mut prev = page.start;
            for frame in page.frames {
                let cursor = frame.cursor;
                if frame.is_loss() {
                    if !std::mem::replace(&mut told, true) {
                        let (channel, reason) = (channel.clone(), Gap::Rewound);
                        let resume = cursor;
                        self.tell_gap(
                            feed,
                            &ChannelGap {
                                channel,
                                reason,
                                resume,
                            },
                        );
                    }
                    prev = cursor;
                    continue;
                }
                let push = Push::traced(prev, frame, Way::Log, &self.metrics.spans);
                self.fan_out(
                    feed,
                    &Arc::new(ChannelPush {
                        channel: channel.clone(),
                        push,
                    }),
                );
                prev = cursor;
            }
            feed.last = page.end;
            if page.more || std::mem::take(&mut feed.missed) {
                continue;
            }
            for push in feed.repairing.take().unwrap_or_default() {
                if push.push.frame.cursor.seq > feed.last.seq {
                    feed.last = push.push.frame.cursor;
                    self.fan_out(feed, &push);
                }
            }
            return;
        }
    }

    /// Stops following channels that have had no member for a while.
    pub(crate) async fn sweep(&self) {
        let linger = self.settings.channels.linger;
        let idle: Vec<ChannelName> = {
            let feeds = self.lock();
            feeds
                .iter()
                .filter(|(_, feed)| feed.empty_since.is_some_and(|at| at.elapsed() >= linger))
                .map(|(channel, _)| channel.clone())
                .collect()
        };
        for channel in idle {
            let _order = self.order.lock().await;
            let unused = {
                let mut feeds = self.lock();
                let feed = feeds.get(&channel);
                let unused = feed.is_some_and(|feed| feed.members.is_empty());
                if unused {
                    feeds.remove(&channel);
                }
                unused
            };
            if unused
                && let Ok(membership) = self.membership()
                && let Err(error) = membership.unfollow(&channel).await
            {
                tracing::debug!(%channel, %error, "a channel is followed a little longer");
            }
        }
    }
}
