//! The channels that this gateway follows for its members.
//!
//! The gateway follows a channel from its first member until a while after its last. It keeps the
//! log's chain once for all members: what breaks it is answered by reading the log.

mod counts;
mod repair;
mod roll;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use carillon_common::{
    backend::{BackendError, Membership},
    ids::{ChannelName, Cursor},
    notification::Frame,
    settings::{OverflowPolicy, Settings},
};
use parking_lot::Mutex;
use tokio::{sync::OnceCell, time::Instant};
use tokio_util::task::TaskTracker;

use super::{handle::Handle, hub::Hub, mailbox::Put};
use crate::{
    metrics::Counters,
    push::{ChannelPush, Push, Way},
};

/// Hints that wait while a channel's log is read; more are dropped, and it is read once more.
const BUFFERED: usize = 1_024;

/// The channels of a gateway.
pub(crate) struct Channels {
    hub: Arc<Hub>,
    logs: Mutex<HashMap<ChannelName, Log>>,
    /// One follow or unfollow at a time, so that they cannot overtake each other.
    order: tokio::sync::Mutex<()>,
    membership: OnceLock<Arc<dyn Membership>>,
    settings: Arc<Settings>,
    metrics: Counters,
    tasks: TaskTracker,
}

/// A channel's log, as it is followed here.
struct Log {
    /// Where the members stand.
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
        metrics: Counters,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            hub,
            logs: Mutex::default(),
            order: tokio::sync::Mutex::default(),
            membership: OnceLock::new(),
            settings,
            metrics,
            tasks,
        }
    }

    /// Takes the membership to follow channels through, and follows the broadcasts.
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
        let mut logs = self.logs.lock();
        let log = logs
            .entry(broadcast.clone())
            .or_insert_with(|| self.unfollowed(&broadcast));
        if log.last.seq <= last.seq {
            log.last = last;
        }
        log.empty_since = None;
        drop(log.followed.set(()));
        Ok(())
    }

    fn unfollowed(&self, channel: &ChannelName) -> Log {
        let namespace = self.settings.namespace(channel.as_str());
        let policy = namespace.map_or(self.settings.channels.policy, |it| it.policy);
        Log {
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
        self.position(&ChannelName::broadcast())
    }

    fn position(&self, channel: &ChannelName) -> Cursor {
        let logs = self.logs.lock();
        logs.get(channel).map_or(Cursor::ZERO, |log| log.last)
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
            let mut logs = self.logs.lock();
            let log = logs
                .entry(channel.clone())
                .or_insert_with(|| self.unfollowed(channel));
            // Who leaves and joins again at once may come here before the first time was answered.
            if !log.members.iter().any(|it| Arc::ptr_eq(it, handle)) {
                log.members.push(handle.clone());
            }
            log.empty_since = None;
            if log.followed.initialized() {
                return Ok(log.last);
            }
            log.followed.clone()
        };
        let result = followed
            .get_or_try_init(|| async {
                let _order = self.order.lock().await;
                let last = self.membership()?.follow(channel).await?;
                if let Some(log) = self.logs.lock().get_mut(channel)
                    && log.last.seq < last.seq
                {
                    log.last = last;
                }
                Ok::<_, BackendError>(())
            })
            .await;
        if let Err(error) = result {
            self.leave(channel, handle);
            return Err(error);
        }
        Ok(self.position(channel))
    }

    fn membership(&self) -> Result<&Arc<dyn Membership>, BackendError> {
        self.membership
            .get()
            .ok_or_else(|| BackendError::Unavailable("starting".to_owned()))
    }

    /// Ends a connection's membership.
    pub(crate) fn leave(&self, channel: &ChannelName, handle: &Arc<Handle>) {
        let mut logs = self.logs.lock();
        let Some(log) = logs.get_mut(channel) else {
            return;
        };
        let is_it = |member: &Arc<Handle>| Arc::ptr_eq(member, handle);
        if let Some(at) = log.members.iter().position(is_it) {
            log.members.swap_remove(at);
        }
        if log.members.is_empty() {
            log.empty_since = Some(Instant::now());
        }
    }

    /// A hint from the bus.
    pub(crate) fn on_push(self: &Arc<Self>, channel: ChannelName, prev: Cursor, frame: Frame) {
        let push = Arc::new(ChannelPush {
            channel,
            push: Push::traced(prev, frame, Way::Channel, &self.metrics.spans),
        });
        let mut logs = self.logs.lock();
        let Some(log) = logs.get_mut(&push.channel) else {
            return;
        };
        if let Some(buffered) = &mut log.repairing {
            if buffered.len() < BUFFERED {
                buffered.push(push);
            } else {
                log.missed = true;
            }
        } else if !log.followed.initialized() || push.push.prev == log.last {
            log.last = push.push.frame.cursor;
            self.fan_out(log, &push);
        } else if push.push.frame.cursor != log.last {
            self.metrics.chain_break("channel");
            let channel = push.channel.clone();
            log.repairing = Some(vec![push]);
            drop(logs);
            self.repair(channel);
        }
    }

    /// Gives a notification to all members.
    fn fan_out(&self, log: &Log, push: &Arc<ChannelPush>) {
        let _observed = self.metrics.all.fan_out.start_timer();
        self.count(log, &push.channel);
        let bound = self.hub.outbox_bytes();
        let mut overflows = 0;
        let mut give = |handle: &Arc<Handle>| {
            let put = handle.mailbox.channel_hint(push.clone(), bound, log.policy);
            overflows += u64::from(put == Put::Overflow);
        };
        if push.channel.is_broadcast() {
            self.hub.each(give);
        } else {
            log.members.iter().for_each(&mut give);
        }
        self.metrics.overflow(log.policy, overflows);
    }

    /// Stops following channels that have had no member for a while.
    pub(crate) async fn sweep(&self) {
        let linger = self.settings.channels.linger;
        let idle: Vec<ChannelName> = {
            let logs = self.logs.lock();
            logs.iter()
                .filter(|(_, log)| log.empty_since.is_some_and(|at| at.elapsed() >= linger))
                .map(|(channel, _)| channel.clone())
                .collect()
        };
        for channel in idle {
            let _order = self.order.lock().await;
            let unused = {
                let mut logs = self.logs.lock();
                let unused = logs.get(&channel).is_some_and(|log| log.members.is_empty());
                if unused {
                    logs.remove(&channel);
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
