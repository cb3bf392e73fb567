//! The channels that a connection is on.

use carillon_common::{
    backend::Subscription,
    ids::{ChannelName, Cursor},
    protocol::Ref,
};

use super::feed::Feed;

/// One channel of a connection.
#[derive(Debug)]
pub(super) struct Member {
    pub channel: ChannelName,
    pub feed: Feed,
    pub durable: bool,
    /// Where the client asked to be caught up from.
    pub since: Option<Cursor>,
    /// The request that is still to be answered by `subscribed`.
    pub answer: Option<Answer>,
}

/// An answer that is owed.
#[derive(Debug)]
pub(super) struct Answer {
    pub reference: Option<Ref>,
}

/// Boxed, because most connections are on none.
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "eight bytes instead of 24 for the many that have none"
)]
pub(super) struct Channels(Option<Box<Vec<Member>>>);

impl Channels {
    pub(super) fn new() -> Self {
        Self(None)
    }

    fn all(&self) -> &[Member] {
        self.0.as_ref().map_or(&[], |members| members.as_slice())
    }

    fn all_mut(&mut self) -> &mut [Member] {
        self.0
            .as_mut()
            .map_or(&mut [], |members| members.as_mut_slice())
    }

    pub(super) fn len(&self) -> usize {
        self.all().len()
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
        self.0.get_or_insert_default().push(member);
    }

    pub(super) fn remove(&mut self, channel: &ChannelName) -> Option<Member> {
        let members = self.0.as_mut()?;
        let at = members
            .iter()
            .position(|member| member.channel == *channel)?;
        let member = members.swap_remove(at);
        if members.is_empty() {
            self.0 = None;
        }
        Some(member)
    }

    pub(super) fn names(&self) -> Vec<ChannelName> {
        self.all()
            .iter()
            .map(|member| member.channel.clone())
            .collect()
    }

    pub(super) fn pinged(&mut self) {
        self.all_mut()
            .iter_mut()
            .for_each(|member| member.feed.pinged());
    }

    pub(super) fn ponged(&mut self) {
        self.all_mut()
            .iter_mut()
            .for_each(|member| member.feed.ponged());
    }

    /// What is to be kept of them: the durable ones, and those for the next simple connection.
    pub(super) fn into_kept(self) -> (Vec<Subscription>, Vec<Subscription>) {
        let members = self.0.map_or_else(Vec::new, |members| *members);
        let (durable, passing): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.durable);
        let keep = |members: Vec<Member>| {
            members
                .into_iter()
                .map(|member| Subscription {
                    cursor: member.feed.confirmed(),
                    channel: member.channel,
                })
                .collect()
        };
        (keep(durable), keep(passing))
    }
}
