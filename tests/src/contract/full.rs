//! A full inbox.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{BackendError, Gap, Limits},
    ids::Cursor,
};

use super::{
    Stores,
    world::{HOUR, SECOND, World, cursors, limits, order},
};

/// Three unread ones at most, and only the anchor stays.
fn of_three() -> Limits {
    Limits {
        inbox_max: 3,
        inbox_keep: 1,
        ..limits()
    }
}

async fn is_refused(world: &World) -> Result<()> {
    let outcome = world.order(&order("alice", HOUR)?).await;
    assert!(
        matches!(outcome, Err(BackendError::InboxFull)),
        "{outcome:?}"
    );
    Ok(())
}

pub(super) async fn nobody_ever_came_so_it_is_refused(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 3).await?;
    is_refused(&world).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent);
    Ok(())
}

pub(super) async fn nobody_ever_acked_so_it_is_refused(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    is_refused(&world).await?;
    phone.end().await?;
    is_refused(&world).await?;
    let heard = gateway.heard.inbox(&"alice".parse()?, 3).await?;
    assert_eq!(heard.len(), 3, "a refused one is not told");
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!((phone.cursors(), phone.page().gap), (sent.clone(), None));
    phone.ack(sent[0]).await?;
    world.send("alice").await?;
    is_refused(&world).await
}

pub(super) async fn a_connected_device_is_never_passed_over(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    let sent = world.send_many("alice", 3).await?;
    is_refused(&world).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!((phone.cursors(), phone.page().gap), (sent, None));
    Ok(())
}

pub(super) async fn nobody_is_passed_over_for_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    laptop.ack(first).await?;
    laptop.end().await?;
    let sent = world.send_many("alice", 3).await?;
    is_refused(&world).await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    assert_eq!((laptop.cursors(), laptop.page().gap), (sent, None));
    Ok(())
}

pub(super) async fn an_absent_device_is_passed_over_and_told_until_it_acks(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    phone.end().await?;
    let sent = world.send_many("alice", 5).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.cursors(), sent[2..], "just enough room was made");
    assert_eq!(phone.page().gap, Some(Gap::TooMany));
    // Whether the first telling arrived is only known by an ack.
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.page().gap, Some(Gap::TooMany));
    phone.ack(sent[2]).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(
        (phone.cursors(), phone.page().gap),
        (sent[3..].to_vec(), None)
    );
    Ok(())
}

pub(super) async fn a_client_passed_over_is_told_though_it_brings_its_position(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    phone.end().await?;
    let sent = world.send_many("alice", 5).await?;
    let phone = gateway.connect_since("alice", "phone", Some(first)).await?;
    assert_eq!(phone.page().gap, Some(Gap::TooMany));
    assert_eq!(phone.cursors(), sent[2..]);
    Ok(())
}

pub(super) async fn a_client_ahead_of_the_passed_over_place_misses_nothing(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    phone.end().await?;
    let sent = world.send_many("alice", 5).await?;
    let phone = gateway
        .connect_since("alice", "phone", Some(sent[3]))
        .await?;
    assert_eq!(
        (phone.cursors(), phone.page().gap),
        (sent[4..].to_vec(), None)
    );
    Ok(())
}

pub(super) async fn the_one_behind_is_passed_over_and_the_others_are_not(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let behind = gateway.connect("alice", "behind").await?;
    behind.end().await?;
    let reads = gateway.connect("alice", "reads").await?;
    let mut sent: Vec<Cursor> = Vec::new();
    for _ in 0..6 {
        sent.push(world.send("alice").await?);
        reads.ack(sent[sent.len() - 1]).await?;
    }
    let behind = gateway.connect("alice", "behind").await?;
    assert_eq!(behind.page().gap, Some(Gap::TooMany));
    assert_eq!(behind.cursors(), sent[3..]);
    let reads = gateway.connect("alice", "reads").await?;
    assert_eq!((reads.cursors(), reads.page().gap), (vec![], None));
    Ok(())
}

pub(super) async fn a_passed_over_device_that_acks_is_whole_again(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    phone.end().await?;
    let sent = world.send_many("alice", 4).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.page().gap, Some(Gap::TooMany));
    phone.ack(sent[3]).await?;
    phone.end().await?;
    let next = world.send("alice").await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!((phone.cursors(), phone.page().gap), (vec![next], None));
    Ok(())
}

pub(super) async fn expired_ones_make_room_first(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    for _ in 0..2 {
        world.send_for("alice", SECOND).await?;
    }
    let third = world.send("alice").await?;
    is_refused(&world).await?;
    world.advance(SECOND + SECOND / 2).await;
    let more = world.send_many("alice", 2).await?;
    is_refused(&world).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.page().gap, None);
    let now = world.backend.clock().now();
    let deliverable: Vec<Cursor> = phone
        .page()
        .frames
        .iter()
        .filter(|frame| frame.deliverable(now))
        .map(|frame| frame.cursor)
        .collect();
    assert_eq!(deliverable, [third, more[0], more[1]]);
    Ok(())
}

pub(super) async fn expired_ones_at_the_head_are_no_gap(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    phone.ack(first).await?;
    phone.end().await?;
    for _ in 0..2 {
        world.send_for("alice", SECOND).await?;
    }
    let kept = world.send("alice").await?;
    world.advance(SECOND + SECOND / 2).await;
    let next = world.send("alice").await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.page().gap, None);
    let live = phone.page().frames.iter().filter(|frame| !frame.tombstone);
    let live: Vec<Cursor> = live.map(|frame| frame.cursor).collect();
    assert!(live.ends_with(&[kept, next]), "{live:?}");
    Ok(())
}

pub(super) async fn expired_ones_in_the_middle_leave_the_chain_whole(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    let first = world.send("alice").await?;
    let middle = world.send_for("alice", SECOND).await?;
    let third = world.send("alice").await?;
    world.advance(SECOND + SECOND / 2).await;
    let fourth = world.send("alice").await?;
    is_refused(&world).await?;
    let kept = gateway.kept("alice").await?;
    assert_eq!(cursors(&kept), [first, middle, third, fourth]);
    let tombstones: Vec<bool> = kept.iter().map(|frame| frame.tombstone).collect();
    assert_eq!(tombstones, [false, true, false, false]);
    assert!(kept[1].body.is_empty());
    let phone = gateway
        .connect_since("alice", "phone", Some(middle))
        .await?;
    assert_eq!(
        (phone.cursors(), phone.page().gap),
        (vec![third, fourth], None)
    );
    Ok(())
}

pub(super) async fn many_that_expire_behind_one_that_stays_are_bounded(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of_three()).await?;
    let gateway = world.gateway("g").await?;
    world.send("alice").await?;
    let mut accepted = 1;
    for _ in 0..10 {
        for _ in 0..2 {
            let outcome = world.order(&order("alice", SECOND / 20)?).await;
            accepted += u32::from(outcome.is_ok());
        }
        world.advance(SECOND / 10).await;
    }
    assert!(accepted >= 4);
    let kept = gateway.kept("alice").await?.len();
    assert!(kept <= 8, "{kept} frames for a bound of three");
    Ok(())
}
