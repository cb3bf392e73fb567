//! How many channels and members there are, for metrics and the admin port.

use std::sync::Arc;

use carillon_common::ids::ChannelName;

use super::{Channels, Handle, Log};

impl Channels {
    /// How many channels there are, and how many memberships in them.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let logs = self.logs.lock();
        let members = logs.values().map(|log| log.members.len());
        (logs.len(), members.sum())
    }

    /// In how many channels a connection is. Looks at all members of all.
    pub(crate) fn of(&self, handle: &Arc<Handle>) -> usize {
        let logs = self.logs.lock();
        let members = logs.values().flat_map(|log| &log.members);
        members.filter(|member| Arc::ptr_eq(member, handle)).count()
    }

    /// Counts a notification that goes to all members, among those of the busiest channels.
    pub(super) fn count(&self, log: &Log, channel: &ChannelName) {
        let members = match channel.is_broadcast() {
            true => self.hub.len(),
            false => log.members.len(),
        };
        self.metrics.busiest.channel(channel, members);
    }
}
