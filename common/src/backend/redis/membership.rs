//! The store as a gateway uses it: its lease, its connections, its ear on the bus.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis::Value;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bus::{Bus, BusMessage, BusSettings, DirtyReason},
    keys::{Keys, device_record, durable_prefix, presence_field},
    lease,
    reply::{self, Reply},
    store::{Core, number, word},
    wire,
};
use crate::{
    backend::{
        Ack, AuditAnswer, AuditQuestion, BackendError, BusEvent, BusSink, Claimed, Control,
        Departure, Device, Holder, Membership, PAGE_BYTES, Page, Registered, Registration,
        Subscription,
    },
    ids::{ChannelName, Cursor, GatewayId, SessionId, UserId},
};

/// Published to a gateway after a word was left for it.
pub(super) const CONTROL_HINT: &str = "X1|0|0|";
/// How often a gateway looks for such words without a hint.
const CONTROL_POLL: Duration = Duration::from_secs(1);

/// A gateway's place in the deployment.
pub struct RedisMembership {
    core: Arc<Core>,
    gateway: GatewayId,
    generation: AtomicU64,
    sink: Arc<dyn BusSink>,
    bus: Bus,
    control: Arc<Notify>,
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
        let generation = take_lease(&core, &gateway).await?;
        let after = last_word(&core, &gateway).await?;
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
        membership.start(renew);
        membership.start(reap_others);
        membership.start(move |membership| heed(membership, after));
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

    async fn new_generation(&self) -> Result<(), BackendError> {
        let generation = take_lease(&self.core, &self.gateway).await?;
        self.generation.store(generation, Ordering::Release);
        tracing::warn!(gateway = %self.gateway, generation, "the lease had ended; took a new one");
        self.sink.on_bus(BusEvent::Dirty {
            reason: "lease_lost",
        });
        Ok(())
    }

    fn durable_field(device: &Device, channel: &ChannelName) -> String {
        format!("{}{channel}", durable_prefix(device))
    }

