//! What each function costs Redis when all that it touches is filled to its limit.
//!
//! Redis' slow log tells the time of each call, without the way to it. A function is called several
//! times over and its fastest call counts: what else the machine does only ever adds to it. The
//! limits are those of carillon.toml, bodies are of 1 KiB, names of usual length.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::redis::{Value, cmd};
use anyhow::{Context, Result, bail, ensure};
use carillon_common::{
    backend::{
        self, Ack, Backend, BackendError, BusEvent, BusSink, Departure, Device, Former, Holder,
        Idempotency, Limits, Membership, PublishOrder, Registered, Registration, SendOrder,
        Subscription,
    },
    ids::{ChannelName, Cursor, GatewayId, UserId},
    settings::Settings,
};
use uuid::Uuid;

use crate::redis::{Options, Standalone};

/// Calls of each function, of which the fastest counts; and on a machine so busy that none of them was
/// fast, as many as it takes, up to the second number.
const CALLS: [usize; 2] = [8, 14];
const FAST_MICROS: u64 = 1_000;
const BODY: usize = 1_024;
const HOUR: Duration = Duration::from_secs(3_600);
/// Gateways that have a lease: no setting bounds them.
const GATEWAYS: usize = 100;
/// Connections that a user has on each of the gateways that are measured here.
const ON_EACH: usize = 32;
/// Cursors that one ack reports as expired.
const EXPIRED: usize = 64;

/// A function, what it did, and its fastest call in microseconds.
#[derive(Debug)]
pub struct Cost {
    /// As Redis knows it.
    pub function: String,
    /// In which state.
    pub what: &'static str,
    /// Of the fastest call.
    pub micros: u64,
}

/// The functions of the library, by name.
#[must_use]
pub fn functions() -> Vec<String> {
    let source = backend::redis::library().source;
    let registered = source.split("register_function('").skip(1);
    let names = registered.filter_map(|rest| rest.split('\'').next());
    names.map(str::to_owned).collect()
}

/// Fills a Redis of its own and calls every function.
///
/// # Errors
/// When something does not start or answers what it should not.
pub async fn measure() -> Result<Vec<Cost>> {
    let mut hall = Hall::open().await?;
    hall.sends().await?;
    hall.connections().await?;
    hall.whole_inbox().await?;
    hall.subscriptions().await?;
    hall.channels().await?;
    hall.leases().await?;
    Ok(hall.costs)
}

struct Deaf;

impl BusSink for Deaf {
    fn on_bus(&self, _: BusEvent) {}
}

/// A deployment whose collections are filled.
struct Hall {
    redis: Standalone,
    settings: Settings,
    limits: Limits,
    backend: Arc<dyn Backend>,
    gateways: Vec<Arc<dyn Membership>>,
    costs: Vec<Cost>,
}

impl Hall {
    async fn open() -> Result<Self> {
        let redis = Standalone::start(&Options::default()).await?;
        for (setting, value) in [
            ("slowlog-log-slower-than", "0"),
            ("slowlog-max-len", "65536"),
        ] {
            let mut set = cmd("CONFIG");
            set.arg("SET").arg(setting).arg(value);
            redis.query::<()>(&set).await?;
        }
        let mut settings = Settings::default();
        settings.backend.name_store(redis.url())?;
        settings.lease.renew = Duration::from_secs(1);
        let limits = backend::limits(&settings);
        let backend = backend::connect(&settings).await?;
        let mut gateways = Vec::new();
        for at in 0..limits.connections as usize / ON_EACH {
            let name: GatewayId = format!("gateway-{at}").parse()?;
            gateways.push(backend.join(name, Arc::new(Deaf)).await?);
        }
        Ok(Self {
            redis,
            settings,
            limits,
            backend,
            gateways,
            costs: Vec::new(),
        })
    }

