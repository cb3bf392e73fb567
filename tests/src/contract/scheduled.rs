//! What waits for its time: kept until then, listed, taken back, and delivered once.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use carillon_common::{
    backend::{
        Agenda, Awaited, BackendError, Cancellation, FARTHEST_AHEAD, Fired, Idempotency,
        LATEST_PAST, LeftReason, Limits, SendOrder, Sent,
    },
    ids::{Millis, NotificationId, UserId},
};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    Stores,
    world::{HOUR, SECOND, World, idempotency, limits, order},
};

/// An order for so long from now.
fn later(world: &World, user: &str, in_: Duration) -> Result<SendOrder> {
    Ok(SendOrder {
        due: Some(world.backend.clock().now() + millis(in_)),
        ..order(user, HOUR)?
    })
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

fn alice() -> Result<UserId> {
    Ok("alice".parse()?)
}

/// Has an order accepted that is due already.
async fn overdue(world: &World, user: &str) -> Result<NotificationId> {
    let order = later(world, user, Duration::ZERO)?;
    world.order(&order).await?;
    // Clocks of processes differ by some milliseconds from the store's.
    world.advance(SECOND / 20).await;
    Ok(order.id)
}

async fn page(world: &World, after: Option<&Agenda>, limit: u32) -> Result<Agenda> {
    let last = after.and_then(|page| page.waiting.last());
    let after = last.map(|waiting| waiting.place());
    Ok(world.other.agenda(&alice()?, after, limit).await?)
}

fn ids(agenda: &Agenda) -> Vec<NotificationId> {
    agenda.waiting.iter().map(|waiting| waiting.id).collect()
}

/// Whether these are told of now for whom something is due.
async fn told_of(world: &World, user: &str) -> Result<bool> {
    let due = world.backend.take_due().await?;
    Ok(due.users.contains(&user.parse()?))
}

#[track_caller]
fn is_done(fired: Fired) -> Duration {
    match fired {
        Fired::Done { lag, .. } => lag,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn it_waits_and_comes_when_it_is_due(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let order = later(&world, "alice", SECOND)?;
    let due = order.due.context("for later")?;
    let expected = Sent {
        cursor: None,
        due: Some(due),
        devices: 1,
        user_seen: true,
        repeated: false,
        former: false,
    };
    assert_eq!(world.order(&order).await?, expected);
    assert!(!told_of(&world, "alice").await?);
    assert_eq!(world.backend.fire(&alice()?).await?, Fired::None);
    let Awaited::Waiting(waiting) = world.other.awaited(&alice()?, order.id).await? else {
        panic!("it does not wait")
    };
    assert_eq!((waiting.due, &waiting.body), (due, &order.body));
    assert_eq!(waiting.expires_at(), due + millis(HOUR));
    assert!(gateway.kept("alice").await?.is_empty());

    world.advance(SECOND + SECOND / 10).await;
    assert!(told_of(&world, "alice").await?);
    let fired = world.other.fire(&alice()?).await?;
    assert!(is_done(fired) < 10 * SECOND && !fired.more(), "{fired:?}");
    let heard = gateway.heard.inbox(&order.user, 1).await?;
    let frame = &heard[0].1;
    assert_eq!((frame.id, &frame.body), (order.id, &order.body));
    assert!(frame.stored_at >= due, "{} ms early", due - frame.stored_at);
    assert_eq!(frame.expires_at, due + millis(HOUR));
    assert_eq!(gateway.kept("alice").await?.len(), 1);
    assert_eq!(world.backend.fire(&alice()?).await?, Fired::None);
    let awaited = world.backend.awaited(&alice()?, order.id).await?;
    assert_eq!(awaited, Awaited::Gone);
    Ok(())
}

pub(super) async fn a_repeated_order_waits_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let order = SendOrder {
        idempotency: Idempotency {
            ttl: SECOND,
            ..idempotency("key", "hash")
        },
        ..later(&world, "alice", 2 * SECOND)?
    };
    let first = world.order(&order).await?;
    let again = world.other.send(&order).await?;
    let repeated = Sent {
        repeated: true,
        ..first.clone()
    };
    assert_eq!((first.repeated, &again), (false, &repeated));
    let other = SendOrder {
        idempotency: idempotency("key", "other"),
        ..order.clone()
    };
    let mismatch = world.order(&other).await;
    assert!(
        matches!(mismatch, Err(BackendError::IdempotencyMismatch)),
        "{mismatch:?}"
    );
    // While it waits it is known by its id, whatever became of its key.
    world.advance(SECOND + SECOND / 5).await;
    assert_eq!(world.order(&order).await?, repeated);
    assert_eq!(page(&world, None, 10).await?.waiting.len(), 1);
    // And after it came, by its key.
    let mut fired = world.backend.fire(&alice()?).await?;
    while fired == Fired::None {
        world.advance(SECOND / 10).await;
        assert!(world.order(&order).await?.repeated);
        fired = world.backend.fire(&alice()?).await?;
    }
    is_done(fired);
    assert_eq!(world.order(&order).await?, repeated);
    assert_eq!(gateway.kept("alice").await?.len(), 1);
    assert!(page(&world, None, 10).await?.waiting.is_empty());
    Ok(())
}

pub(super) async fn each_is_delivered_once_however_many_deliver(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let mut expected = Vec::new();
    for _ in 0..20 {
        expected.push(overdue(&world, "alice").await?);
    }
    let tasks = (0..8).map(|n| {
        let backend = Arc::clone(match n % 2 {
            0 => &world.backend,
            _ => &world.other,
        });
        tokio::spawn(async move {
            let (user, mut done) = ("alice".parse()?, 0);
            loop {
                match backend.fire(&user).await? {
                    Fired::None => return anyhow::Ok(done),
                    fired => done += u32::from(matches!(fired, Fired::Done { .. })),
                }
            }
        })
    });
    let mut done = 0;
    for task in join_all(tasks.collect::<Vec<_>>()).await {
        done += task??;
    }
    let kept: Vec<_> = gateway
        .kept("alice")
        .await?
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!((done, kept), (20, expected), "in their order");
    Ok(())
}

pub(super) async fn it_is_cancelled_or_delivered_never_both(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let (mut cancelled, mut delivered) = (0, 0);
    for turn in 0..40 {
        let name = format!("user-{turn}");
        let user: UserId = name.parse()?;
        let id = overdue(&world, &name).await?;
        let cancels = {
            let (backend, user) = (Arc::clone(&world.backend), user.clone());
            tokio::spawn(async move { backend.cancel(&user, id).await })
        };
        let fires = {
            let (backend, user) = (Arc::clone(&world.other), user.clone());
            tokio::spawn(async move { backend.fire(&user).await })
        };
        let (cancellation, fired) = (cancels.await??, fires.await??);
        match (cancellation, fired) {
            (Cancellation::Done, Fired::None) => cancelled += 1,
            (Cancellation::Gone, Fired::Done { .. }) => delivered += 1,
            both => panic!("{both:?}"),
        }
        let kept = gateway.kept(&name).await?.len();
        let expected = usize::from(cancellation == Cancellation::Gone);
        assert_eq!(kept, expected, "{cancellation:?}");
    }
    assert_eq!(cancelled + delivered, 40);
    Ok(())
}

pub(super) async fn what_waits_is_listed_by_when_it_is_due(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    assert!(page(&world, None, 10).await?.waiting.is_empty());
    let at = world.backend.clock().now() + millis(HOUR);
    let mut expected = Vec::new();
    for (due, id) in [(at + 5, 1), (at, 9), (at, 3), (at + 5, 7), (at + 9, 2)] {
        let order = SendOrder {
            due: Some(due),
            id: Uuid::from_u128(id),
            collapse_key: Some("key".parse()?),
            ..order("alice", HOUR)?
        };
        world.order(&order).await?;
        expected.push((due, order.id));
    }
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let all = page(&world, None, 10).await?;
    assert_eq!((ids(&all), all.more), (expected.clone(), false));
    let key = all.waiting[0].collapse_key.as_ref().context("no key")?;
    assert_eq!(key.as_str(), "key");
    let first = page(&world, None, 2).await?;
    assert_eq!((ids(&first), first.more), (expected[..2].to_vec(), true));
    // What stood at that place may have left since.
    world.backend.cancel(&alice()?, expected[1]).await?;
    let second = page(&world, Some(&first), 2).await?;
    assert_eq!((ids(&second), second.more), (expected[2..4].to_vec(), true));
    let last = page(&world, Some(&second), 2).await?;
    assert_eq!((ids(&last), last.more), (expected[4..].to_vec(), false));
    Ok(())
}

pub(super) async fn pages_of_what_waits_are_bounded_in_bytes(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    for _ in 0..5 {
        let order = SendOrder {
            body: format!("\"{}\"", "|x".repeat(15 << 10)).into(),
            ..later(&world, "alice", HOUR)?
        };
        world.order(&order).await?;
    }
    let (mut seen, mut last) = (HashSet::new(), None);
    for turn in 0..5 {
        let next = page(&world, last.as_ref(), 100).await?;
        assert!(next.waiting.len() <= 2, "{}", next.waiting.len());
        seen.extend(ids(&next));
        if !next.more {
            ensure!(turn == 2, "{turn} pages");
            break;
        }
        last = Some(next);
    }
    assert_eq!(seen.len(), 5);
    Ok(())
}

pub(super) async fn what_is_cancelled_comes_to_nobody(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let alice = alice()?;
    let id = overdue(&world, "alice").await?;
    let stays = overdue(&world, "alice").await?;
    for expected in [Cancellation::Done, Cancellation::Left, Cancellation::Left] {
        assert_eq!(world.other.cancel(&alice, id).await?, expected);
    }
    let awaited = world.backend.awaited(&alice, id).await?;
    assert_eq!(awaited, Awaited::Left(LeftReason::Retracted));
    let gone = world.backend.cancel(&alice, Uuid::new_v4()).await?;
    assert_eq!(gone, Cancellation::Gone);
    is_done(world.backend.fire(&alice).await?);
    let kept: Vec<_> = gateway
        .kept("alice")
        .await?
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(kept, [stays]);
    assert_eq!(
        world.backend.cancel(&alice, stays).await?,
        Cancellation::Gone
    );
    let only = overdue(&world, "bob").await?;
    world.backend.cancel(&"bob".parse()?, only).await?;
    assert!(!told_of(&world, "bob").await?);
    Ok(())
}

pub(super) async fn what_waits_is_bounded_for_each_user(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        scheduled: 2,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let first = later(&world, "alice", HOUR)?;
    world.order(&first).await?;
    world.order(&later(&world, "alice", HOUR)?).await?;
    let one_more = later(&world, "alice", HOUR)?;
    let refused = world.order(&one_more).await;
    assert!(
        matches!(refused, Err(BackendError::TooManyScheduled)),
        "{refused:?}"
    );
    world.order(&later(&world, "bob", HOUR)?).await?;
    assert!(world.order(&first).await?.repeated, "it needs no room");
    world.backend.cancel(&alice()?, first.id).await?;
    assert!(
        !world.order(&one_more).await?.repeated,
        "nothing was remembered"
    );
    Ok(())
}

pub(super) async fn what_is_due_too_early_or_too_late_is_refused(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let now = world.backend.clock().now();
    let (past, ahead) = (millis(LATEST_PAST), millis(FARTHEST_AHEAD));
    for (due, taken) in [
        (now - past - 5_000, false),
        (now + ahead + 5_000, false),
        (now - past + 5_000, true),
        (now + ahead - 5_000, true),
    ] {
        let order = SendOrder {
            due: Some(due),
            ..order("alice", HOUR)?
        };
        match world.order(&order).await {
            Ok(sent) => ensure!(taken && sent.due == Some(due), "{sent:?}"),
            Err(BackendError::NotThen) => ensure!(!taken, "{due} at {now} is refused"),
            Err(error) => return Err(error.into()),
        }
    }
    assert!(told_of(&world, "alice").await?, "what was due a moment ago");
    let lag = is_done(world.backend.fire(&alice()?).await?);
    assert!(lag > LATEST_PAST - 10 * SECOND, "{lag:?}");
    Ok(())
}

pub(super) async fn a_full_inbox_puts_it_off(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_max: 1,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send("alice").await?;
    let id = overdue(&world, "alice").await?;
    assert_eq!(world.backend.fire(&alice()?).await?, Fired::Full);
    world.advance(SECOND).await;
    assert!(
        !told_of(&world, "alice").await?,
        "it is not tried again at once"
    );
    let awaited = world.backend.awaited(&alice()?, id).await?;
    assert!(matches!(awaited, Awaited::Waiting(_)), "{awaited:?}");
    gateway.connect("alice", "phone").await?.ack(sent).await?;
    is_done(world.backend.fire(&alice()?).await?);
    Ok(())
}

pub(super) async fn whose_time_passes_before_it_can_come_has_expired(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let mut order = later(&world, "alice", Duration::ZERO)?;
    order.ttl = SECOND;
    // Before the next one, however soon that comes.
    order.due = order.due.map(|due| due - 100);
    world.order(&order).await?;
    let next = overdue(&world, "alice").await?;
    world.advance(SECOND + SECOND / 5).await;
    let expired = world.backend.fire(&alice()?).await?;
    assert_eq!(expired, Fired::Expired { more: true });
    let awaited = world.backend.awaited(&alice()?, order.id).await?;
    assert_eq!(awaited, Awaited::Left(LeftReason::Expired));
    assert!(!is_done(world.backend.fire(&alice()?).await?).is_zero());
    let kept: Vec<_> = gateway
        .kept("alice")
        .await?
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(kept, [next]);
    Ok(())
}

pub(super) async fn a_collapse_key_counts_when_it_comes(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let keyed = |order: SendOrder| -> Result<SendOrder> {
        Ok(SendOrder {
            collapse_key: Some("score".parse()?),
            ..order
        })
    };
    world
        .order(&keyed(later(&world, "alice", SECOND / 10)?)?)
        .await?;
    world.order(&keyed(order("alice", HOUR)?)?).await?;
    let tombstones = async || -> Result<Vec<bool>> {
        let kept = gateway.kept("alice").await?;
        Ok(kept.iter().map(|frame| frame.tombstone).collect())
    };
    assert_eq!(tombstones().await?, [false]);
    world.advance(SECOND / 5).await;
    is_done(world.backend.fire(&alice()?).await?);
    assert_eq!(tombstones().await?, [true, false]);
    Ok(())
}

pub(super) async fn nothing_waits_for_who_is_forgotten(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let id = overdue(&world, "alice").await?;
    overdue(&world, "alice").await?;
    assert!(world.backend.erase(&alice()?).await?);
    assert!(page(&world, None, 10).await?.waiting.is_empty());
    let awaited = world.backend.awaited(&alice()?, id).await?;
    assert_eq!(awaited, Awaited::Gone);
    assert!(!told_of(&world, "alice").await?);
    assert_eq!(world.backend.fire(&alice()?).await?, Fired::None);
    assert!(gateway.kept("alice").await?.is_empty());
    Ok(())
}

pub(super) async fn who_takes_a_user_up_has_it_alone_for_a_moment(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    for user in 0..30 {
        world
            .order(&later(&world, &format!("user-{user}"), Duration::ZERO)?)
            .await?;
    }
    world.advance(SECOND / 20).await;
    let mut taken = HashSet::new();
    loop {
        let one = world.backend.take_due().await?;
        let other = world.other.take_due().await?;
        let told = one.users.len() + other.users.len();
        let before = taken.len();
        taken.extend(one.users);
        taken.extend(other.users);
        assert_eq!(taken.len(), before + told, "somebody was told of twice");
        if !one.more && !other.more {
            break;
        }
    }
    assert_eq!(taken.len(), 30);
    // Who took them does nothing.
    world.advance(SECOND).await;
    assert!(!world.other.take_due().await?.users.is_empty());
    Ok(())
}
