//! Subscriptions that outlive a connection.

use std::collections::{BTreeMap, HashMap};

use crate::{
    backend::{BackendError, Claimed, Device, Holder, Subscription},
    ids::{ChannelName, Cursor, Millis, SessionId},
};

type Channels = BTreeMap<ChannelName, Place>;

/// Where a subscription stands, and when the client last asked for it.
#[derive(Debug, Clone, Copy)]
struct Place {
    cursor: Cursor,
    asked: Millis,
}

/// One user's kept subscriptions.
#[derive(Debug, Default)]
pub(super) struct Kept {
    durable: HashMap<Device, Channels>,
    /// Where devices are on channels that services have put the user on.
    assigned: HashMap<Device, Channels>,
    by_session: HashMap<SessionId, OfSession>,
}

#[derive(Debug, Default)]
struct OfSession {
    channels: Channels,
    /// Since when they wait for the next connection; `None` while the session holds them.
    free_since: Option<Millis>,
}

impl Kept {
    pub(super) fn keep(
        &mut self,
        holder: &Holder,
        subscription: &Subscription,
        asked: Option<Millis>,
        most: u32,
    ) -> Result<(), BackendError> {
        let is_new = !self.holds(holder, &subscription.channel);
        if is_new && self.len() >= most as usize {
            return Err(BackendError::TooManyChannels);
        }
        let channels = match holder {
            Holder::Device(device) => self.durable.entry(device.clone()).or_default(),
            Holder::Assigned(device) => self.assigned.entry(device.clone()).or_default(),
            Holder::Session(session) => {
                &mut self.by_session.entry(session.clone()).or_default().channels
            }
        };
        let Subscription { channel, cursor } = subscription;
        let before = channels.get(channel).map_or(0, |place| place.asked);
        let place = Place {
            cursor: *cursor,
            asked: asked.unwrap_or(before),
        };
        channels.insert(channel.clone(), place);
        Ok(())
    }

