//! What each function costs Redis when all that it touches is filled to its limit.
//!
//! Redis' slow log tells the time of each call, without the way to it. A function is called several
//! times over and its fastest call counts: what else the machine does only ever adds to it. The
//! limits are those of carillon.toml, bodies are of 1 KiB, names of usual length.

mod cases;
mod scheduled;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::redis::{Value, cmd};
use anyhow::{Context, Result, bail};
use carillon_common::{
    backend::{
        self, Ack, Backend, BackendError, BusEvent, BusSink, Departure, Device, Former,
        Idempotency, Limits, Membership, Registered, Registration, SendOrder, Subscription,
    },
    ids::{Cursor, GatewayId, UserId},
    settings::Settings,
};
use uuid::Uuid;

use crate::redis::{Options, Standalone};

/// Calls of each function, of which the fastest counts; and on a machine so busy that none of them was
/// fast, as many as it takes, up to the second number.
const CALLS: [usize; 2] = [8, 60];
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
    hall.scheduled().await?;
    hall.subscriptions().await?;
    hall.assignments().await?;
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
        let sent = self.backend.send(&order(user, id, ttl)).await?;
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

fn order(user: &UserId, id: Uuid, ttl: Duration) -> SendOrder {
    SendOrder {
        user: user.clone(),
        id,
        body: "x".repeat(BODY).into(),
        ttl,
        collapse_key: None,
        due: None,
        idempotency: idempotency(id),
        trace: None,
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
