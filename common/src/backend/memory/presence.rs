//! A user's connections: registering, ending, reaping.

use std::collections::HashSet;

use super::{
    rules::{self, Reader, Record},
    user::{Context, User},
};
use crate::{
    backend::{
        BackendError, BusEvent, Departure, Device, Presence, Registered, Registration,
        receipt::Marks,
    },
    ids::{Cursor, GatewayId, Millis, SessionId},
};

/// A registered connection.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) gateway: GatewayId,
    pub(super) generation: u64,
    pub(super) fence: u64,
    pub(super) since: Millis,
}

impl User {
    /// Registers a connection of a gateway and reads the first page.
    pub(super) fn register(
        &mut self,
        registration: &Registration,
        gateway: &GatewayId,
        generation: u64,
        cx: &Context<'_>,
    ) -> Result<Registered, BackendError> {
        let key = (registration.device.clone(), registration.session.clone());
        let before = self.presence.get(&key);
        let fence = match registration.fence {
            None if before.is_some_and(|entry| rules::opened_later(entry.since, registration)) => {
                return Err(BackendError::Replaced);
            }
            None => rules::next_fence(cx.now, self.highest_fence),
            Some(fence) if before.is_some_and(|entry| entry.fence > fence) => {
                return Err(BackendError::Replaced);
            }
            Some(fence) => fence,
        };
        if before.is_none() && self.presence.len() >= cx.limits.connections as usize {
            return Err(BackendError::TooManyConnections);
        }
        let goes_on = before.is_none_or(|entry| entry.fence == fence);
        if let Some(replaced) = before.filter(|_| !goes_on) {
            let event = BusEvent::Replaced {
                user: self.id.clone(),
                session: registration.session.clone(),
                fence,
            };
            cx.leases.tell(&replaced.gateway, event);
        }
        if !goes_on {
            self.kept.free(&registration.session, cx.now);
        } else if registration.fence.is_some() {
            self.kept.hold_again(&registration.session);
        }
        self.highest_fence = self.highest_fence.max(fence);
        self.presence.insert(
            key,
            Entry {
                gateway: gateway.clone(),
                generation,
                fence,
                since: registration.opened,
            },
        );
        self.touched = cx.now;

        let returns = self.is_known(registration);
        let mut record = self.take_record(registration);
        record.seen = cx.now;
        let page = self.page(&record, registration.since, cx);
        self.records.insert(
            Reader::of(&registration.device, &registration.session),
            record,
        );
        let forgotten = self.forget_idle(cx);
        let was = |channel: &_| self.kept.assigned(&registration.device, channel);
        let assigned = self.assigned.of_device(was, returns);
        Ok(Registered {
            fence,
            page,
            broadcast: record.broadcast,
            subscriptions: self.kept.durable(&registration.device),
            claimable: self.kept.is_claimable(),
            forgotten,
            assigned,
        })
    }

    /// Whether its device was there before; all anonymous ones are one.
    fn is_known(&self, registration: &Registration) -> bool {
        let reader = Reader::of(&registration.device, &registration.session);
        self.records.contains_key(&reader)
            || (reader.is_anonymous() && self.anonymous_record().is_some())
    }

    /// The reader's record, or where one begins. An anonymous connection begins where the user's
    /// other anonymous ones stand, and takes over what the ended ones left.
    fn take_record(&mut self, registration: &Registration) -> Record {
        let reader = Reader::of(&registration.device, &registration.session);
        if let Some(record) = self.records.get(&reader) {
            return *record;
        }
        let record = match self.anonymous_record() {
            Some(shared) if reader.is_anonymous() => {
                let folded = self.records.remove(&Reader::Folded);
                Record {
                    has_acked: folded.is_some_and(|folded| folded.has_acked),
                    passed_over: folded.is_some_and(|folded| folded.passed_over),
                    ..shared
                }
            }
            _ => Record::starting(
                rules::start(self.records.values(), &self.chain),
                registration.broadcast,
            ),
        };
        let marks = self.marks.entry(reader.device());
        marks.or_insert_with(|| Marks {
            begin: Some(record.cursor.seq),
            ..Marks::default()
        });
        record
    }

