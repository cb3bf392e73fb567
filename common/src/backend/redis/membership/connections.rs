//! The connections of a gateway and their inboxes.

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};

use super::RedisMembership;
use crate::{
    backend::{
        Ack, AuditAnswer, AuditQuestion, BackendError, Connections, Departure, Device,
        OPENED_TOGETHER, PAGE_BYTES, Page, Registered, Registration,
        redis::{
            calls::{self, Connect, Disconnect, ReadInbox, number, word},
            keys::{device_record, presence_field},
            lease,
            reply::{self, Reply},
        },
    },
    ids::{Cursor, UserId},
};

#[async_trait]
impl Connections for RedisMembership {
    async fn register(&self, registration: &Registration) -> Result<Registered, BackendError> {
        let (shared, limits) = (&self.lease.shared, &self.lease.shared.options.limits);
        let Registration {
            user,
            device,
            session,
            ..
        } = registration;
        let keys = shared.keys.user(user);
        let generation = self.lease.generation();
        let sessions = self.lease.sessions(keys.partition, generation);
        let connect = Connect {
            presence: &keys.presence,
            online: &keys.online,
            user: &keys.user,
            inbox: &keys.inbox,
            left: &keys.left,
            sessions: &sessions,
            subs: &keys.subs,
            marks: &keys.marks,
            assigned: &keys.assigned,
            user_name: word(user.as_str()),
            field: presence_field(device, session).into(),
            device: device_record(device, session).into(),
            session: word(session.as_str()),
            gateway: word(self.lease.gateway.as_str()),
            generation: number(generation),
            fence: registration.fence.map(number).unwrap_or_default(),
            since: registration.since.map(number).unwrap_or_default(),
            broadcast: number(registration.broadcast),
            limit: number(limits.page),
            life_s: number(shared.life_s()),
            gateway_channel: shared.keys.gateway_channel_prefix(keys.partition).into(),
            bytes: number(PAGE_BYTES),
            opened: number(registration.opened),
            together_ms: number(OPENED_TOGETHER.as_millis()),
            most_connections: number(limits.connections),
            most_devices: number(limits.idle_devices()),
        };
        let value = shared.read(keys.partition, connect).await?;
        let mut reply = Reply::new(value)?;
        match reply.text()?.as_str() {
            "replaced" => return Err(BackendError::Replaced),
            "too_many" => return Err(BackendError::TooManyConnections),
            _ => {}
        }
        Ok(Registered {
            fence: reply.parse()?,
            broadcast: reply.parse()?,
            page: reply.page()?,
            subscriptions: reply.subscriptions()?,
            claimable: reply.flag()?,
            forgotten: reply.parse()?,
            assigned: reply.assigned()?,
        })
    }

    async fn unregister(&self, departure: &Departure) -> Result<(), BackendError> {
        let shared = &self.lease.shared;
        let keys = shared.keys.user(&departure.user);
        let generation = self.lease.generation();
        let sessions = self.lease.sessions(keys.partition, generation);
        let restorable = departure.restorable.iter();
        let kept = restorable.flat_map(|kept| [word(kept.channel.as_str()), number(kept.cursor)]);
        let disconnect = Disconnect {
            presence: &keys.presence,
            online: &keys.online,
            user: &keys.user,
            sessions: &sessions,
            subs: &keys.subs,
            user_name: word(departure.user.as_str()),
            field: presence_field(&departure.device, &departure.session).into(),
            fence: number(departure.fence),
            broadcast: departure.broadcast.map(number).unwrap_or_default(),
            clean: number(u8::from(departure.restorable.is_empty())),
            place: self.lease.place(generation).into(),
            kept: kept.collect(),
        };
        shared.call(keys.partition, disconnect).await?;
        Ok(())
    }

    async fn read(
        &self,
        user: &UserId,
        device: &Device,
        after: Cursor,
    ) -> Result<Page, BackendError> {
        let shared = &self.lease.shared;
        let keys = shared.keys.user(user);
        let record = match device {
            Device::Named(name) => format!("={name}"),
            // The anonymous connections read by the least of their records.
            Device::Anonymous => "~".to_owned(),
        };
        let read = ReadInbox {
            user: &keys.user,
            inbox: &keys.inbox,
            device: record.into(),
            after: number(after),
            limit: number(shared.options.limits.page),
            bytes: number(PAGE_BYTES),
            life_s: number(shared.life_s()),
        };
        let value = shared.read(keys.partition, read).await?;
        reply::page(value)
    }

    async fn ack(&self, ack: &Ack) -> Result<(), BackendError> {
        let shared = &self.lease.shared;
        let limits = &shared.options.limits;
        let keys = shared.keys.user(&ack.user);
        let ack = calls::Ack {
            user: &keys.user,
            inbox: &keys.inbox,
            left: &keys.left,
            presence: &keys.presence,
            buried: &keys.buried,
            marks: &keys.marks,
            device: device_record(&ack.device, &ack.session).into(),
            cursor: number(ack.cursor),
            broadcast: ack.broadcast.map(number).unwrap_or_default(),
            keep: number(limits.inbox_keep),
            most_devices: number(limits.devices),
            device_ttl_s: number(limits.device_ttl.as_secs()),
            life_s: number(shared.life_s()),
            undelivered: ack.expired.iter().map(number).collect(),
        };
        shared.read(keys.partition, ack).await?;
        Ok(())
    }

    async fn audit(&self, questions: &[AuditQuestion]) -> Result<Vec<AuditAnswer>, BackendError> {
        let shared = &self.lease.shared;
        let place = self.lease.place(self.lease.generation());
        let answers = questions.iter().map(|question| {
            let keys = shared.keys.user(&question.user);
            let field = presence_field(&question.device, &question.session);
            let place = &place;
            async move {
                let known = shared.histories.known(keys.partition);
                let mut pipeline = redis::pipe();
                pipeline.cmd("HGET").arg(&keys.user).arg("l");
                pipeline.cmd("HGET").arg(&keys.presence).arg(field);
                let history = shared.keys.history(keys.partition);
                pipeline.cmd("HMGET").arg(history).arg("i").arg("n");
                let (last, entry, history): (Option<String>, Option<String>, _) =
                    shared.link.pipeline(keys.partition, &pipeline).await?;
                shared.believe(keys.partition, known, history).await?;
                Ok::<_, BackendError>(AuditAnswer {
                    last: last.and_then(|last| last.parse().ok()).unwrap_or_default(),
                    registered: entry.is_some_and(|entry| entry.starts_with(place.as_str())),
                })
            }
        });
        join_all(answers).await.into_iter().collect()
    }

    async fn registered(&self) -> Result<Vec<UserId>, BackendError> {
        let (shared, generation) = (&self.lease.shared, self.lease.generation());
        let sets = (0..shared.keys.partitions()).map(|partition| {
            let sessions = self.lease.sessions(partition, generation);
            async move {
                let mut members = redis::cmd("SMEMBERS");
                members.arg(sessions);
                shared.link.call::<Vec<String>>(partition, &members).await
            }
        });
        let users = try_join_all(sets).await?.into_iter().flatten();
        Ok(users.filter_map(|user| UserId::new(&user).ok()).collect())
    }

    async fn release(&self, user: &UserId, held: &[u64]) -> Result<u64, BackendError> {
        let (shared, gateway) = (&self.lease.shared, self.lease.gateway.as_str());
        lease::reap_user(shared, user, gateway, self.lease.generation(), held).await
    }
}