    /// The times of a function's calls since the last look, in microseconds.
    async fn times(&self, function: &str) -> Result<Vec<u64>> {
        let mut get = cmd("SLOWLOG");
        let entries: Vec<Vec<Value>> = self.redis.query(get.arg("GET").arg(65_536)).await?;
        let mut times = Vec::new();
        for entry in entries {
            let [_, _, Value::Int(micros), Value::Array(words), ..] = &entry[..] else {
                bail!("an entry of the slow log that cannot be read: {entry:?}");
            };
            let is_call = matches!(&words[..], [Value::BulkString(call), Value::BulkString(name), ..]
                if call.eq_ignore_ascii_case(b"FCALL") && name == function.as_bytes());
            if is_call {
                times.push(u64::try_from(*micros)?);
            }
        }
        Ok(times)
    }

    async fn forget_times(&self) -> Result<()> {
        let mut reset = cmd("SLOWLOG");
        self.redis.query(reset.arg("RESET")).await
    }

    /// Takes the fastest of what `call` does to a function.
    async fn fastest(
        &mut self,
        function: &str,
        what: &'static str,
        mut call: impl AsyncFnMut(&Self, usize) -> Result<()>,
    ) -> Result<()> {
        let function = format!("c{}_{function}", backend::redis::version::PROTOCOL);
        let mut best = u64::MAX;
        for turn in 0..CALLS[1] {
            if turn >= CALLS[0] && best < FAST_MICROS {
                break;
            }
            call(self, turn)
                .await
                .with_context(|| format!("{function}, {what}"))?;
            let times = self.times(&function).await?;
            // A call makes the function do the same several times, or once.
            let slowest = times.into_iter().max();
            best = best.min(slowest.with_context(|| format!("{function} was not called"))?);
        }
        self.costs.push(Cost {
            function,
            what,
            micros: best,
        });
        Ok(())
    }

    async fn send(&self, user: &UserId, ttl: Duration) -> Result<Cursor, BackendError> {
        let id = Uuid::new_v4();
        let order = SendOrder {
            user: user.clone(),
            id,
            body: "x".repeat(BODY).into(),
            ttl,
            idempotency: idempotency(id),
            trace: None,
        };
        let sent = self.backend.send(&order).await?;
        Ok(sent.cursor.unwrap_or_default())
    }

    async fn connect(&self, at: usize, user: &UserId, who: &Who) -> Result<Registered> {
        let registration = Registration {
            user: user.clone(),
            device: who.device.clone(),
            session: who.session.parse()?,
            opened: self.backend.clock().now(),
            fence: None,
            since: Some(Cursor::ZERO),
            broadcast: Cursor::ZERO,
        };
        Ok(self.gateways[at].register(&registration).await?)
    }

    async fn end(
        &self,
        at: usize,
        user: &UserId,
        who: &Who,
        fence: u64,
        restorable: Vec<Subscription>,
    ) -> Result<()> {
        let departure = Departure {
            user: user.clone(),
            device: who.device.clone(),
            session: who.session.parse()?,
            fence,
            broadcast: None,
            restorable,
        };
        Ok(self.gateways[at].unregister(&departure).await?)
    }

    async fn ack(&self, user: &UserId, who: &Who, cursor: Cursor, expired: usize) -> Result<()> {
        let ack = Ack {
            user: user.clone(),
            device: who.device.clone(),
            session: who.session.parse()?,
            cursor,
            broadcast: None,
            expired: vec![cursor; expired],
        };
        Ok(self.gateways[0].ack(&ack).await?)
    }

    /// A user with as many devices away as are remembered; all have read something.
    async fn with_devices_away(&self, name: &str) -> Result<UserId> {
        let user: UserId = name.parse()?;
        let first = self.send(&user, HOUR).await?;
        for device in 0..self.limits.idle_devices() as usize {
            let who = Who::named(device);
            let registered = self.connect(0, &user, &who).await?;
            self.ack(&user, &who, first, 0).await?;
            self.end(0, &user, &who, registered.fence, vec![]).await?;
        }
        Ok(user)
    }

    async fn fill(&self, user: &UserId, ttl: impl Fn(u32) -> Duration) -> Result<Vec<Cursor>> {
        let mut sent = Vec::new();
        for number in 0..self.limits.inbox_max {
            sent.push(self.send(user, ttl(number)).await?);
        }
        Ok(sent)
    }

