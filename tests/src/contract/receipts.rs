//! What services see of inboxes, what became of notifications, taking them back.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use carillon_common::{
    backend::{
        BackendError, BusEvent, DevicePosition, Fate, Gap, LeftReason, Limits, Look, Receipt,
        Retraction, SendOrder, Standing,
    },
    ids::{Cursor, NotificationId},
    notification::Frame,
};

use super::{
    Stores,
    recorder::Recorder,
    world::{HOUR, SECOND, World, cursors, limits, order},
};

const ALL: Look = Look {
    after: None,
    backwards: false,
    limit: 100,
};

async fn look(world: &World, look: Look) -> Result<(Vec<Frame>, bool)> {
    let sight = world.backend.look(&"alice".parse()?, &look).await?;
    let sight = sight.context("a position of no notification")?;
    Ok((sight.frames, sight.more))
}

async fn receipt(world: &World, cursor: Cursor) -> Result<Receipt> {
    let receipt = world.backend.receipt(&"alice".parse()?, cursor).await?;
    receipt.context("nothing is known of it")
}

/// What became of it at each device, by name; `~` for those without one.
async fn fates(world: &World, cursor: Cursor) -> Result<Vec<(String, Fate)>> {
    let devices = receipt(world, cursor).await?.devices.into_iter();
    let named = devices.map(|it| {
        let name = it.device.map_or("~".to_owned(), |name| name.to_string());
        (name, it.fate)
    });
    Ok(named.collect())
}

async fn fate(world: &World, cursor: Cursor) -> Result<Fate> {
    let fates = fates(world, cursor).await?;
    assert_eq!(fates.len(), 1, "{fates:?}");
    Ok(fates[0].1)
}

fn is_delivered(fate: Fate) -> bool {
    matches!(fate, Fate::Delivered(Some(_)))
}

fn left(fate: Fate) -> Option<LeftReason> {
    match fate {
        Fate::Left(reason, _) => Some(reason),
        _ => None,
    }
}

async fn collapsing(world: &World, key: &str) -> Result<(Cursor, NotificationId)> {
    let order = SendOrder {
        collapse_key: Some(key.parse()?),
        ..order("alice", HOUR)?
    };
    let sent = world.order(&order).await?;
    Ok((sent.cursor.context("it was not stored")?, order.id))
}

async fn heard_retracted(heard: &Recorder, cursor: Cursor) -> Result<NotificationId> {
    let of = |events: &[BusEvent]| {
        events.iter().find_map(|event| match event {
            BusEvent::Retracted {
                user,
                cursor: at,
                id,
            } if user.as_str() == "alice" && *at == cursor => Some(*id),
            _ => None,
        })
    };
    let events = heard
        .wait_for(|events| of(events).is_some(), 10 * SECOND)
        .await?;
    of(&events).context("nothing was heard")
}

pub(super) async fn an_inbox_is_seen_from_either_end(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let (nothing, more) = look(&world, ALL).await?;
    assert!(nothing.is_empty() && !more);
    let sent = world.send_many("alice", 7).await?;
    let (frames, more) = look(&world, ALL).await?;
    assert_eq!((cursors(&frames), more), (sent.clone(), false));

    let mut pages = Vec::new();
    let mut by_three = Look { limit: 3, ..ALL };
    loop {
        let (frames, more) = look(&world, by_three).await?;
        by_three.after = frames.last().map(|frame| frame.cursor);
        pages.push(cursors(&frames));
        if !more {
            break;
        }
    }
    assert_eq!(pages, [&sent[..3], &sent[3..6], &sent[6..]]);

    let newest = Look {
        limit: 3,
        backwards: true,
        ..ALL
    };
    let (frames, more) = look(&world, newest).await?;
    assert_eq!(cursors(&frames), [sent[6], sent[5], sent[4]]);
    assert!(more);
    let before = Look {
        after: Some(sent[2]),
        ..newest
    };
    let (frames, more) = look(&world, before).await?;
    assert_eq!((cursors(&frames), more), (vec![sent[1], sent[0]], false));
    let (after_the_last, more) = look(
        &world,
        Look {
            after: Some(sent[6]),
            ..ALL
        },
    )
    .await?;
    assert!(after_the_last.is_empty() && !more);
    Ok(())
}

pub(super) async fn looking_moves_nobody(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    phone.ack(sent[0]).await?;
    look(&world, ALL).await?;
    receipt(&world, sent[1]).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(
        (phone.cursors(), phone.page().gap),
        (sent[1..].to_vec(), None)
    );
    Ok(())
}

