//! The store as a gateway uses it: its lease, its connections, its ear on the bus.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use redis::Value;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bus::{Bus, BusMessage, BusSettings, DirtyReason},
    calls::{
        self, Claim, Connect, Disconnect, Follow, Keep, LeaseDrop, ReadInbox, ReadLog, number, word,
    },
    keys::{Keys, device_record, kept_field, presence_field, use_field},
    lease, lease_tasks,
    reply::{self, Reply},
    store::Core,
    wire,
};
use crate::{
    backend::{
        Ack, AuditAnswer, AuditQuestion, BackendError, BusEvent, BusSink, Claimed, Departure,
        Device, Holder, LEASE_LOST, Membership, OPENED_TOGETHER, PAGE_BYTES, Page, Registered,
        Registration, Subscription,
    },
    ids::{ChannelName, Cursor, GatewayId, SessionId, UserId},
};

/// Published to a gateway after a word was left for it.
pub(super) const CONTROL_HINT: &str = "X1|0|0|";

/// A gateway's place in the deployment.
pub struct RedisMembership {
    pub(super) core: Arc<Core>,
    pub(super) gateway: GatewayId,
    generation: AtomicU64,
    pub(super) sink: Arc<dyn BusSink>,
    pub(super) bus: Bus,
    pub(super) control: Arc<Notify>,
    stop: CancellationToken,
    tasks: TaskTracker,
    left: AtomicBool,
}