    async fn sends(&mut self) -> Result<()> {
        let bob = self.with_devices_away("bob").await?;
        self.fill(&bob, |_| HOUR).await?;
        let pass_over = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.send(&bob, HOUR).await?;
            Ok(())
        };
        self.fastest(
            "send",
            "the devices that are away are passed over",
            pass_over,
        )
        .await?;

        let short = Duration::from_secs(3);
        for (name, what, stays) in [
            ("carol", "the oldest have expired", 0),
            ("dave", "some in the middle have expired", 2),
        ] {
            let user = self.with_devices_away(name).await?;
            let ttl = |number| if number < stays { HOUR } else { short };
            self.fill(&user, ttl).await?;
            tokio::time::sleep(short + short / 10).await;
            let make_room = async |hall: &Self, _| {
                hall.forget_times().await?;
                // As much room as one of these makes is used up by others.
                for _ in 0..65 {
                    hall.send(&user, HOUR).await?;
                }
                Ok(())
            };
            self.fastest("send", what, make_room).await?;
        }
        Ok(())
    }

    /// A user with as many connections as may be, and as much of all else.
    async fn connections(&mut self) -> Result<()> {
        let alice = self.with_devices_away("alice").await?;
        for at in 0..self.gateways.len() {
            // Room for one more.
            for number in usize::from(at == 0)..ON_EACH {
                self.connect(at, &alice, &Who::of(at, number)).await?;
            }
        }
        let phone = Who::of(0, 2);
        let holder = Holder::Device(phone.device.clone());
        for number in 0..self.limits.kept as usize {
            let keep = subscription(number)?;
            self.gateways[0]
                .keep_subscription(&alice, &holder, &keep, true)
                .await?;
        }
        self.fill(&alice, |_| HOUR).await?;
        let page = self.connect(0, &alice, &phone).await?;
        ensure!(page.subscriptions.len() == self.limits.kept as usize);
        let cursors: Vec<Cursor> = page.page.frames.iter().map(|frame| frame.cursor).collect();

        let refused = async |hall: &Self, _| {
            hall.forget_times().await?;
            let outcome = hall.send(&alice, HOUR).await;
            ensure!(
                matches!(outcome, Err(BackendError::InboxFull)),
                "{outcome:?}"
            );
            Ok(())
        };
        self.fastest("send", "a connected device is behind", refused)
            .await?;
        let known = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.connect(0, &alice, &phone).await?;
            Ok(())
        };
        self.fastest("connect", "a device that is known", known)
            .await?;
        let unknown = async |hall: &Self, turn| {
            let who = Who::named(1_000 + turn);
            hall.forget_times().await?;
            let registered = hall.connect(0, &alice, &who).await?;
            hall.end(0, &alice, &who, registered.fence, vec![]).await
        };
        self.fastest(
            "connect",
            "a new device, for which another is forgotten",
            unknown,
        )
        .await?;
        let read = async |hall: &Self, _| {
            hall.forget_times().await?;
            let gateway = &hall.gateways[0];
            gateway
                .read(&alice, &Device::Anonymous, Cursor::ZERO)
                .await?;
            Ok(())
        };
        self.fastest("read", "by the least of anonymous connections", read)
            .await?;
        let ack = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            hall.ack(&alice, &phone, cursors[turn + 2], EXPIRED).await
        };
        self.fastest("ack", "one of many devices", ack).await?;

        let restorable: Vec<Subscription> = (0..self.settings.socket.channels)
            .map(subscription)
            .collect::<Result<_>>()?;
        let disconnect = async |hall: &Self, _| {
            let registered = hall.connect(0, &alice, &Who::of(0, 1)).await?;
            hall.forget_times().await?;
            hall.end(
                0,
                &alice,
                &Who::of(0, 1),
                registered.fence,
                restorable.clone(),
            )
            .await
        };
        self.fastest("disconnect", "one of many connections", disconnect)
            .await?;
        let reap = async |hall: &Self, _| {
            for number in 0..ON_EACH {
                hall.connect(1, &alice, &Who::of(1, number)).await?;
            }
            hall.forget_times().await?;
            let ended = hall.gateways[1].release(&alice, &[]).await?;
            ensure!(ended == ON_EACH as u64, "{ended}");
            Ok(())
        };
        self.fastest("reap", "all connections of a gateway", reap)
            .await
    }

    async fn whole_inbox(&mut self) -> Result<()> {
        let phone = Who::of(0, 2);
        let erin: UserId = "erin".parse()?;
        let all = async |hall: &Self, _| {
            hall.connect(0, &erin, &phone).await?;
            let sent = hall.fill(&erin, |_| HOUR).await?;
            hall.forget_times().await?;
            hall.ack(&erin, &phone, sent[sent.len() - 1], 0).await
        };
        self.fastest("ack", "a whole inbox at once", all).await
    }

    async fn subscriptions(&mut self) -> Result<()> {
        let frank: UserId = "frank".parse()?;
        let all: Vec<Subscription> = (0..self.limits.kept as usize)
            .map(subscription)
            .collect::<Result<_>>()?;
        let mut last = Who::anonymous("first");
        let mut fence = self.connect(0, &frank, &last).await?.fence;
        for kept in &all {
            let holder = Holder::Session(last.session.parse()?);
            self.gateways[0]
                .keep_subscription(&frank, &holder, kept, true)
                .await?;
        }
        let keep = async |hall: &Self, _| {
            hall.forget_times().await?;
            let one_more = subscription(all.len())?;
            let holder = Holder::Device(Device::Anonymous);
            let gateway = &hall.gateways[0];
            let outcome = gateway
                .keep_subscription(&frank, &holder, &one_more, true)
                .await;
            ensure!(
                matches!(outcome, Err(BackendError::TooManyChannels)),
                "{outcome:?}"
            );
            Ok(())
        };
        self.fastest("keep", "one more than may be", keep).await?;
        let disconnect = async |hall: &Self, turn| {
            hall.forget_times().await?;
            hall.end(0, &frank, &last, fence, all.clone()).await?;
            last = Who::anonymous(&format!("next-{turn}"));
            fence = hall.connect(0, &frank, &last).await?.fence;
            let session = last.session.parse()?;
            let claimed = hall.gateways[0]
                .claim_subscriptions(&frank, &session)
                .await?;
            ensure!(claimed.subscriptions.len() == all.len(), "{claimed:?}");
            Ok(())
        };
        self.fastest("disconnect", "all subscriptions are left", disconnect)
            .await?;
        let claim = async |hall: &Self, turn| {
            hall.end(0, &frank, &last, fence, all.clone()).await?;
            last = Who::anonymous(&format!("claims-{turn}"));
            fence = hall.connect(0, &frank, &last).await?.fence;
            hall.forget_times().await?;
            let session = last.session.parse()?;
            hall.gateways[0]
                .claim_subscriptions(&frank, &session)
                .await?;
            Ok(())
        };
        self.fastest("claim", "all subscriptions of ended connections", claim)
            .await
    }

    async fn channels(&mut self) -> Result<()> {
        let channel: ChannelName = "orders".parse()?;
        let history = self.settings.channels.history;
        let publish = async |hall: &Self, count: usize| -> Result<()> {
            for _ in 0..count {
                let id = Uuid::new_v4();
                let order = PublishOrder {
                    channel: channel.clone(),
                    id,
                    body: "x".repeat(BODY).into(),
                    ttl: HOUR,
                    history: u32::try_from(history)?,
                    retention: HOUR,
                    idempotency: idempotency(id),
                    trace: None,
                };
                hall.backend.publish(&order).await?;
            }
            Ok(())
        };
        publish(self, history).await?;
        let one = async |hall: &Self, _| {
            hall.forget_times().await?;
            publish(hall, 1).await
        };
        self.fastest("publish", "a full log", one).await?;
        let follow = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.gateways[0].follow(&channel).await?;
            Ok(())
        };
        self.fastest("follow", "a full log", follow).await?;
        let read = async |hall: &Self, _| {
            hall.forget_times().await?;
            let page = hall.gateways[0].history(&channel, Cursor::ZERO).await?;
            ensure!(page.more, "{} frames", page.frames.len());
            Ok(())
        };
        self.fastest("history", "a full log", read).await
    }

    async fn leases(&mut self) -> Result<()> {
        let mut others = Vec::new();
        for at in 0..GATEWAYS {
            let name: GatewayId = format!("other-{at}").parse()?;
            others.push(self.backend.join(name, Arc::new(Deaf)).await?);
        }
        let settle = async |hall: &Self, _| {
            hall.forget_times().await?;
            let another = backend::connect(&hall.settings).await?;
            another.presence(&"alice".parse()?).await?;
            hall.waits_for("settle").await
        };
        self.fastest("settle", "each partition", settle).await?;
        let list = async |hall: &Self, _| {
            hall.forget_times().await?;
            let there = hall.backend.presence(&"alice".parse()?).await?;
            ensure!(!there.is_empty(), "alice is not connected");
            Ok(())
        };
        self.fastest("lease_list", "many gateways", list).await?;
        let renew = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.waits_for("lease_renew").await
        };
        self.fastest("lease_renew", "many gateways", renew).await?;
        let take = async |hall: &Self, turn| {
            hall.forget_times().await?;
            let name: GatewayId = format!("new-{turn}").parse()?;
            hall.backend.join(name, Arc::new(Deaf)).await?;
            Ok(())
        };
        self.fastest("lease_take", "many gateways", take).await?;
        let end = async |hall: &Self, turn| {
            hall.forget_times().await?;
            let now = hall.backend.clock().now();
            let dead: GatewayId = format!("new-{turn}").parse()?;
            ensure!(hall.backend.reap(&dead, now).await?, "{dead} is not there");
            Ok(())
        };
        self.fastest("lease_end", "many gateways", end).await?;
        let leave = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            others[turn].leave().await?;
            Ok(())
        };
        self.fastest("lease_drop", "many gateways", leave).await
    }

    /// Until a function was called that services call by themselves.
    async fn waits_for(&self, function: &str) -> Result<()> {
        let function = format!("c{}_{function}", backend::redis::version::PROTOCOL);
        for _ in 0..100 {
            if !self.times(&function).await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{function} is not called");
    }
}