pub(super) async fn devices_are_where_their_acks_are(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let user = "alice".parse()?;
    let nobody = world.backend.devices(&user).await?;
    assert_eq!((nobody.last, nobody.devices), (Cursor::ZERO, Vec::new()));

    let gateway = world.gateway("g").await?;
    let early = gateway.connect("alice", "early").await?;
    let sent = world.send_many("alice", 3).await?;
    let late = gateway.connect("alice", "late").await?;
    let before = world.backend.clock().now();
    early.ack(sent[1]).await?;
    let told = world.backend.devices(&user).await?;
    assert_eq!(told.last, sent[2]);
    let [one, other] = &told.devices[..] else {
        panic!("{told:?}")
    };
    let name = |device: &DevicePosition| device.device.as_ref().map(ToString::to_string);
    assert_eq!(
        (name(one), name(other)),
        (Some("early".into()), Some("late".into()))
    );
    assert_eq!(one.position, sent[1]);
    let acked_at = one.acked_at.context("when it acked is not known")?;
    assert!(acked_at >= before - 1_000 && acked_at <= before + 60_000);
    assert_eq!(other.acked_at, None);

    late.ack(sent[2]).await?;
    let told = world.backend.devices(&user).await?;
    let positions: Vec<_> = told.devices.iter().map(|it| it.position).collect();
    assert_eq!(positions, [sent[1], sent[2]]);
    Ok(())
}

pub(super) async fn a_position_of_no_notification_is_told_apart(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let sent = world.send_many("alice", 2).await?;
    let foreign = Cursor {
        nonce: sent[0].nonce ^ 1,
        ..sent[0]
    };
    let beyond = Cursor {
        seq: sent[1].seq + 1,
        ..sent[1]
    };
    let user = "alice".parse()?;
    for cursor in [foreign, beyond] {
        let after = Look {
            after: Some(cursor),
            ..ALL
        };
        assert_eq!(world.backend.look(&user, &after).await?, None);
        assert_eq!(world.backend.receipt(&user, cursor).await?, None);
        let retracted = world.backend.retract(&user, cursor).await?;
        assert_eq!(retracted, Retraction::Gone);
    }
    assert_eq!(world.backend.receipt(&"bob".parse()?, sent[0]).await?, None);
    Ok(())
}

pub(super) async fn what_is_acked_was_delivered(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let before = world.backend.clock().now();
    let phone = gateway.connect("alice", "phone").await?;
    let tablet = gateway.connect("alice", "tablet").await?;
    let sent = world.send_many("alice", 3).await?;
    phone.ack(sent[1]).await?;
    tablet.ack(sent[0]).await?;
    let of = |name: &str, fate| (name.to_owned(), fate);
    let first = fates(&world, sent[0]).await?;
    assert!(
        first.iter().all(|(_, fate)| is_delivered(*fate)),
        "{first:?}"
    );
    let second = fates(&world, sent[1]).await?;
    let Fate::Delivered(Some(at)) = second[0].1 else {
        panic!("{second:?}")
    };
    assert!(at >= before - 1_000 && at <= before + 60_000);
    assert_eq!(second[1], of("tablet", Fate::Queued));
    let third = fates(&world, sent[2]).await?;
    assert_eq!(
        third,
        [of("phone", Fate::Queued), of("tablet", Fate::Queued)]
    );
    // On another connection, after it was away.
    phone.end().await?;
    gateway
        .connect("alice", "phone")
        .await?
        .ack(sent[2])
        .await?;
    assert!(is_delivered(fates(&world, sent[2]).await?[0].1));
    Ok(())
}

pub(super) async fn a_device_that_came_later_is_not_addressed(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let early = world.send("alice").await?;
    phone.ack(early).await?;
    let tablet = gateway.connect("alice", "tablet").await?;
    let late = world.send("alice").await?;
    tablet.ack(late).await?;
    let early = fates(&world, early).await?;
    assert!(is_delivered(early[0].1));
    assert_eq!(early[1], ("tablet".to_owned(), Fate::NotAddressed));
    assert!(is_delivered(fates(&world, late).await?[1].1));
    Ok(())
}

pub(super) async fn connections_without_a_name_are_one_device(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let (one, other) = (
        gateway.connect("alice", "~a").await?,
        gateway.connect("alice", "~b").await?,
    );
    let sent = world.send_many("alice", 2).await?;
    one.ack(sent[0]).await?;
    let [(name, fate)] = &fates(&world, sent[0]).await?[..] else {
        panic!("not one")
    };
    assert!(name == "~" && is_delivered(*fate), "{name} {fate:?}");
    assert_eq!(
        fates(&world, sent[1]).await?,
        [("~".to_owned(), Fate::Queued)]
    );
    one.end().await?;
    other.end().await?;
    assert!(is_delivered(fates(&world, sent[0]).await?[0].1));
    Ok(())
}