    pub(super) fn forget(&mut self, holder: &Holder, channel: &ChannelName) {
        match holder {
            Holder::Device(device) => {
                if let Some(channels) = self.durable.get_mut(device) {
                    channels.remove(channel);
                }
            }
            Holder::Assigned(device) => {
                if let Some(channels) = self.assigned.get_mut(device) {
                    channels.remove(channel);
                }
            }
            Holder::Session(session) => {
                if let Some(of_session) = self.by_session.get_mut(session) {
                    of_session.channels.remove(channel);
                }
            }
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.durable.retain(|_, channels| !channels.is_empty());
        self.assigned.retain(|_, channels| !channels.is_empty());
        self.by_session.retain(|_, kept| !kept.channels.is_empty());
    }

    /// Forgets all to one channel; answers whether there were any.
    pub(super) fn forget_channel(&mut self, channel: &ChannelName) -> bool {
        let before = self.len();
        let devices = self.durable.values_mut();
        let by_session = self.by_session.values_mut().map(|kept| &mut kept.channels);
        devices.chain(by_session).for_each(|channels| {
            channels.remove(channel);
        });
        self.forget_places(channel);
        self.len() < before
    }

    /// Forgets where devices are on a channel that services have put the user on.
    pub(super) fn forget_places(&mut self, channel: &ChannelName) {
        self.assigned.values_mut().for_each(|channels| {
            channels.remove(channel);
        });
        self.tidy();
    }

    fn holds(&self, holder: &Holder, channel: &ChannelName) -> bool {
        let channels = match holder {
            Holder::Device(device) => self.durable.get(device),
            Holder::Assigned(device) => self.assigned.get(device),
            Holder::Session(session) => self.by_session.get(session).map(|kept| &kept.channels),
        };
        channels.is_some_and(|channels| channels.contains_key(channel))
    }

    /// Forgets the device's own.
    pub(super) fn forget_device(&mut self, device: &Device) {
        self.durable.remove(device);
        self.assigned.remove(device);
    }

    /// Where the device is on a channel that services have put the user on.
    pub(super) fn assigned(&self, device: &Device, channel: &ChannelName) -> Option<Cursor> {
        let place = self.assigned.get(device)?.get(channel)?;
        Some(place.cursor)
    }

    /// The device's durable ones.
    pub(super) fn durable(&self, device: &Device) -> Vec<Subscription> {
        self.durable.get(device).map(listed).unwrap_or_default()
    }

    /// The session ended as its gateway says: these wait for the next connection.
    pub(super) fn leave(&mut self, session: &SessionId, restorable: &[Subscription], now: Millis) {
        let held = self.by_session.remove(session).unwrap_or_default().channels;
        // What was not kept before, because there were too many, is not kept now.
        let left = |s: &Subscription| {
            let asked = held.get(&s.channel)?.asked;
            let cursor = s.cursor;
            Some((s.channel.clone(), Place { cursor, asked }))
        };
        let channels: Channels = restorable.iter().filter_map(left).collect();
        if !channels.is_empty() {
            let left = OfSession {
                channels,
                free_since: Some(now),
            };
            self.by_session.insert(session.clone(), left);
        }
    }

    /// The session ended and nobody said how: whatever it holds waits for the next connection.
    pub(super) fn free(&mut self, session: &SessionId, now: Millis) {
        if let Some(kept) = self.by_session.get_mut(session) {
            kept.free_since.get_or_insert(now);
        }
    }

    /// The session goes on after all: what nobody has claimed is its own again.
    pub(super) fn hold_again(&mut self, session: &SessionId) {
        if let Some(kept) = self.by_session.get_mut(session) {
            kept.free_since = None;
        }
    }

    /// Whether sessions, ended or not, keep any.
    pub(super) fn is_claimable(&self) -> bool {
        !self.by_session.is_empty()
    }

    /// Gives `session` what waits.
    pub(super) fn claim(&mut self, session: &SessionId) -> Claimed {
        let waiting: Vec<SessionId> = self
            .by_session
            .iter()
            .filter(|(_, kept)| kept.free_since.is_some())
            .map(|(session, _)| session.clone())
            .collect();
        let mut claimed = Channels::new();
        for ended in waiting {
            for (channel, place) in self
                .by_session
                .remove(&ended)
                .map(|kept| kept.channels)
                .unwrap_or_default()
            {
                // Left by two sessions: catching up from the earlier place misses nothing.
                let both = claimed.entry(channel).or_insert(place);
                if place.cursor.seq < both.cursor.seq {
                    both.cursor = place.cursor;
                }
                both.asked = both.asked.max(place.asked);
            }
        }
        if !claimed.is_empty() {
            let held = self.by_session.entry(session.clone()).or_default();
            held.free_since = None;
            held.channels
                .extend(claimed.iter().map(|(channel, at)| (channel.clone(), *at)));
        }
        Claimed {
            subscriptions: listed(&claimed),
            others_hold: self.by_session.keys().any(|holder| holder != session),
        }
    }

    /// Forgets what has waited since before `since`.
    pub(super) fn prune(&mut self, since: Millis) {
        self.by_session
            .retain(|_, kept| kept.free_since.is_none_or(|free| free >= since));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        let by_session = self.by_session.values().map(|kept| kept.channels.len());
        let devices = self.durable.values().chain(self.assigned.values());
        by_session.chain(devices.map(Channels::len)).sum()
    }
}

/// Those asked for last come first.
fn listed(channels: &Channels) -> Vec<Subscription> {
    let mut places: Vec<_> = channels.iter().collect();
    places.sort_by_key(|(_, place)| std::cmp::Reverse(place.asked));
    let subscription = |(channel, place): (&ChannelName, &Place)| Subscription {
        channel: channel.clone(),
        cursor: place.cursor,
    };
    places.into_iter().map(subscription).collect()
}