    fn session_field(session: &SessionId, channel: &ChannelName) -> String {
        format!("r/{session}/{channel}")
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

async fn take_lease(core: &Core, gateway: &GatewayId) -> Result<u64, BackendError> {
    let keys = [
        core.keys.lease(gateway),
        core.keys.gateways(),
        core.keys.generations(),
    ];
    let args = [
        word(gateway.as_str()),
        number(core.options.limits.lease_ttl.as_millis()),
    ];
    let keys = keys.each_ref().map(String::as_str);
    let value = core.call(Keys::HOME, "c1_lease_take", &keys, &args).await?;
    Reply::new(Value::Array(vec![value]))?.parse()
}

/// Keeps the lease; a lost one is replaced by one of a new generation.
async fn renew(membership: Weak<RedisMembership>) {
    let mut renewed = Instant::now();
    let mut isolated = false;
    let mut pause = Duration::ZERO;
    loop {
        sleep(pause).await;
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let limits = &membership.core.options.limits;
        // Often while it fails: the first success matters.
        pause = limits.lease_renew;
        match renew_once(&membership).await {
            Ok(()) => {
                renewed = Instant::now();
                isolated = false;
                membership.core.set_wrong("lease", None);
            }
            Err(error) => {
                pause = (limits.lease_renew / 5).min(Duration::from_secs(1));
                membership.core.set_wrong(
                    "lease",
                    Some(format!("the lease cannot be renewed: {error}")),
                );
                let deadline = limits.isolation_deadline;
                if !isolated && !deadline.is_zero() && renewed.elapsed() >= deadline {
                    isolated = true;
                    membership.sink.on_bus(BusEvent::Isolated);
                }
            }
        }
        let silent = (!membership.bus.healthy()).then(|| "the bus is not connected".to_owned());
        membership.core.set_wrong("bus", silent);
    }
}

async fn renew_once(membership: &RedisMembership) -> Result<(), BackendError> {
    let core = &membership.core;
    let keys = [core.keys.lease(&membership.gateway), core.keys.gateways()];
    let args = [
        word(membership.gateway.as_str()),
        number(membership.generation()),
        number(core.options.limits.lease_ttl.as_millis()),
    ];
    let keys = keys.each_ref().map(String::as_str);
    match core
        .call(Keys::HOME, "c1_lease_renew", &keys, &args)
        .await?
    {
        Value::Int(1) => Ok(()),
        _ => membership.new_generation().await,
    }
}

/// Reaps gateways whose lease has ended.
async fn reap_others(membership: Weak<RedisMembership>) {
    loop {
        let Some(strong) = membership.upgrade() else {
            return;
        };
        let pause = strong.core.options.limits.lease_renew;
        drop(strong);
        // Jittered, so that the gateways do not look at the same moment.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let Ok((_, ended)) = lease::read_leases(&membership.core).await else {
            continue;
        };
        for (gateway, generation) in ended {
            match lease::reap(&membership.core, &gateway, generation).await {
                Ok(Some(users)) => {
                    tracing::warn!(
                        gateway,
                        generation,
                        users,
                        "reaped a gateway whose lease ended"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(gateway, generation, %error, "reaping goes on later"),
            }
        }
    }
}

async fn last_word(core: &Core, gateway: &GatewayId) -> Result<String, BackendError> {
    let mut newest = redis::cmd("XREVRANGE");
    newest
        .arg(core.keys.control(gateway))
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1);
    let entries: Vec<(String, Value)> = core.link.call(Keys::HOME, &newest).await?;
    Ok(entries
        .into_iter()
        .next()
        .map_or_else(|| "0-0".to_owned(), |(id, _)| id))
}

/// Heeds words for this gateway, each once.
async fn heed(membership: Weak<RedisMembership>, mut after: String) {
    loop {
        let Some(strong) = membership.upgrade() else {
            return;
        };
        let control = strong.control.clone();
        drop(strong);
        drop(timeout(CONTROL_POLL, control.notified()).await);
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let mut news = redis::cmd("XRANGE");
        news.arg(membership.core.keys.control(&membership.gateway))
            .arg(format!("({after}"));
        news.arg("+").arg("COUNT").arg(100);
        let entries: Vec<(String, Vec<String>)> =
            match membership.core.link.call(Keys::HOME, &news).await {
                Ok(entries) => entries,
                Err(_) => continue,
            };
        for (id, fields) in entries {
            after = id;
            match fields
                .get(1)
                .and_then(|text| serde_json::from_str::<Control>(text).ok())
            {
                Some(control) => membership.sink.on_bus(BusEvent::Control(control)),
                None => tracing::warn!("a word for this gateway that it does not understand"),
            }
        }
    }
}

#[async_trait]
impl Membership for RedisMembership {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    async fn register(&self, registration: &Registration) -> Result<Registered, BackendError> {
        let core = &self.core;
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
        let args = [
            word(user.as_str()),
            presence_field(device, session).into(),
            device_record(device, session).into(),
            word(session.as_str()),
            word(self.gateway.as_str()),
            number(generation),
            registration.fence.map(number).unwrap_or_default(),
            registration.since.map(number).unwrap_or_default(),
            number(registration.broadcast),
            number(core.options.limits.page),
            number(core.life_s()),
            core.keys.gateway_channel_prefix(keys.partition).into(),
            number(PAGE_BYTES),
        ];
        let names = [
            &keys.presence,
            &keys.online,
            &keys.user,
            &keys.inbox,
            &keys.left,
            &sessions,
            &keys.subs,
        ];
        let value = core
            .call(
                keys.partition,
                "c1_connect",
                &names.map(String::as_str),
                &args,
            )
            .await?;
        let mut reply = Reply::new(value)?;
        if reply.text()? == "replaced" {
            return Err(BackendError::Replaced);
        }
        Ok(Registered {
            fence: reply.parse()?,
            broadcast: reply.parse()?,
            page: reply.page()?,
            subscriptions: subscriptions(&reply.texts()?)?,
            claimable: reply.flag()?,
        })
    }

    async fn unregister(&self, departure: &Departure) -> Result<(), BackendError> {
        let core = &self.core;
        let keys = core.keys.user(&departure.user);
        let sessions = core
            .keys
            .sessions(keys.partition, self.gateway.as_str(), self.generation());
        let mut args = vec![
            word(departure.user.as_str()),
            presence_field(&departure.device, &departure.session).into(),
            number(departure.fence),
            departure.broadcast.map(number).unwrap_or_default(),
            number(u8::from(departure.restorable.is_empty())),
        ];
        for kept in &departure.restorable {
            args.push(word(kept.channel.as_str()));
            args.push(number(kept.cursor));
        }
        let names = [
            &keys.presence,
            &keys.online,
            &keys.user,
            &sessions,
            &keys.subs,
        ];
        core.call(
            keys.partition,
            "c1_disconnect",
            &names.map(String::as_str),
            &args,
        )
        .await?;
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
        let args = [
            record.into(),
            number(after),
            number(core.options.limits.page),
            number(PAGE_BYTES),
        ];
        let value = core
            .call(keys.partition, "c1_read", &[&keys.user, &keys.inbox], &args)
            .await?;
        reply::page(value)
    }

    async fn ack(&self, ack: &Ack) -> Result<(), BackendError> {
        let core = &self.core;
        let limits = &core.options.limits;
        let keys = core.keys.user(&ack.user);
        let mut args = vec![
            device_record(&ack.device, &ack.session).into(),
            number(ack.cursor),
            ack.broadcast.map(number).unwrap_or_default(),
            number(limits.inbox_keep),
            number(limits.devices),
            number(limits.device_ttl.as_secs()),
            number(core.life_s()),
        ];
        args.extend(ack.expired.iter().map(number));
        let names = [&keys.user, &keys.inbox, &keys.left, &keys.presence];
        core.call(keys.partition, "c1_ack", &names.map(String::as_str), &args)
            .await?;
        Ok(())
    }

    async fn follow(&self, channel: &ChannelName) -> Result<Cursor, BackendError> {
        let core = &self.core;
        let partition = core.keys.partition(channel.as_str());
        self.bus
            .subscribe(partition, core.keys.channel_channel(channel))
            .await?;
        let mut newest = redis::cmd("XREVRANGE");
        newest
            .arg(core.keys.log(channel))
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        let entries: Vec<(String, Value)> = core.link.call(partition, &newest).await?;
        match entries.first() {
            None => Ok(Cursor::ZERO),
            Some((id, _)) => id
                .parse()
                .map_err(|_| BackendError::Unexpected(format!("entry {id:?} in a log"))),
        }
    }

    async fn unfollow(&self, channel: &ChannelName) -> Result<(), BackendError> {
        let keys = &self.core.keys;
        self.bus.unsubscribe(
            keys.partition(channel.as_str()),
            keys.channel_channel(channel),
        );
        Ok(())
    }

    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError> {
        let core = &self.core;
        let partition = core.keys.partition(channel.as_str());
        let args = [
            number(after),
            number(core.options.limits.page),
            number(PAGE_BYTES),
        ];
        let value = core
            .call(partition, "c1_history", &[&core.keys.log(channel)], &args)
            .await?;
        reply::page(value)
    }

    async fn keep_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
        cursor: Cursor,
    ) -> Result<(), BackendError> {
        let keys = self.core.keys.user(user);
        let (field, value) = match holder {
            Holder::Device(device) => (Self::durable_field(device, channel), cursor.to_string()),
            Holder::Session(session) => {
                (Self::session_field(session, channel), format!("{cursor}|0"))
            }
        };
        let mut pipeline = redis::pipe();
        pipeline.cmd("HSET").arg(&keys.subs).arg(field).arg(value);
        pipeline
            .cmd("EXPIRE")
            .arg(&keys.subs)
            .arg(self.core.life_s());
        self.core
            .link
            .pipeline::<Value>(keys.partition, &pipeline)
            .await?;
        Ok(())
    }

    async fn drop_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
    ) -> Result<(), BackendError> {
        let keys = self.core.keys.user(user);
        let field = match holder {
            Holder::Device(device) => Self::durable_field(device, channel),
            Holder::Session(session) => Self::session_field(session, channel),
        };
        let mut delete = redis::cmd("HDEL");
        delete.arg(&keys.subs).arg(field);
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
        let args = [
            word(session.as_str()),
            number(core.options.limits.restore.as_millis()),
            number(core.life_s()),
        ];
        let value = core
            .call(keys.partition, "c1_claim", &[&keys.subs], &args)
            .await?;
        let mut reply = Reply::new(value)?;
        let others_hold = reply.flag()?;
        Ok(Claimed {
            others_hold,
            subscriptions: subscriptions(&reply.texts()?)?,
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
                let mut pipeline = redis::pipe();
                pipeline.cmd("HGET").arg(&keys.user).arg("l");
                pipeline.cmd("HGET").arg(&keys.presence).arg(field);
                let (last, entry): (Option<String>, Option<String>) =
                    core.link.pipeline(keys.partition, &pipeline).await?;
                Ok::<_, BackendError>(AuditAnswer {
                    last: last.and_then(|last| last.parse().ok()).unwrap_or_default(),
                    registered: entry.is_some_and(|entry| entry.starts_with(place.as_str())),
                })
            }
        });
        join_all(answers).await.into_iter().collect()
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
        let keys = [core.keys.lease(&self.gateway), core.keys.gateways()];
        let args = [word(self.gateway.as_str()), number(generation)];
        let keys = keys.each_ref().map(String::as_str);
        lease::reap(core, self.gateway.as_str(), generation).await?;
        core.call(Keys::HOME, "c1_lease_drop", &keys, &args).await?;
        self.bus.close().await;
        Ok(())
    }
}

fn subscriptions(texts: &[String]) -> Result<Vec<Subscription>, BackendError> {
    let bad = || BackendError::Unexpected("a kept subscription cannot be read".to_owned());
    texts
        .chunks_exact(2)
        .map(|pair| {
            Ok(Subscription {
                channel: ChannelName::new(&pair[0]).map_err(|_| bad())?,
                cursor: pair[1].parse().map_err(|_| bad())?,
            })
        })
        .collect()
}