pub(super) async fn what_expired_first_is_never_delivered(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?.end().await?;
    let short = world.send_for("alice", SECOND).await?;
    let long = world.send("alice").await?;
    assert_eq!(fate(&world, short).await?, Fate::Queued);
    world.advance(SECOND + SECOND / 2).await;
    assert_eq!(left(fate(&world, short).await?), Some(LeftReason::Expired));
    // It comes, is given what has not expired, and says so.
    let phone = gateway.connect("alice", "phone").await?;
    phone.ack_with(long, None, vec![short]).await?;
    assert_eq!(left(fate(&world, short).await?), Some(LeftReason::Expired));
    assert!(is_delivered(fate(&world, long).await?));
    Ok(())
}

pub(super) async fn who_is_passed_over_has_it_dropped(on: Arc<dyn Stores>) -> Result<()> {
    let three = Limits {
        inbox_max: 3,
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, three).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    phone.end().await?;
    let sent = world.send_many("alice", 4).await?;
    assert_eq!(
        left(fate(&world, sent[0]).await?),
        Some(LeftReason::Dropped)
    );
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.page().gap, Some(Gap::TooMany));
    phone.ack(sent[3]).await?;
    assert_eq!(
        left(fate(&world, sent[0]).await?),
        Some(LeftReason::Dropped)
    );
    assert!(is_delivered(fate(&world, sent[3]).await?));
    assert!(
        is_delivered(fate(&world, first).await?),
        "known after it was trimmed"
    );
    assert_eq!(receipt(&world, first).await?.standing, Standing::Trimmed);
    Ok(())
}

pub(super) async fn what_is_taken_back_is_given_to_nobody_more(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    gateway.connect("alice", "tablet").await?.end().await?;
    let given = order("alice", HOUR)?;
    let sent = world.order(&given).await?.cursor.context("not stored")?;
    let last = world.send("alice").await?;
    phone.ack(sent).await?;
    world.advance(SECOND / 20).await;
    let user = "alice".parse()?;
    let taken = world.backend.retract(&user, sent).await?;
    assert_eq!(taken, Retraction::Done { devices: 1 });
    assert_eq!(heard_retracted(&gateway.heard, sent).await?, given.id);
    let again = world.backend.retract(&user, sent).await?;
    assert_eq!(again, Retraction::Left, "once");

    // The chain is whole, and nothing of it is given.
    let tablet = gateway.connect("alice", "tablet").await?;
    assert_eq!(
        (tablet.cursors(), tablet.page().gap),
        (vec![sent, last], None)
    );
    assert!(tablet.page().frames[0].tombstone && tablet.page().frames[0].body.is_empty());
    assert_eq!(tablet.page().frames[0].id, given.id);
    tablet.ack(last).await?;
    let fates = fates(&world, sent).await?;
    assert!(is_delivered(fates[0].1), "phone had it: {fates:?}");
    assert_eq!(left(fates[1].1), Some(LeftReason::Retracted), "{fates:?}");
    Ok(())
}

pub(super) async fn what_has_expired_cannot_be_taken_back(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let short = world.send_for("alice", SECOND).await?;
    world.advance(SECOND + SECOND / 2).await;
    let user = "alice".parse()?;
    assert_eq!(world.backend.retract(&user, short).await?, Retraction::Left);
    let receipt = receipt(&world, short).await?;
    assert_eq!(receipt.left.map(|(it, _)| it), Some(LeftReason::Expired));
    assert!(receipt.devices.is_empty());
    Ok(())
}

pub(super) async fn the_next_of_a_key_replaces_the_one_before(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "tablet").await?.end().await?;
    let phone = gateway.connect("alice", "phone").await?;
    let (one, id) = collapsing(&world, "order-1").await?;
    let between = world.send("alice").await?;
    let (other, _) = collapsing(&world, "order-2").await?;
    phone.ack(one).await?;
    world.advance(SECOND / 20).await;
    let (two, _) = collapsing(&world, "order-1").await?;
    assert_eq!(heard_retracted(&gateway.heard, one).await?, id);
    let tablet = gateway.connect("alice", "tablet").await?;
    assert_eq!(tablet.cursors(), [one, between, other, two]);
    let given = tablet.page().frames.iter().map(|it| !it.tombstone);
    assert_eq!(given.collect::<Vec<_>>(), [false, true, true, true]);
    let fates = fates(&world, one).await?;
    assert!(is_delivered(fates[0].1), "{fates:?}");
    assert_eq!(left(fates[1].1), Some(LeftReason::Replaced), "{fates:?}");
    Ok(())
}

pub(super) async fn a_repeated_order_replaces_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let order = SendOrder {
        collapse_key: Some("k".parse()?),
        ..order("alice", HOUR)?
    };
    let first = world.order(&order).await?;
    let again = world.order(&order).await?;
    assert_eq!((again.cursor, again.repeated), (first.cursor, true));
    let (frames, _) = look(&world, ALL).await?;
    assert_eq!(frames.len(), 1);
    assert!(!frames[0].tombstone);
    Ok(())
}

