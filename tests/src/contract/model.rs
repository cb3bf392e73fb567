//! Random work against a small reference, and work done at once.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use carillon_common::{
    backend::{BackendError, BusEvent, Limits},
    ids::Cursor,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    DEADLINE, Stores,
    gateway::{Connection, Gateway},
    world::{HOUR, World, cursors, limits, order},
};

const USERS: [&str; 2] = ["alice", "bob"];
const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];
const INBOX_MAX: usize = 12;
const KEEP: usize = 3;

/// What a user's inbox must be: every cursor ever accepted, and how far each device is.
#[derive(Default)]
struct Reference {
    sent: Vec<Cursor>,
    /// Device → how many it has; only devices that ever registered.
    acked: HashMap<&'static str, usize>,
    connected: HashSet<&'static str>,
    ever_acked: bool,
}

impl Reference {
    fn floor(&self) -> usize {
        self.acked.values().copied().min().unwrap_or(0)
    }

    /// Whether a send must be accepted although no device may be passed over.
    fn has_room(&self) -> bool {
        self.sent.len() - self.floor() < INBOX_MAX
    }
}

pub(super) async fn random_work_agrees_with_the_reference(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_max: u32::try_from(INBOX_MAX)?,
        inbox_keep: u32::try_from(KEEP)?,
        page: 5,
        ..limits()
    };
    for seed in [1, 2, 3] {
        let world = World::new(&*on, limits.clone()).await?;
        let gateways = [
            world.gateway("one").await?,
            world.other_gateway("two").await?,
        ];
        work(seed, &world, &gateways).await?;
    }
    Ok(())
}

async fn work(seed: u64, world: &World, gateways: &[Gateway; 2]) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut references: HashMap<&str, Reference> = HashMap::new();
    let mut connections: HashMap<(&str, &str), Connection> = HashMap::new();
    for step in 0..300 {
        let user = USERS[random.random_range(0..USERS.len())];
        let device = DEVICES[random.random_range(0..DEVICES.len())];
        let gateway = &gateways[random.random_range(0..2)];
        let reference = references.entry(user).or_default();
        let what = format!("seed {seed}, step {step}, {user}'s {device}");
        match random.random_range(0..10) {
            0..=3 => send(world, user, reference, &what).await?,
            4..=6 => {
                let connection = gateway.connect(user, device).await?;
                let has = registered(reference, device);
                let all = read_on(gateway, user, device, &connection).await?;
                assert_eq!(all, reference.sent[has..], "{what}");
                assert_eq!(connection.page().gap, None, "{what}");
                connections.insert((user, device), connection);
            }
            7 | 8 => {
                if let Some(connection) = connections.get(&(user, device)) {
                    let to = random.random_range(0..=reference.sent.len());
                    if let Some(last) = to.checked_sub(1) {
                        connection.ack(reference.sent[last]).await?;
                        acked(reference, device, to);
                    }
                    let kept = cursors(&whole(gateway, user).await?);
                    let first = reference.floor().saturating_sub(KEEP);
                    assert_eq!(kept, reference.sent[first..], "{what}");
                }
            }
            _ => {
                if reference.connected.remove(device)
                    && let Some(connection) = connections.remove(&(user, device))
                {
                    connection.end().await?;
                }
            }
        }
    }
    Ok(())
}

/// Sends when nobody has to be passed over; else only when the answer is certain.
async fn send(world: &World, user: &str, reference: &mut Reference, what: &str) -> Result<()> {
    if reference.has_room() {
        reference.sent.push(world.send(user).await?);
    } else if !reference.ever_acked {
        let refused = world.order(&order(user, HOUR)?).await;
        assert!(
            matches!(refused, Err(BackendError::InboxFull)),
            "{what}: {refused:?}"
        );
    }
    Ok(())
}

/// A device registers: how many it has.
fn registered(reference: &mut Reference, device: &'static str) -> usize {
    reference.connected.insert(device);
    let greatest = if reference.ever_acked {
        reference.acked.values().copied().max().unwrap_or(0)
    } else {
        0
    };
    *reference.acked.entry(device).or_insert(greatest)
}

fn acked(reference: &mut Reference, device: &'static str, to: usize) {
    if let Some(has) = reference.acked.get_mut(device)
        && to > *has
    {
        *has = to;
        reference.ever_acked = true;
    }
}

