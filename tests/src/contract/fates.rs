//! Random work, and what became of each notification at each device, against a small reference.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use carillon_common::{
    backend::{Fate, LeftReason, Limits, Marks, Retraction, SendOrder},
    ids::{Cursor, Millis},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Stores,
    gateway::{Connection, Gateway},
    world::{HOUR, World, limits, order},
};

const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];
const KEYS: [&str; 2] = ["score", "weather"];
const STEPS: usize = 250;
/// How near to a step something may expire: one that takes longer may see it on either side. Doubled for as long as
/// this machine is too slow for it, and so often.
const MARGIN: Duration = Duration::from_millis(40);
const TRIES: u32 = 8;
/// Between two steps: times are told to the millisecond, and order by them must be sure.
const STEP: Duration = Duration::from_millis(2);

/// What was sent.
struct Sent {
    cursor: Cursor,
    expires_at: Millis,
    key: Option<&'static str>,
    /// Taken back or replaced, in this step.
    left: Option<(LeftReason, usize)>,
}

/// A device that ever registered.
#[derive(Default)]
struct Device {
    /// It begins after so many.
    begin: usize,
    /// It has so many.
    has: usize,
    acks: usize,
    /// What came of those that it has: in which step it had them, and whether they had expired.
    had: HashMap<usize, (usize, bool)>,
}

#[derive(Default)]
struct Reference {
    sent: Vec<Sent>,
    devices: HashMap<&'static str, Device>,
}

impl Reference {
    fn expected(&self, at: usize, device: &Device, now: Millis) -> Expected {
        let sent = &self.sent[at];
        if at < device.begin {
            return Expected::NotAddressed;
        }
        match (device.had.get(&at), sent.left) {
            (Some((_, true)), _) => Expected::Left(LeftReason::Expired),
            (Some((step, false)), Some((reason, left))) if left < *step => Expected::Left(reason),
            (Some(_), _) => Expected::Delivered,
            (None, Some((reason, _))) => Expected::Left(reason),
            (None, None) if sent.expires_at <= now => Expected::Left(LeftReason::Expired),
            (None, None) => Expected::Queued,
        }
    }

    /// Whether something expires within the margin.
    fn is_close(&self, now: Millis, margin: Millis) -> bool {
        let close = |sent: &Sent| (sent.expires_at - now).abs() < margin;
        self.sent.iter().any(close)
    }
}

/// When a step begins, far from whatever expires.
struct Moment<'a> {
    world: &'a World,
    at: Millis,
    margin: Millis,
}

/// A step took so long that something may have expired meanwhile.
#[derive(Debug)]
struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a step took longer than its margin")
    }
}

impl std::error::Error for TooSlow {}

impl<'a> Moment<'a> {
    /// Waits for one.
    async fn come(world: &'a World, reference: &Reference, margin: Millis) -> Self {
        loop {
            let at = world.backend.clock().now();
            if !reference.is_close(at, margin) {
                return Self { world, at, margin };
            }
            world.advance(Duration::from_millis(10)).await;
        }
    }

    /// Whether it still is that moment, as far as anything expires; asked before anything is compared.
    fn holds(&self) -> Result<()> {
        let now = self.world.backend.clock().now();
        // The rest is for the clocks of two processes.
        ensure!(now - self.at < self.margin - 10, TooSlow);
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Queued,
    Delivered,
    Left(LeftReason),
    NotAddressed,
}

impl Expected {
    fn of(fate: Fate) -> Option<Self> {
        Some(match fate {
            Fate::Queued => Self::Queued,
            Fate::Delivered(Some(_)) => Self::Delivered,
            Fate::Left(reason, _) => Self::Left(reason),
            Fate::NotAddressed => Self::NotAddressed,
            Fate::Delivered(None) | Fate::Lost | Fate::Unknown => return None,
        })
    }
}

pub(super) async fn receipts_tell_the_truth(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_max: 1_000,
        inbox_keep: 3,
        page: 7,
        ..limits()
    };
    for seed in [1, 2] {
        concluded(&*on, &limits, seed).await?;
    }
    Ok(())
}

async fn concluded(on: &dyn Stores, limits: &Limits, seed: u64) -> Result<()> {
    let mut margin = MARGIN;
    for _ in 0..TRIES {
        let world = World::new(on, limits.clone()).await?;
        let gateways = [
            world.gateway("one").await?,
            world.other_gateway("two").await?,
        ];
        match work(seed, &world, &gateways, margin).await {
            Err(error) if error.is::<TooSlow>() => margin *= 2,
            outcome => return outcome,
        }
    }
    bail!("this machine is too slow: a step took longer than {margin:?}, {TRIES} times")
}

async fn work(seed: u64, world: &World, gateways: &[Gateway; 2], margin: Duration) -> Result<()> {
    // Of what expires while one looks on.
    let short = 3 * margin;
    let margin = Millis::try_from(margin.as_millis())?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut reference = Reference::default();
    let mut connections: HashMap<&str, Connection> = HashMap::new();
    for step in 0..STEPS {
        world.advance(STEP).await;
        let moment = Moment::come(world, &reference, margin).await;
        let device = DEVICES[random.random_range(0..DEVICES.len())];
        let what = format!("seed {seed}, step {step}, {device}");
        match random.random_range(0..10) {
            0..=3 => send(&mut random, &moment, &mut reference, step, short).await?,
            4 | 5 => {
                let gateway = &gateways[random.random_range(0..2)];
                let connection = connect(gateway, &mut reference, device, &what, &moment).await?;
                connections.insert(device, connection);
            }
            6 | 7 => {
                if let Some(connection) = connections.get(device) {
                    let to = random.random_range(0..=reference.sent.len());
                    ack(connection, &mut reference, device, to, step, &moment).await?;
                }
            }
            8 => retract(&mut random, &moment, &mut reference, step).await?,
            _ => {
                if let Some(connection) = connections.remove(device) {
                    connection.end().await?;
                }
            }
        }
        if step % 10 == 9 {
            check(&mut random, world, &reference, &what, margin).await?;
        }
    }
    Ok(())
}

