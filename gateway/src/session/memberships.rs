//! The channels that a connection is on.

use std::time::Duration;

use carillon_common::{
    backend::{Device, Holder, Subscription},
    ids::{ChannelName, Cursor},
    protocol::{Dialect, Ref},
};

use tokio::time::Instant;

use super::feed::{Acked, Feed};

/// One channel of a connection.
#[derive(Debug)]
pub(super) struct Member {
    pub channel: ChannelName,
    pub feed: Feed,
    pub durable: bool,
    /// A service has put the user on it.
    pub assigned: bool,
    /// Where the client asked to be caught up from.
    pub since: Option<Cursor>,
    /// The request that is still to be answered by `subscribed`.
    pub answer: Option<Answer>,
    /// It came back by itself, and nothing on this connection has asked for it.
    pub restored: bool,
    /// The position that the store knows, once it keeps the subscription.
    pub reported: Option<Cursor>,
}

/// A `subscribe` that is not answered yet.
#[derive(Debug)]
pub(super) struct Answer {
    pub reference: Option<Ref>,
}

/// Boxed, because most connections are on none.
#[derive(Debug)]
pub(super) struct Memberships(Option<Box<Joined>>);

#[derive(Debug, Default)]
struct Joined {
    members: Vec<Member>,
    /// When their positions were last reported.
    reported_at: Option<Instant>,
}

impl Memberships {
    pub(super) fn new() -> Self {
        Self(None)
    }

    fn all(&self) -> &[Member] {
        self.0.as_ref().map_or(&[], |joined| &joined.members)
    }

    fn all_mut(&mut self) -> &mut [Member] {
        self.0
            .as_mut()
            .map_or(&mut [], |joined| &mut joined.members)
    }

    /// How many there are that no service has put the user on: they are limited, and a token must allow them.
    pub(super) fn own_count(&self) -> usize {
        self.all().iter().filter(|member| !member.assigned).count()
    }

    pub(super) fn get(&mut self, channel: &ChannelName) -> Option<&mut Member> {
        self.all_mut()
            .iter_mut()
            .find(|member| member.channel == *channel)
    }

    pub(super) fn feed(&mut self, channel: &ChannelName) -> Option<&mut Feed> {
        self.get(channel).map(|member| &mut member.feed)
    }

    pub(super) fn insert(&mut self, member: Member) {
        self.0.get_or_insert_default().members.push(member);
    }

    pub(super) fn remove(&mut self, channel: &ChannelName) -> Option<Member> {
        let members = &mut self.0.as_mut()?.members;
        let at = members
            .iter()
            .position(|member| member.channel == *channel)?;
        let member = members.remove(at);
        if members.is_empty() {
            self.0 = None;
        }
        Some(member)
    }

    /// Where each stands in its channel's log.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&ChannelName, Cursor)> {
        let all = self.all().iter();
        all.map(|member| (&member.channel, member.feed.position()))
    }

    /// Those that a service has put the user on, or the others.
    pub(super) fn names(&self, assigned: bool) -> Vec<ChannelName> {
        let those = self.all().iter();
        let those = those.filter(|member| member.assigned == assigned);
        those.map(|member| member.channel.clone()).collect()
    }

    /// The channel that gives way to another: the last of those that came back by themselves, which
    /// are in the order of their last use.
    pub(super) fn first_to_leave(&self) -> Option<ChannelName> {
        let restored = |member: &&Member| member.restored && !member.assigned;
        let last = self.all().iter().rev().find(restored);
        last.map(|member| member.channel.clone())
    }

    pub(super) fn pinged(&mut self, dialect: Dialect) {
        self.all_mut()
            .iter_mut()
            .for_each(|member| member.feed.pinged(dialect));
    }

    pub(super) fn ponged(&mut self, dialect: Dialect) {
        self.all_mut()
            .iter_mut()
            .for_each(|member| member.feed.ponged(dialect));
    }

    /// Whether the last report of all channels is `interval` ago; if so, counts this as the next report.
    pub(super) fn reported_longer_ago(&mut self, interval: Duration, now: Instant) -> bool {
        let Some(joined) = &mut self.0 else {
            return false;
        };
        let reported_at = *joined.reported_at.get_or_insert(now);
        let due = now.duration_since(reported_at) >= interval;
        if due {
            joined.reported_at = Some(now);
        }
        due
    }

    /// The positions that the store does not know yet, of the subscriptions that it keeps: of all, or only
    /// of those whose client has just confirmed what it had missed.
    pub(super) fn take_moved(&mut self, all: bool) -> Vec<Subscription> {
        let mut moved = Vec::new();
        for member in self.all_mut() {
            let caught_up = member.feed.replay_confirmed();
            let Some(reported) = &mut member.reported else {
                continue;
            };
            let confirmed = member.feed.confirmed();
            if *reported != confirmed && (all || caught_up) {
                *reported = confirmed;
                moved.push(Subscription {
                    channel: member.channel.clone(),
                    cursor: confirmed,
                });
            }
        }
        moved
    }

    /// An ack, if it is of one of these channels.
    pub(super) fn on_ack(&mut self, cursor: Cursor) -> Acked {
        let acks = self
            .all_mut()
            .iter_mut()
            .map(|member| member.feed.on_ack(cursor));
        let mut acks = acks.filter(|acked| *acked != Acked::Foreign);
        acks.next().unwrap_or(Acked::Foreign)
    }

    /// What outlives the connection: where the device is on those that it keeps, and those for the next simple
    /// connection.
    pub(super) fn into_kept(
        self,
        device: &Device,
    ) -> (Vec<(Holder, Subscription)>, Vec<Subscription>) {
        let (mut kept, mut others) = (Vec::new(), Vec::new());
        for member in self.0.map_or_else(Vec::new, |joined| joined.members) {
            let subscription = Subscription {
                cursor: member.feed.confirmed(),
                channel: member.channel,
            };
            match (member.assigned, member.durable) {
                (true, _) => kept.push((Holder::Assigned(device.clone()), subscription)),
                (false, true) => kept.push((Holder::Device(device.clone()), subscription)),
                (false, false) => others.push(subscription),
            }
        }
        (kept, others)
    }
}
