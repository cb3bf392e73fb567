//! The channels that services put users on.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryBackend;
use crate::{
    backend::{Assignment, Assignments, BackendError, BusEvent, Subscription},
    ids::{ChannelName, Cursor, UserId},
};

/// One user's, each with the position from which on the user is on it.
#[derive(Debug, Default)]
pub(super) struct Assigned(BTreeMap<ChannelName, Cursor>);

impl Assigned {
    fn assign(
        &mut self,
        channel: &ChannelName,
        end: Cursor,
        most: u32,
    ) -> Result<Assignment, BackendError> {
        if let Some(since) = self.0.get(channel) {
            return Ok(Assignment {
                since: *since,
                is_new: false,
            });
        }
        if self.0.len() >= most as usize {
            return Err(BackendError::TooManyChannels);
        }
        self.0.insert(channel.clone(), end);
        Ok(Assignment {
            since: end,
            is_new: true,
        })
    }

    /// Where a device goes on in each: where it was, else from where the user is on it; one that is not `known`
    /// begins now.
    pub(super) fn of_device(
        &self,
        was: impl Fn(&ChannelName) -> Option<Cursor>,
        known: bool,
    ) -> Vec<Subscription> {
        let all = self.0.iter().map(|(channel, since)| Subscription {
            channel: channel.clone(),
            cursor: was(channel).unwrap_or(if known { *since } else { Cursor::ZERO }),
        });
        all.collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[async_trait]
impl Assignments for MemoryBackend {
    async fn assign(
        &self,
        user: &UserId,
        channel: &ChannelName,
    ) -> Result<Assignment, BackendError> {
        // Before the user is on it: what is published in between is owed as well.
        let end = self
            .store
            .with_channel(channel, |channel, cx| Ok(channel.begun(cx)))?;
        self.store.with_user(user, |user, cx| {
            user.touched = cx.now;
            let assigned = user.assigned.assign(channel, end, cx.limits.assigned)?;
            // A device that ended as the user was taken off may have left where it was.
            if assigned.is_new {
                user.kept.forget_places(channel);
            }
            user.hint(cx, || BusEvent::Assigned {
                user: user.id.clone(),
                subscription: Subscription {
                    channel: channel.clone(),
                    cursor: assigned.since,
                },
            });
            Ok(assigned)
        })
    }

    async fn unassign(&self, user: &UserId, channel: &ChannelName) -> Result<bool, BackendError> {
        Ok(self.store.with_known_user(user, |user, cx| {
            let Some(user) = user else { return false };
            let kept = user.kept.forget_channel(channel);
            let was = user.assigned.0.remove(channel).is_some();
            user.hint(cx, || BusEvent::Unassigned {
                user: user.id.clone(),
                channel: channel.clone(),
            });
            was || kept
        }))
    }

    async fn assigned(&self, user: &UserId) -> Result<Vec<ChannelName>, BackendError> {
        Ok(self.store.with_known_user(user, |user, _| {
            user.map(|user| user.assigned.0.keys().cloned().collect())
                .unwrap_or_default()
        }))
    }
}