    /// Ends a registration, if it is still this connection's.
    pub(super) fn unregister(&mut self, departure: &Departure, cx: &Context<'_>) {
        let key = (departure.device.clone(), departure.session.clone());
        if self
            .presence
            .get(&key)
            .is_none_or(|entry| entry.fence != departure.fence)
        {
            return;
        }
        self.presence.remove(&key);
        self.end(&key.0, &key.1, departure.broadcast, cx.now);
        self.kept
            .leave(&departure.session, &departure.restorable, cx.now);
        self.touched = cx.now;
    }

    /// Ends the registrations that nobody else will end; answers how many.
    pub(super) fn reap(&mut self, is_dead: impl Fn(&Entry) -> bool, cx: &Context<'_>) -> u64 {
        let dead: Vec<(Device, SessionId)> = self
            .presence
            .extract_if(|_, entry| is_dead(entry))
            .map(|(key, _)| key)
            .collect();
        let count = dead.len() as u64;
        for (device, session) in dead {
            self.end(&device, &session, None, cx.now);
            self.kept.free(&session, cx.now);
            self.touched = cx.now;
        }
        count
    }

    /// What a reader leaves when its connection has ended.
    fn end(
        &mut self,
        device: &Device,
        session: &SessionId,
        broadcast: Option<Cursor>,
        now: Millis,
    ) {
        let reader = Reader::of(device, session);
        let Some(record) = self.records.get_mut(&reader) else {
            return;
        };
        record.seen = now;
        if let Some(broadcast) = broadcast.filter(|b| b.seq > record.broadcast.seq) {
            record.broadcast = broadcast;
        }
        if reader.is_anonymous() {
            let mut folded = *record;
            self.records.remove(&reader);
            if let Some(earlier) = self.records.get(&Reader::Folded) {
                folded = rules::fold(*earlier, folded);
            }
            self.records.insert(Reader::Folded, folded);
        }
    }

    /// The connections whose gateway's lease holds.
    pub(super) fn present(&self, cx: &Context<'_>) -> Vec<Presence> {
        self.live_entries(cx)
            .map(|((device, session), entry)| Presence {
                device: device.clone(),
                session: session.clone(),
                gateway: entry.gateway.clone(),
                generation: entry.generation,
                since: entry.since,
            })
            .collect()
    }

    /// Whether a connection is registered under this generation.
    pub(super) fn is_registered(
        &self,
        device: &Device,
        session: &SessionId,
        gateway: &GatewayId,
        generation: u64,
    ) -> bool {
        self.presence
            .get(&(device.clone(), session.clone()))
            .is_some_and(|entry| entry.gateway == *gateway && entry.generation == generation)
    }

    /// Distinct devices; each anonymous connection is one.
    pub(super) fn connected_devices(&self, cx: &Context<'_>) -> u32 {
        u32::try_from(self.connected(cx).len()).unwrap_or(u32::MAX)
    }

    /// Who is connected.
    pub(super) fn connected(&self, cx: &Context<'_>) -> HashSet<Reader> {
        self.live_entries(cx)
            .map(|((device, session), _)| Reader::of(device, session))
            .collect()
    }

    fn live_entries(
        &self,
        cx: &Context<'_>,
    ) -> impl Iterator<Item = (&(Device, SessionId), &Entry)> {
        self.presence
            .iter()
            .filter(|(_, entry)| cx.leases.is_live(&entry.gateway, entry.generation, cx.now))
    }

    /// Forgets the devices that are too many, and what they kept; answers how many.
    fn forget_idle(&mut self, cx: &Context<'_>) -> u64 {
        if self.records.len() <= cx.limits.idle_devices() as usize {
            return 0;
        }
        let gone = rules::to_forget(self.standings(cx), cx.limits);
        for reader in &gone {
            self.records.remove(reader);
            if let Reader::Named(device) = reader {
                self.marks.remove(&Some(device.clone()));
                self.kept.forget_device(&Device::Named(device.clone()));
            }
        }
        gone.len() as u64
    }
}