async fn send(
    random: &mut StdRng,
    moment: &Moment<'_>,
    reference: &mut Reference,
    step: usize,
    short: Duration,
) -> Result<()> {
    let key = KEYS.get(random.random_range(0..6)).copied();
    let ttl = if random.random_range(0..4) == 0 {
        short
    } else {
        HOUR
    };
    let order = SendOrder {
        collapse_key: key.map(str::parse).transpose()?,
        ..order("alice", ttl)?
    };
    let sent = moment.world.order(&order).await?;
    moment.holds()?;
    let before = reference.sent.iter_mut().rev();
    let replaced = before
        .into_iter()
        .find(|sent| key.is_some() && sent.key == key);
    if let Some(replaced) = replaced
        && replaced.left.is_none()
    {
        replaced.left = Some((LeftReason::Replaced, step));
    }
    reference.sent.push(Sent {
        cursor: sent.cursor.context("not stored")?,
        expires_at: moment.at + Millis::try_from(ttl.as_millis())?,
        key,
        left: None,
    });
    Ok(())
}

async fn connect(
    gateway: &Gateway,
    reference: &mut Reference,
    device: &'static str,
    what: &str,
    moment: &Moment<'_>,
) -> Result<Connection> {
    let connection = gateway.connect("alice", device).await?;
    let begin = reference.devices.values().map(|it| it.has).max();
    let known = reference.devices.entry(device).or_insert_with(|| Device {
        begin: begin.unwrap_or(0),
        has: begin.unwrap_or(0),
        ..Device::default()
    });
    let has = known.has;
    let mut page = connection.page().clone();
    let mut frames = std::mem::take(&mut page.frames);
    while page.more {
        page = gateway.page("alice", device, page.end).await?;
        assert_eq!(page.gap, None, "{what}");
        frames.append(&mut page.frames);
    }
    moment.holds()?;
    let at: Vec<_> = frames.iter().map(|frame| frame.cursor).collect();
    let expected: Vec<_> = reference.sent[has..].iter().map(|it| it.cursor).collect();
    assert_eq!(at, expected, "{what}: the chain");
    for (frame, sent) in frames.iter().zip(&reference.sent[has..]) {
        let given = sent.left.is_none() && sent.expires_at > moment.at;
        assert_eq!(frame.deliverable(moment.at), given, "{what}: {frame:?}");
    }
    Ok(connection)
}

/// As a gateway does it: what had expired when it was to be written is named.
async fn ack(
    connection: &Connection,
    reference: &mut Reference,
    device: &'static str,
    to: usize,
    step: usize,
    moment: &Moment<'_>,
) -> Result<()> {
    let Some(known) = reference.devices.get_mut(device) else {
        return Ok(());
    };
    if to <= known.has {
        return Ok(());
    }
    let mut expired = Vec::new();
    for at in known.has..to {
        let sent = &reference.sent[at];
        let has_expired = sent.left.is_none() && sent.expires_at <= moment.at;
        if has_expired {
            expired.push(sent.cursor);
        }
        known.had.insert(at, (step, has_expired));
    }
    known.has = to;
    known.acks += 1;
    let cursor = reference.sent[to - 1].cursor;
    connection.ack_with(cursor, None, expired).await?;
    moment.holds()
}

async fn retract(
    random: &mut StdRng,
    moment: &Moment<'_>,
    reference: &mut Reference,
    step: usize,
) -> Result<()> {
    if reference.sent.is_empty() {
        return Ok(());
    }
    let at = random.random_range(0..reference.sent.len());
    let sent = &mut reference.sent[at];
    let backend = &moment.world.backend;
    let done = backend.retract(&"alice".parse()?, sent.cursor).await?;
    moment.holds()?;
    if matches!(done, Retraction::Done { .. }) {
        assert!(sent.left.is_none());
        sent.left = Some((LeftReason::Retracted, step));
    }
    Ok(())
}

/// Looks at some of the receipts.
async fn check(
    random: &mut StdRng,
    world: &World,
    reference: &Reference,
    what: &str,
    margin: Millis,
) -> Result<()> {
    let user = "alice".parse()?;
    for _ in 0..8.min(reference.sent.len()) {
        let at = random.random_range(0..reference.sent.len());
        let moment = Moment::come(world, reference, margin).await;
        let cursor = reference.sent[at].cursor;
        let receipt = world.backend.receipt(&user, cursor).await?;
        moment.holds()?;
        let receipt = receipt.with_context(|| format!("{what}: {cursor} is not known"))?;
        assert_eq!(receipt.devices.len(), reference.devices.len(), "{what}");
        for told in &receipt.devices {
            let name = told.device.as_ref().context("a device has no name")?;
            let (_, device) = reference
                .devices
                .iter()
                .find(|(it, _)| **it == name.as_str())
                .context("a device that never came")?;
            let expected = reference.expected(at, device, moment.at);
            match Expected::of(told.fate) {
                Some(fate) => assert_eq!(fate, expected, "{what}: {name}, {at} of {cursor}"),
                // Nothing is claimed, and only where more acks came than are kept.
                None => assert!(
                    told.fate == Fate::Unknown && device.acks > Marks::MOST,
                    "{what}: {name}, {cursor}: {:?}, not {expected:?}",
                    told.fate
                ),
            }
        }
    }
    Ok(())
}
