//! How many there are, for whoever looks.

use std::sync::Arc;

use carillon_common::ids::ChannelName;

use super::{Channels, Feed};
use crate::routing::hub::Handle;

impl Channels {
    /// How many channels there are, and how many memberships in them.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let feeds = self.lock();
        let members = feeds.values().map(|feed| feed.members.len());
        (feeds.len(), members.sum())
    }

    /// In how many channels a connection is. Looks at all members of all.
    pub(crate) fn of(&self, handle: &Arc<Handle>) -> usize {
        let feeds = self.lock();
        let members = feeds.values().flat_map(|feed| &feed.members);
        members.filter(|member| Arc::ptr_eq(member, handle)).count()
    }

    /// Counts a notification that goes to all members, among those of the busiest channels.
    pub(super) fn count(&self, feed: &Feed, channel: &ChannelName) {
        let members = match channel.is_broadcast() {
            true => self.hub.len(),
            false => feed.members.len(),
        };
        self.metrics.busiest.channel(channel, members);
    }
}
