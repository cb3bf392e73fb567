//! What a user has read: it is the user's, whichever device says it, and changes nothing of what is delivered.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use carillon_common::{
    backend::{BusEvent, Limits, Look, ReadChange, ReadMark, Retraction},
    ids::{Cursor, UserId},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Stores,
    gateway::Gateway,
    world::{HOUR, SECOND, World, elsewhere, limits, order},
};

const ALL: Look = Look {
    after: None,
    backwards: false,
    limit: 256,
};

/// The changes that a gateway has heard of, once there are so many.
async fn changes(gateway: &Gateway, count: usize) -> Result<Vec<ReadChange>> {
    let alice: UserId = "alice".parse()?;
    let heard = gateway.heard.heard(count, |event| match event {
        BusEvent::Read { user, change } if *user == alice => Some(*change),
        _ => None,
    });
    heard.await
}

/// The positions that a look shows as read.
async fn shown_as_read(world: &World) -> Result<Vec<Cursor>> {
    let sight = world.backend.look(&"alice".parse()?, &ALL).await?;
    let sight = sight.context("no inbox")?;
    let read = sight.frames.iter().map(|frame| frame.cursor);
    Ok(read.filter(|at| sight.read.includes(*at)).collect())
}

pub(super) async fn one_all_up_to_a_position_and_all_are_marked(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let alice: UserId = "alice".parse()?;
    gateway.connect("alice", "phone").await?;
    let ids = [(); 6].map(|()| order("alice", HOUR));
    let mut sent = Vec::new();
    for order in ids {
        let order = order?;
        let cursor = world.order(&order).await?.cursor.context("not stored")?;
        sent.push((cursor, order.id));
    }
    let at = |index: usize| sent[index].0;
    let one = |index: usize| ReadChange::One {
        cursor: at(index),
        id: sent[index].1,
    };
    assert_eq!(world.other.unread(&alice).await?, 6);
    for (mark, changed, unread) in [
        (ReadMark::One(at(3)), true, 5),
        (ReadMark::One(at(3)), false, 5),
        (ReadMark::UpTo(at(1)), true, 3),
        (ReadMark::One(at(0)), false, 3),
        (ReadMark::UpTo(at(0)), false, 3),
        (ReadMark::UpTo(at(4)), true, 1),
        (ReadMark::All, true, 0),
        (ReadMark::All, false, 0),
    ] {
        let marked = world.backend.mark_read(&alice, mark).await?;
        assert_eq!(marked, Some(changed), "{mark:?}");
        assert_eq!(world.other.unread(&alice).await?, unread, "{mark:?}");
    }
    let expected = [
        one(3),
        ReadChange::UpTo(at(1)),
        ReadChange::UpTo(at(4)),
        ReadChange::UpTo(at(5)),
    ];
    // Of what changed nothing, nobody is told.
    world.send("alice").await?;
    gateway.heard.inbox(&alice, 7).await?;
    assert_eq!(changes(&gateway, 4).await?, expected);
    assert_eq!(world.backend.unread(&alice).await?, 1);
    Ok(())
}

pub(super) async fn what_is_not_kept_cannot_be_marked(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let alice: UserId = "alice".parse()?;
    let nowhere = Cursor { seq: 5, nonce: 7 };
    for mark in [ReadMark::One(nowhere), ReadMark::UpTo(nowhere)] {
        assert_eq!(world.backend.mark_read(&alice, mark).await?, None);
    }
    let marked = world.backend.mark_read(&alice, ReadMark::All).await?;
    assert_eq!(
        (marked, world.backend.unread(&alice).await?),
        (Some(false), 0)
    );
    let sent = world.send("alice").await?;
    let later = Cursor {
        seq: sent.seq + 1,
        ..sent
    };
    for at in [nowhere, elsewhere(sent), later] {
        for mark in [ReadMark::One(at), ReadMark::UpTo(at)] {
            let marked = world.backend.mark_read(&alice, mark).await?;
            assert_eq!(marked, None, "{mark:?}");
        }
    }
    assert_eq!(world.backend.unread(&alice).await?, 1);
    Ok(())
}

pub(super) async fn what_is_read_is_delivered_all_the_same(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let alice: UserId = "alice".parse()?;
    let sent = world.send_many("alice", 3).await?;
    world.backend.mark_read(&alice, ReadMark::All).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.cursors(), sent);
    phone.ack(sent[2]).await?;
    // And what is acked need not have been read.
    let next = world.send("alice").await?;
    phone.ack(next).await?;
    assert_eq!(world.backend.unread(&alice).await?, 1);
    assert_eq!(shown_as_read(&world).await?.last(), Some(&sent[2]));
    Ok(())
}

pub(super) async fn what_expired_or_was_taken_back_does_not_count(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let alice: UserId = "alice".parse()?;
    world.send_for("alice", SECOND).await?;
    let sent = world.send_many("alice", 2).await?;
    world.advance(SECOND + SECOND / 2).await;
    assert_eq!(world.backend.unread(&alice).await?, 2);
    let taken = world.backend.retract(&alice, sent[0]).await?;
    assert!(matches!(taken, Retraction::Done { .. }));
    assert_eq!(world.backend.unread(&alice).await?, 1);
    // It may be marked all the same: a page that shows it still does not know.
    let marked = world
        .backend
        .mark_read(&alice, ReadMark::One(sent[0]))
        .await?;
    assert_eq!(
        (marked, world.backend.unread(&alice).await?),
        (Some(true), 1)
    );
    Ok(())
}

pub(super) async fn who_is_forgotten_has_read_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let alice: UserId = "alice".parse()?;
    let sent = world.send_many("alice", 3).await?;
    world
        .backend
        .mark_read(&alice, ReadMark::One(sent[2]))
        .await?;
    world
        .backend
        .mark_read(&alice, ReadMark::UpTo(sent[0]))
        .await?;
    world.backend.erase(&alice).await?;
    world.send("alice").await?;
    assert_eq!(world.backend.unread(&alice).await?, 1);
    assert!(shown_as_read(&world).await?.is_empty());
    Ok(())
}

pub(super) async fn a_long_inbox_is_counted_whole(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_max: 400,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let alice: UserId = "alice".parse()?;
    let mut random = StdRng::seed_from_u64(7);
    let sent = world.send_many("alice", 300).await?;
    let mut read = vec![false; sent.len()];
    for turn in 0..60 {
        let at = random.random_range(0..sent.len());
        let mark = match turn % 10 {
            9 => {
                let at = at / 4;
                read[..=at].fill(true);
                ReadMark::UpTo(sent[at])
            }
            _ => {
                read[at] = true;
                ReadMark::One(sent[at])
            }
        };
        world.backend.mark_read(&alice, mark).await?;
        let unread = read.iter().filter(|read| !**read).count() as u64;
        assert_eq!(
            world.other.unread(&alice).await?,
            unread,
            "turn {turn}, {mark:?}"
        );
    }
    // And each piece of it is shown as it is.
    let mut look = ALL;
    let mut shown = Vec::new();
    loop {
        let sight = world
            .backend
            .look(&alice, &look)
            .await?
            .context("no inbox")?;
        let each = sight
            .frames
            .iter()
            .map(|frame| sight.read.includes(frame.cursor));
        shown.extend(each);
        look.after = sight.frames.last().map(|frame| frame.cursor);
        if !sight.more {
            break;
        }
    }
    assert_eq!(shown, read);
    Ok(())
}
