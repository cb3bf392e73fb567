//! Which channels are wanted, and which subscriber has each of them. Pure; no IO.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::backend::redis::link::LinkError;

/// Told once the channel is subscribed, or why it is not.
pub(super) type Waiter = oneshot::Sender<Result<(), LinkError>>;

/// A channel and the partition it belongs to.
pub(super) type Channel = (u16, Bytes);

#[derive(Default)]
pub(super) struct Wanted {
    channels: HashMap<Bytes, Want>,
    /// To be subscribed by whoever owns the partition.
    pending: BTreeSet<Channel>,
    /// To be unsubscribed likewise.
    leaving: BTreeSet<Channel>,
}

struct Want {
    partition: u16,
    /// The subscriber that has it.
    subscriber: Option<u64>,
    /// It has been live before, so messages may have been missed since.
    was_live: bool,
    waiters: Vec<Waiter>,
}

impl Wanted {
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn add(&mut self, (partition, channel): Channel, waiter: Waiter) {
        let want = self
            .channels
            .entry(channel.clone())
            .or_insert_with(|| Want {
                partition,
                subscriber: None,
                was_live: false,
                waiters: Vec::new(),
            });
        if want.subscriber.is_some() {
            drop(waiter.send(Ok(())));
            return;
        }
        want.waiters.retain(|waiter| !waiter.is_closed());
        want.waiters.push(waiter);
        self.pending.insert((partition, channel));
    }

    pub(super) fn remove(&mut self, channel: &Channel) {
        self.pending.remove(channel);
        if let Some(want) = self.channels.remove(&channel.1)
            && want.subscriber.is_some()
        {
            self.leaving.insert(channel.clone());
        }
    }

    /// Up to `limit` channels of these partitions to unsubscribe.
    pub(super) fn take_leaving(&mut self, owned: &BTreeSet<u16>, limit: usize) -> Vec<Channel> {
        take(&mut self.leaving, owned, limit)
    }

    /// Up to `limit` channels of these partitions to subscribe.
    pub(super) fn take_pending(&mut self, owned: &BTreeSet<u16>, limit: usize) -> Vec<Channel> {
        take(&mut self.pending, owned, limit)
    }

    /// Puts channels back that could not be subscribed yet.
    pub(super) fn put_back(&mut self, channels: impl IntoIterator<Item = Channel>) {
        for channel in channels {
            if self
                .channels
                .get(&channel.1)
                .is_some_and(|want| want.subscriber.is_none())
            {
                self.pending.insert(channel);
            }
        }
    }

    /// `subscriber` has `channel` now. Says whether messages may have been missed before: it was
    /// live once, or nobody waited for this answer any more.
    pub(super) fn confirmed(&mut self, channel: &Channel, subscriber: u64) -> bool {
        let Some(want) = self.channels.get_mut(&channel.1) else {
            self.leaving.insert(channel.clone());
            return false;
        };
        want.subscriber = Some(subscriber);
        let mut heard = false;
        for waiter in want.waiters.drain(..) {
            heard |= waiter.send(Ok(())).is_ok();
        }
        std::mem::replace(&mut want.was_live, true) || !heard
    }

    /// The server refused `channel`; whoever waits for it learns why.
    pub(super) fn refused(&mut self, channel: &Channel, error: &LinkError) {
        let waiters = self
            .channels
            .get_mut(&channel.1)
            .map(|want| std::mem::take(&mut want.waiters));
        for waiter in waiters.into_iter().flatten() {
            drop(waiter.send(Err(error.clone())));
        }
    }

    /// `subscriber` does not have `channel` any more. Says whether it is still wanted.
    pub(super) fn lost(&mut self, channel: &Bytes, subscriber: u64) -> Option<Channel> {
        let want = self.channels.get_mut(channel)?;
        if want.subscriber != Some(subscriber) {
            return None;
        }
        want.subscriber = None;
        Some((want.partition, channel.clone()))
    }

    /// `subscriber` keeps only the channels of `owned`; the others wait for their new owner. Says
    /// whether there were any.
    pub(super) fn keep(&mut self, subscriber: u64, owned: &BTreeSet<u16>) -> bool {
        let before = self.pending.len();
        for (channel, want) in &mut self.channels {
            if want.subscriber == Some(subscriber) && !owned.contains(&want.partition) {
                want.subscriber = None;
                self.pending.insert((want.partition, channel.clone()));
            }
        }
        self.pending.len() > before
    }