/// A device and its session.
struct Who {
    device: Device,
    session: String,
}

impl Who {
    fn named(number: usize) -> Self {
        let name = format!("device-of-a-user-{number:05}");
        Self {
            #[expect(clippy::expect_used, reason = "the name is one by its letters")]
            device: Device::Named(name.parse().expect("a device's name")),
            session: name,
        }
    }

    fn anonymous(session: &str) -> Self {
        Self {
            device: Device::Anonymous,
            session: format!("session-of-a-user-{session}"),
        }
    }

    /// Every other connection of a gateway is anonymous.
    fn of(at: usize, number: usize) -> Self {
        match number % 2 {
            0 => Self::named(100 * (at + 1) + number),
            _ => Self::anonymous(&format!("{at}-{number}")),
        }
    }
}

fn idempotency(id: Uuid) -> Idempotency {
    Idempotency {
        key: id.to_string(),
        former: Some(Former {
            key: format!("former {id}"),
            id,
        }),
        body_hash: "hash".to_owned(),
        ttl: Duration::from_secs(60),
    }
}

fn subscription(number: usize) -> Result<Subscription> {
    Ok(Subscription {
        channel: format!("orders:of-a-customer:{number:05}").parse()?,
        cursor: Cursor {
            seq: 1_700_000_000_000,
            nonce: 7,
        },
    })
}

/// The slowest of each function, by name.
#[must_use]
pub fn worst(costs: &[Cost]) -> BTreeMap<&str, u64> {
    let mut worst = BTreeMap::new();
    for cost in costs {
        let micros = worst.entry(&*cost.function).or_insert(0);
        *micros = cost.micros.max(*micros);
    }
    worst
}