impl RedisMembership {
    pub(super) async fn join(
        core: Arc<Core>,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<Self>, BackendError> {
        let control = Arc::new(Notify::new());
        let bus = listen(&core, sink.clone(), control.clone());
        let generation = lease_tasks::take_lease(&core, &gateway).await?;
        let after = lease_tasks::last_word(&core, &gateway).await?;
        let hints = (0..core.keys.partitions()).map(|partition| {
            bus.subscribe(partition, core.keys.gateway_channel(partition, &gateway))
        });
        try_join_all(hints).await?;
        let membership = Arc::new(Self {
            core,
            gateway,
            generation: AtomicU64::new(generation),
            sink,
            bus,
            control,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            left: AtomicBool::new(false),
        });
        membership.follow(&ChannelName::broadcast()).await?;
        membership.reap_own_past().await?;
        membership.start(lease_tasks::renew);
        membership.start(lease_tasks::resume_after_loss);
        membership.start(lease_tasks::reap_others);
        membership.start(move |membership| lease_tasks::heed(membership, after));
        Ok(membership)
    }

    /// Starts a task that ends with the membership.
    fn start<F>(self: &Arc<Self>, task: impl FnOnce(Weak<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let task = task(Arc::downgrade(self));
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    async fn reap_own_past(&self) -> Result<(), BackendError> {
        let mine = self.generation();
        let (live, ended) = lease::read_leases(&self.core).await?;
        for (gateway, generation) in live.into_iter().chain(ended) {
            if gateway == self.gateway.as_str() && generation < mine {
                lease::reap(&self.core, &gateway, generation).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn new_generation(&self) -> Result<(), BackendError> {
        let generation = lease_tasks::take_lease(&self.core, &self.gateway).await?;
        self.generation.store(generation, Ordering::Release);
        tracing::warn!(gateway = %self.gateway, generation, "the lease had ended; took a new one");
        self.sink.on_bus(BusEvent::Dirty { reason: LEASE_LOST });
        Ok(())
    }

    /// Where a channel's log stands; with `begins`, one that never had an entry begins here.
    async fn log_end(&self, channel: &ChannelName, begins: bool) -> Result<Cursor, BackendError> {
        let core = &self.core;
        let partition = core.keys.partition(channel.as_str());
        let follow = Follow {
            log: &core.keys.log(channel),
            ending: &core.keys.log_end(channel),
            life_s: number(core.life_s()),
            begins: number(u8::from(begins)),
        };
        let value = core.read(partition, follow).await?;
        Reply::new(Value::Array(vec![value]))?.parse()
    }
}

impl Drop for RedisMembership {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Connects the bus to the sink.
fn listen(core: &Arc<Core>, sink: Arc<dyn BusSink>, control: Arc<Notify>) -> Bus {
    let (probe_interval, probe_deadline) = core.options.probe;
    let settings = BusSettings {
        prefix: core.options.prefix.clone(),
        probe_interval,
        probe_deadline,
        ..BusSettings::default()
    };
    let on_message = move |message: BusMessage| match message {
        BusMessage::Message { payload, .. } if payload.starts_with(b"X1|") => control.notify_one(),
        BusMessage::Message { payload, .. } => match wire::hint(&payload) {
            Some(event) => sink.on_bus(event),
            // Of a later version, or a foreign hand's: the inbox is the truth.
            None => tracing::warn!("a hint that cannot be read"),
        },
        BusMessage::Dirty {
            primary, reason, ..
        } => {
            tracing::warn!(%primary, ?reason, "the bus was interrupted");
            sink.on_bus(BusEvent::Dirty {
                reason: dirty_reason(reason),
            });
        }
    };
    Bus::start(core.link.clone(), settings, Arc::new(on_message))
}

fn dirty_reason(reason: DirtyReason) -> &'static str {
    match reason {
        DirtyReason::Disconnected => "bus_disconnected",
        DirtyReason::PingFailed => "bus_ping_failed",
        DirtyReason::ProbeLost => "bus_probe_lost",
        DirtyReason::Unsubscribed => "bus_unsubscribed",
        DirtyReason::Moved => "bus_moved",
    }
}

#[async_trait]
impl Membership for RedisMembership {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    async fn register(&self, registration: &Registration) -> Result<Registered, BackendError> {
        let (core, limits) = (&self.core, &self.core.options.limits);
        let Registration {
            user,
            device,
            session,
            ..
        } = registration;
        let keys = core.keys.user(user);
        let generation = self.generation();
        let sessions = core
            .keys
            .sessions(keys.partition, self.gateway.as_str(), generation);
        let connect = Connect {
            presence: &keys.presence,
            online: &keys.online,
            user: &keys.user,
            inbox: &keys.inbox,
            left: &keys.left,
            sessions: &sessions,
            subs: &keys.subs,
            user_name: word(user.as_str()),
            field: presence_field(device, session).into(),
            device: device_record(device, session).into(),
            session: word(session.as_str()),
            gateway: word(self.gateway.as_str()),
            generation: number(generation),
            fence: registration.fence.map(number).unwrap_or_default(),
            since: registration.since.map(number).unwrap_or_default(),
            broadcast: number(registration.broadcast),
            limit: number(limits.page),
            life_s: number(core.life_s()),
            gateway_channel: core.keys.gateway_channel_prefix(keys.partition).into(),
            bytes: number(PAGE_BYTES),
            opened: number(registration.opened),
            together_ms: number(OPENED_TOGETHER.as_millis()),
            most_connections: number(limits.connections),
            most_devices: number(limits.idle_devices()),
        };
        let value = core.read(keys.partition, connect).await?;
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
        })
    }

    async fn unregister(&self, departure: &Departure) -> Result<(), BackendError> {
        let core = &self.core;
        let keys = core.keys.user(&departure.user);
        let generation = self.generation();
        let sessions = core
            .keys
            .sessions(keys.partition, self.gateway.as_str(), generation);
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
            place: format!("{}|{generation}|", self.gateway).into(),
            kept: kept.collect(),
        };
        core.call(keys.partition, disconnect).await?;
        Ok(())
    }

    async fn read(
        &self,
        user: &UserId,
        device: &Device,
        after: Cursor,
    ) -> Result<Page, BackendError> {
        let core = &self.core;
        let keys = core.keys.user(user);
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
            limit: number(core.options.limits.page),
            bytes: number(PAGE_BYTES),
            life_s: number(core.life_s()),
        };
        let value = core.read(keys.partition, read).await?;
        reply::page(value)
    }

    async fn ack(&self, ack: &Ack) -> Result<(), BackendError> {
        let core = &self.core;
        let limits = &core.options.limits;
        let keys = core.keys.user(&ack.user);
        let ack = calls::Ack {
            user: &keys.user,
            inbox: &keys.inbox,
            left: &keys.left,
            presence: &keys.presence,
            buried: &keys.buried,
            device: device_record(&ack.device, &ack.session).into(),
            cursor: number(ack.cursor),
            broadcast: ack.broadcast.map(number).unwrap_or_default(),
            keep: number(limits.inbox_keep),
            most_devices: number(limits.devices),
            device_ttl_s: number(limits.device_ttl.as_secs()),
            life_s: number(core.life_s()),
            undelivered: ack.expired.iter().map(number).collect(),
        };
        core.read(keys.partition, ack).await?;
        Ok(())
    }

    async fn follow(&self, channel: &ChannelName) -> Result<Cursor, BackendError> {
        let keys = &self.core.keys;
        self.bus
            .subscribe(
                keys.partition(channel.as_str()),
                keys.channel_channel(channel),
            )
            .await?;
        self.log_end(channel, true).await
    }

    async fn unfollow(&self, channel: &ChannelName) -> Result<(), BackendError> {
        let keys = &self.core.keys;
        self.bus.unsubscribe(
            keys.partition(channel.as_str()),
            keys.channel_channel(channel),
        );
        Ok(())
    }

    async fn log_ends(&self, channels: &[ChannelName]) -> Result<Vec<Cursor>, BackendError> {
        try_join_all(channels.iter().map(|channel| self.log_end(channel, false))).await
    }

    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError> {
        let core = &self.core;
        let partition = core.keys.partition(channel.as_str());
        let read = ReadLog {
            log: &core.keys.log(channel),
            ending: &core.keys.log_end(channel),
            after: number(after),
            limit: number(core.options.limits.page),
            bytes: number(PAGE_BYTES),
            life_s: number(core.life_s()),
        };
        let value = core.read(partition, read).await?;
        reply::page(value)
    }

    async fn keep_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        subscription: &Subscription,
        asked: bool,
    ) -> Result<(), BackendError> {
        let Subscription { channel, cursor } = subscription;
        let (core, limits) = (&self.core, &self.core.options.limits);
        let keys = core.keys.user(user);
        let value = match holder {
            Holder::Device(_) => number(cursor),
            Holder::Session(_) => format!("{cursor}|0").into(),
        };
        let keep = Keep {
            subs: &keys.subs,
            field: kept_field(holder, channel).into(),
            value,
            channel: word(channel.as_str()),
            asked: match asked {
                true => number(core.clock.now()),
                false => Bytes::new(),
            },
            most: number(limits.kept),
            restore_ms: number(limits.restore.as_millis()),
            life_s: number(core.life_s()),
        };
        match core.call(keys.partition, keep).await? {
            Value::Int(1) => Ok(()),
            _ => Err(BackendError::TooManyChannels),
        }
    }

    async fn drop_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
    ) -> Result<(), BackendError> {
        let keys = self.core.keys.user(user);
        let field = kept_field(holder, channel);
        let mut delete = redis::cmd("HDEL");
        delete.arg(&keys.subs).arg(field).arg(use_field(channel));
        self.core
            .link
            .call::<Value>(keys.partition, &delete)
            .await?;
        Ok(())
    }