/// Everything from the first page on.
async fn read_on(
    gateway: &Gateway,
    user: &str,
    device: &str,
    connection: &Connection,
) -> Result<Vec<Cursor>> {
    let mut page = connection.page().clone();
    let mut all = cursors(&page.frames);
    while page.more {
        page = gateway.page(user, device, page.end).await?;
        assert_eq!(page.gap, None);
        all.extend(cursors(&page.frames));
    }
    Ok(all)
}

async fn whole(gateway: &Gateway, user: &str) -> Result<Vec<carillon_common::notification::Frame>> {
    let mut page = gateway.page(user, "anyone", Cursor::ZERO).await?;
    let mut all = page.frames.clone();
    while page.more {
        page = gateway.page(user, "anyone", page.end).await?;
        all.extend(page.frames.clone());
    }
    Ok(all)
}

pub(super) async fn senders_at_once_make_one_chain(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_max: 1_000,
        page: 1_000,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let mut accepted: HashSet<Cursor> = HashSet::new();
    for task in senders(&world, 8, 25) {
        accepted.extend(task.await??);
    }
    let kept = cursors(&gateway.kept("alice").await?);
    assert_eq!((accepted.len(), kept.len()), (200, 200));
    assert!(kept.iter().all(|cursor| accepted.contains(cursor)));
    assert!(kept.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    let mut at = Cursor::ZERO;
    for (prev, frame) in gateway.heard.inbox(&"alice".parse()?, 200).await? {
        assert_eq!(prev, at, "told in the order of the chain");
        at = frame.cursor;
    }
    Ok(())
}

/// As a gateway does: registers, takes the page, then whatever hint continues it; a hint that does
/// not is answered by reading on.
pub(super) async fn a_reader_that_comes_and_goes_sees_each_one_once(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let limits = Limits {
        inbox_max: 10_000,
        page: 16,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateways = [
        world.gateway("one").await?,
        world.other_gateway("two").await?,
    ];
    let done = Arc::new(AtomicBool::new(false));
    let sending = {
        let (tasks, done) = (senders(&world, 8, 40), Arc::clone(&done));
        tokio::spawn(async move {
            let mut accepted = Vec::new();
            for task in tasks {
                accepted.extend(task.await??);
            }
            done.store(true, Ordering::Release);
            anyhow::Ok(accepted)
        })
    };
    let mut seen: Vec<Cursor> = Vec::new();
    let mut at: Option<Cursor> = None;
    for round in 0.. {
        let last_round = done.load(Ordering::Acquire);
        let gateway = &gateways[round % 2];
        let heard_before = gateway.heard.events().len();
        let phone = gateway.connect_since("alice", "phone", at).await?;
        assert_eq!(phone.page().gap, None);
        seen.extend(read_on(gateway, "alice", "phone", &phone).await?);
        tokio::time::sleep(Duration::from_millis(2)).await;
        for event in &gateway.heard.events()[heard_before..] {
            if let BusEvent::Inbox { prev, frame, .. } = event
                && *prev == seen.last().copied().unwrap_or(Cursor::ZERO)
            {
                seen.push(frame.cursor);
            }
        }
        at = seen.last().copied();
        if round % 3 == 0 {
            phone.end().await?;
        }
        if let Some(at) = at.filter(|_| round % 2 == 0) {
            phone.ack(at).await?;
        }
        if last_round {
            break;
        }
    }
    let accepted = tokio::time::timeout(DEADLINE, sending).await???;
    let distinct: HashSet<Cursor> = seen.iter().copied().collect();
    assert_eq!(
        (distinct.len(), seen.len()),
        (accepted.len(), accepted.len())
    );
    assert!(
        accepted.iter().all(|cursor| distinct.contains(cursor)),
        "nothing is lost"
    );
    assert!(
        seen.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1),
        "in order"
    );
    Ok(())
}

type Sender = tokio::task::JoinHandle<Result<Vec<Cursor>>>;

fn senders(world: &World, count: usize, each: usize) -> Vec<Sender> {
    let sender = |n: usize| {
        let backend = Arc::clone(if n.is_multiple_of(2) {
            &world.backend
        } else {
            &world.other
        });
        tokio::spawn(async move {
            let mut accepted = Vec::with_capacity(each);
            for _ in 0..each {
                let sent = backend.send(&order("alice", HOUR)?).await?;
                accepted.extend(sent.cursor);
                tokio::task::yield_now().await;
            }
            Ok(accepted)
        })
    };
    (0..count).map(sender).collect()
}