    /// `subscriber` is over. Channels without a subscriber, refused ones included, are tried again.
    pub(super) fn ended(&mut self, subscriber: u64) {
        for (channel, want) in &mut self.channels {
            if want.subscriber == Some(subscriber) {
                want.subscriber = None;
            }
            if want.subscriber.is_none() {
                self.pending.insert((want.partition, channel.clone()));
            }
        }
    }
}

fn take(from: &mut BTreeSet<Channel>, owned: &BTreeSet<u16>, limit: usize) -> Vec<Channel> {
    let of = |partition: u16| {
        from.range((partition, Bytes::new())..)
            .take_while(move |(at, _)| *at == partition)
    };
    let taken: Vec<Channel> = owned
        .iter()
        .flat_map(|at| of(*at))
        .take(limit)
        .cloned()
        .collect();
    for channel in &taken {
        from.remove(channel);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(partition: u16, name: &'static str) -> Channel {
        (partition, Bytes::from_static(name.as_bytes()))
    }

    fn add(wanted: &mut Wanted, channel: Channel) -> oneshot::Receiver<Result<(), LinkError>> {
        let (waiter, answer) = oneshot::channel();
        wanted.add(channel, waiter);
        answer
    }

    #[test]
    fn a_first_subscription_misses_nothing_a_second_may() {
        let mut wanted = Wanted::default();
        let owned = BTreeSet::from([1]);
        let (a, b) = (channel(1, "a"), channel(2, "b"));
        let mut answer = add(&mut wanted, a.clone());
        let _other = add(&mut wanted, b);
        assert_eq!(wanted.take_pending(&owned, 9), std::slice::from_ref(&a));
        assert!(wanted.take_pending(&owned, 9).is_empty());
        assert!(!wanted.confirmed(&a, 7));
        assert_eq!(answer.try_recv(), Ok(Ok(())));
        assert_eq!(
            add(&mut wanted, a.clone()).try_recv(),
            Ok(Ok(())),
            "live already"
        );

        wanted.ended(7);
        assert_eq!(wanted.take_pending(&owned, 9), std::slice::from_ref(&a));
        assert!(wanted.confirmed(&a, 8));
    }

    #[test]
    fn a_caller_that_gave_up_learns_by_dirty() {
        let mut wanted = Wanted::default();
        let a = channel(1, "a");
        drop(add(&mut wanted, a.clone()));
        assert!(wanted.confirmed(&a, 1));
    }

    #[test]
    fn a_refused_channel_is_tried_again_by_the_next_subscriber() {
        let mut wanted = Wanted::default();
        let owned = BTreeSet::from([1]);
        let a = channel(1, "a");
        let mut answer = add(&mut wanted, a.clone());
        wanted.take_pending(&owned, 9);
        wanted.refused(&a, &LinkError::Shape("no".into()));
        assert_eq!(answer.try_recv(), Ok(Err(LinkError::Shape("no".into()))));
        assert!(wanted.take_pending(&owned, 9).is_empty());
        wanted.ended(3);
        assert_eq!(wanted.take_pending(&owned, 9), [a]);
    }

    #[test]
    fn channels_change_subscribers_with_their_partition() {
        let mut wanted = Wanted::default();
        let (a, b) = (channel(1, "a"), channel(2, "b"));
        for wants in [&a, &b] {
            let _answer = add(&mut wanted, wants.clone());
        }
        let both = BTreeSet::from([1, 2]);
        for taken in wanted.take_pending(&both, 9) {
            wanted.confirmed(&taken, 1);
        }
        assert!(wanted.keep(1, &BTreeSet::from([1])));
        assert!(!wanted.keep(1, &BTreeSet::from([1])));
        assert_eq!(wanted.take_pending(&both, 9), std::slice::from_ref(&b));
        wanted.put_back([b.clone(), channel(2, "unknown")]);
        assert_eq!(wanted.take_pending(&both, 9), [b]);
        assert_eq!(wanted.lost(&a.1, 1), Some(a.clone()));
        assert_eq!(wanted.lost(&a.1, 1), None);
    }

    #[test]
    fn removal_unsubscribes_what_is_live_or_just_becoming_so() {
        let mut wanted = Wanted::default();
        let owned = BTreeSet::from([1]);
        let (a, b) = (channel(1, "a"), channel(1, "b"));
        let _answers = (add(&mut wanted, a.clone()), add(&mut wanted, b.clone()));
        wanted.remove(&b);
        assert_eq!(wanted.take_pending(&owned, 9), std::slice::from_ref(&a));
        wanted.remove(&a);
        assert!(!wanted.confirmed(&a, 1));
        assert_eq!(wanted.take_leaving(&owned, 9), [a]);
        assert_eq!(wanted.len(), 0);
    }
}