    async fn claim_subscriptions(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Claimed, BackendError> {
        let core = &self.core;
        let keys = core.keys.user(user);
        let claim = Claim {
            subs: &keys.subs,
            session: word(session.as_str()),
            restore_ms: number(core.options.limits.restore.as_millis()),
            life_s: number(core.life_s()),
        };
        let value = core.read(keys.partition, claim).await?;
        let mut reply = Reply::new(value)?;
        let others_hold = reply.flag()?;
        Ok(Claimed {
            others_hold,
            subscriptions: reply.subscriptions()?,
        })
    }

    async fn audit(&self, questions: &[AuditQuestion]) -> Result<Vec<AuditAnswer>, BackendError> {
        let core = &self.core;
        let generation = self.generation();
        let place = format!("{}|{generation}|", self.gateway);
        let answers = questions.iter().map(|question| {
            let keys = core.keys.user(&question.user);
            let field = presence_field(&question.device, &question.session);
            let place = &place;
            async move {
                let known = core.histories.known(keys.partition);
                let mut pipeline = redis::pipe();
                pipeline.cmd("HGET").arg(&keys.user).arg("l");
                pipeline.cmd("HGET").arg(&keys.presence).arg(field);
                let history = core.keys.history(keys.partition);
                pipeline.cmd("HMGET").arg(history).arg("i").arg("n");
                let (last, entry, history): (Option<String>, Option<String>, _) =
                    core.link.pipeline(keys.partition, &pipeline).await?;
                core.believe(keys.partition, known, history).await?;
                Ok::<_, BackendError>(AuditAnswer {
                    last: last.and_then(|last| last.parse().ok()).unwrap_or_default(),
                    registered: entry.is_some_and(|entry| entry.starts_with(place.as_str())),
                })
            }
        });
        join_all(answers).await.into_iter().collect()
    }

    async fn registered(&self) -> Result<Vec<UserId>, BackendError> {
        let (core, generation) = (&self.core, self.generation());
        let sets = (0..core.keys.partitions()).map(|partition| {
            let sessions = core
                .keys
                .sessions(partition, self.gateway.as_str(), generation);
            async move {
                let mut members = redis::cmd("SMEMBERS");
                members.arg(sessions);
                core.link.call::<Vec<String>>(partition, &members).await
            }
        });
        let users = try_join_all(sets).await?.into_iter().flatten();
        Ok(users.filter_map(|user| UserId::new(&user).ok()).collect())
    }

    async fn release(&self, user: &UserId, held: &[u64]) -> Result<u64, BackendError> {
        let generation = self.generation();
        lease::reap_user(&self.core, user, self.gateway.as_str(), generation, held).await
    }

    async fn show_draining(&self, accepting: bool) -> Result<(), BackendError> {
        lease_tasks::show_draining(&self.core, &self.gateway, self.generation(), accepting).await
    }

    async fn leave(&self) -> Result<(), BackendError> {
        if self.left.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let core = &self.core;
        let generation = self.generation();
        lease::reap(core, self.gateway.as_str(), generation).await?;
        let give_up = LeaseDrop {
            lease: &core.keys.lease(&self.gateway),
            gateways: &core.keys.gateways(),
            gateway: word(self.gateway.as_str()),
            generation: number(generation),
        };
        core.call(Keys::HOME, give_up).await?;
        self.bus.close().await;
        Ok(())
    }
}
