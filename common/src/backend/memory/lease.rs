//! The gateways of this process: their leases, and the way to their ears.

use std::{collections::HashMap, sync::Arc};

use crate::{
    backend::{AboutGateway, BusEvent, BusSink, LiveGateway},
    ids::{GatewayId, Millis},
};

/// Who holds a lease. Its owner renews it by living: only an owner that is gone lets it run out.
#[derive(Default)]
pub(super) struct Leases {
    by_gateway: HashMap<GatewayId, Lease>,
    newest_generation: u64,
    /// Generations that another took the place of, not yet reaped.
    superseded: Vec<(GatewayId, u64)>,
}

struct Lease {
    generation: u64,
    sink: Arc<dyn BusSink>,
    /// Whether the owner still hears.
    owned: bool,
    /// Whether the owner says that it drains.
    draining: bool,
    /// Whether the owner lets clients in.
    accepting: bool,
    /// What the owner told of itself.
    about: Option<AboutGateway>,
    /// When it runs out; `None` while it is renewed.
    ends: Option<Millis>,
    /// Whether it ran out and that was noticed.
    reaped: bool,
}

impl Lease {
    fn holds(&self, now: Millis) -> bool {
        self.ends.is_none_or(|ends| ends > now)
    }
}

impl Leases {
    /// A lease of a new generation, in place of the gateway's older one.
    pub(super) fn grant(
        &mut self,
        gateway: &GatewayId,
        sink: Arc<dyn BusSink>,
        now: Millis,
    ) -> u64 {
        let generation = u64::try_from(now)
            .unwrap_or_default()
            .max(self.newest_generation + 1);
        self.newest_generation = generation;
        let lease = Lease {
            generation,
            sink,
            owned: true,
            draining: false,
            accepting: true,
            about: None,
            ends: None,
            reaped: false,
        };
        if let Some(older) = self.by_gateway.insert(gateway.clone(), lease) {
            self.superseded.push((gateway.clone(), older.generation));
        }
        generation
    }

    /// The owner is gone: the lease runs out at `ends`, and nobody hears any more. False when this
    /// was not the gateway's newest lease.
    pub(super) fn abandon(&mut self, gateway: &GatewayId, generation: u64, ends: Millis) -> bool {
        let lease = self
            .by_gateway
            .get_mut(gateway)
            .filter(|lease| lease.generation == generation);
        lease.is_some_and(|lease| {
            lease.owned = false;
            lease.ends = Some(ends);
            true
        })
    }

    /// The owner of this generation says that it drains.
    pub(super) fn show_draining(&mut self, gateway: &GatewayId, generation: u64, accepting: bool) {
        if let Some(lease) = self.by_gateway.get_mut(gateway)
            && lease.generation == generation
        {
            lease.draining = true;
            lease.accepting = accepting;
        }
    }

    /// The owner of this generation tells of itself.
    pub(super) fn show(&mut self, gateway: &GatewayId, generation: u64, about: AboutGateway) {
        if let Some(lease) = self.by_gateway.get_mut(gateway)
            && lease.generation == generation
        {
            lease.about = Some(about);
        }
    }

    /// The lease is over at once, though its owner lives.
    pub(super) fn lose(&mut self, gateway: &GatewayId, now: Millis) {
        if let Some(lease) = self.by_gateway.get_mut(gateway) {
            lease.ends = Some(now);
        }
    }

    /// Ends the lease of a dead gateway, if it is not newer than `until`. Whether it was there.
    pub(super) fn end(&mut self, gateway: &GatewayId, until: u64, now: Millis) -> bool {
        let lease = self
            .by_gateway
            .get_mut(gateway)
            .filter(|lease| lease.generation <= until && !lease.reaped);
        lease.is_some_and(|lease| {
            lease.ends = Some(now);
            true
        })
    }

    /// The generations that are over and were not yet taken by this; abandoned ones are forgotten.
    pub(super) fn take_ended(&mut self, now: Millis) -> Vec<(GatewayId, u64)> {
        let mut ended = std::mem::take(&mut self.superseded);
        for (gateway, lease) in &mut self.by_gateway {
            if !lease.holds(now) && !lease.reaped {
                lease.reaped = true;
                ended.push((gateway.clone(), lease.generation));
            }
        }
        self.by_gateway
            .retain(|_, lease| lease.owned || !lease.reaped);
        ended
    }

    /// Whether the lease of this generation was this gateway's newest and is over.
    pub(super) fn is_lost(&self, gateway: &GatewayId, generation: u64, now: Millis) -> bool {
        self.by_gateway
            .get(gateway)
            .is_some_and(|lease| lease.generation == generation && !lease.holds(now))
    }

    /// Whether the gateway has a lease that somebody renews, or will replace when it is lost.
    pub(super) fn is_member(&self, gateway: &GatewayId) -> bool {
        self.by_gateway
            .get(gateway)
            .is_some_and(|lease| lease.owned)
    }

    /// Whether an entry of this generation vouches for a connection.
    pub(super) fn is_live(&self, gateway: &GatewayId, generation: u64, now: Millis) -> bool {
        self.by_gateway
            .get(gateway)
            .is_some_and(|lease| lease.generation == generation && lease.holds(now))
    }

    /// Whose lease holds, by name.
    pub(super) fn live(&self, now: Millis) -> Vec<LiveGateway> {
        let mut live: Vec<_> = self
            .by_gateway
            .iter()
            .filter(|(_, lease)| lease.holds(now))
            .map(|(gateway, lease)| LiveGateway {
                name: gateway.clone(),
                generation: lease.generation,
                users: 0,
                draining: lease.draining,
                accepting: lease.accepting,
                about: lease.about.clone(),
            })
            .collect();
        live.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        live
    }

    /// Whether a lease has run out and what was registered under it is still there.
    pub(super) fn any_unreaped(&self, now: Millis) -> bool {
        let ended = |lease: &Lease| !lease.holds(now) && !lease.reaped;
        !self.superseded.is_empty() || self.by_gateway.values().any(ended)
    }

    /// Tells one gateway, if it hears.
    pub(super) fn tell(&self, gateway: &GatewayId, event: BusEvent) {
        if let Some(lease) = self.by_gateway.get(gateway).filter(|lease| lease.owned) {
            lease.sink.on_bus(event);
        }
    }

    /// Tells every gateway.
    pub(super) fn tell_all(&self, event: &BusEvent) {
        for lease in self.by_gateway.values().filter(|lease| lease.owned) {
            lease.sink.on_bus(event.clone());
        }
    }
}