pub(super) async fn what_is_replaced_makes_room(on: Arc<dyn Stores>) -> Result<()> {
    let three = Limits {
        inbox_max: 3,
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, three).await?;
    collapsing(&world, "k").await?;
    world.send_many("alice", 2).await?;
    let refused = world.order(&order("alice", HOUR)?).await;
    assert!(matches!(refused, Err(BackendError::InboxFull)));
    let (newest, _) = collapsing(&world, "k").await?;
    let (frames, _) = look(&world, ALL).await?;
    let given: Vec<_> = frames.iter().filter(|it| !it.tombstone).collect();
    assert_eq!(given.len(), 3);
    assert_eq!(given[2].cursor, newest);
    Ok(())
}

pub(super) async fn what_is_refused_replaces_nothing(on: Arc<dyn Stores>) -> Result<()> {
    // Tombstones may at most double the list, so that in the end there is no room for one more.
    let two = Limits {
        inbox_max: 2,
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, two).await?;
    let mut accepted = Vec::new();
    // What stands at the head, so that no tombstone does, which could go.
    world.send("alice").await?;
    let refused = loop {
        let order = SendOrder {
            collapse_key: Some("k".parse()?),
            ..order("alice", HOUR)?
        };
        match world.order(&order).await {
            Ok(sent) => accepted.extend(sent.cursor),
            Err(error) => break error,
        }
        assert!(accepted.len() < 20, "it is never full");
    };
    assert!(matches!(refused, BackendError::InboxFull), "{refused:?}");
    let (frames, _) = look(&world, ALL).await?;
    let given: Vec<_> = frames.iter().filter(|it| !it.tombstone).collect();
    assert_eq!(given.len(), 2);
    assert_eq!(Some(&given[1].cursor), accepted.last());
    assert!(!given[1].body.is_empty());
    Ok(())
}

pub(super) async fn what_is_refused_replaces_nothing_though_others_leave(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let few = Limits {
        inbox_max: 3,
        inbox_keep: 20,
        device_ttl: SECOND,
        ..limits()
    };
    let world = World::new(&*on, few).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?.end().await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    // Nobody waits for the phone any more, so that there is room for more than it could be owed.
    world.advance(3 * SECOND).await;
    let keyed = || {
        anyhow::Ok(SendOrder {
            collapse_key: Some("k".parse()?),
            ..order("alice", HOUR)?
        })
    };
    let orders = [SECOND, SECOND, SECOND, HOUR, HOUR, HOUR, HOUR].map(|ttl| order("alice", ttl));
    let mut last = None;
    for order in orders.into_iter().chain([keyed()]) {
        let sent = world.order(&order?).await?;
        last = sent.cursor;
        laptop.ack(last.context("no cursor")?).await?;
    }
    world.advance(2 * SECOND).await;
    // It is owed all of it now: three have expired and leave, and five are too many.
    let _phone = gateway.connect("alice", "phone").await?;
    let next = keyed()?;
    for _ in 0..2 {
        let refused = world.order(&next).await;
        assert!(
            matches!(refused, Err(BackendError::InboxFull)),
            "{refused:?}"
        );
    }
    let (frames, _) = look(&world, ALL).await?;
    let given: Vec<_> = frames.iter().filter(|it| !it.tombstone).collect();
    assert_eq!(given.len(), 5, "{frames:?}");
    assert_eq!(given.last().map(|it| it.cursor), last);
    assert!(given.iter().all(|it| !it.body.is_empty()));
    Ok(())
}

pub(super) async fn a_forgotten_user_begins_anew(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    phone.ack(sent[0]).await?;
    phone.end().await?;
    let user = "alice".parse()?;
    assert!(world.backend.erase(&user).await?);
    assert!(
        !world.backend.erase(&user).await?,
        "there is nothing any more"
    );
    assert!(look(&world, ALL).await?.0.is_empty());
    assert_eq!(world.backend.receipt(&user, sent[2]).await?, None);
    world.advance(SECOND / 20).await;
    let next = world.send("alice").await?;
    assert!(next.seq > sent[2].seq, "numbers only grow");
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!((phone.cursors(), phone.page().gap), (vec![next], None));
    Ok(())
}

pub(super) async fn marks_are_bounded_and_say_so(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let mut sent = Vec::new();
    for _ in 0..40 {
        let cursor = world.send("alice").await?;
        phone.ack(cursor).await?;
        sent.push(cursor);
    }
    for cursor in [sent[0], sent[39]] {
        assert!(is_delivered(fate(&world, cursor).await?));
    }
    Ok(())
}
