//! What one user may take up.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{BackendError, Gap, Holder, Limits},
    ids::Cursor,
};

use super::{
    Stores,
    gateway::{Connection, Gateway, subscription},
    known_dead::died,
    world::{HOUR, SECOND, World, limits, order},
};

fn at(seq: u64) -> Cursor {
    Cursor { seq, nonce: 7 }
}

/// Twice as many are remembered when they are not connected.
fn devices(devices: u32) -> Limits {
    Limits {
        devices,
        ..limits()
    }
}

/// A device comes, reads all, and leaves; answers how many were forgotten for it.
async fn visits(gateway: &Gateway, device: &str, read: Cursor) -> Result<u64> {
    let connection = gateway.connect("alice", device).await?;
    connection.ack(read).await?;
    connection.end().await?;
    Ok(connection.registered.forgotten)
}

/// Until it is seen that the next device came later: some stores tell seconds apart.
async fn later(world: &World) {
    world.advance(SECOND + SECOND / 10).await;
}

pub(super) async fn the_device_not_seen_for_the_longest_is_forgotten(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, devices(2)).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 3).await?;
    let [first, last] = [sent[0], sent[2]];
    assert_eq!(visits(&gateway, "old", first).await?, 0);
    later(&world).await;
    for name in ["a", "b", "c", "d"] {
        assert_eq!(visits(&gateway, name, last).await?, 0, "{name}");
    }
    let old = gateway.connect("alice", "old").await?;
    assert_eq!(old.cursors(), sent[1..], "it is still known");
    old.end().await?;
    later(&world).await;
    for name in ["e", "f", "g", "h"] {
        assert_eq!(visits(&gateway, name, last).await?, 1, "{name}");
    }
    assert_eq!(gateway.connect("alice", "i").await?.registered.forgotten, 1);
    // Where one starts depends on which of those that were seen in one instant went first.
    let new = gateway.connect("alice", "new").await?;
    let old = gateway.connect("alice", "old").await?;
    assert_eq!(old.cursors(), new.cursors(), "it starts as any new device");
    Ok(())
}

pub(super) async fn a_connected_device_is_never_forgotten(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, devices(1)).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 3).await?;
    let connected = gateway.connect("alice", "connected").await?;
    connected.ack(sent[0]).await?;
    later(&world).await;
    let mut forgotten = 0;
    for name in ["a", "b", "c", "d", "e"] {
        forgotten += visits(&gateway, name, sent[2]).await?;
    }
    assert_eq!(forgotten, 2, "five came, and two of them are remembered");
    let again = gateway.connect("alice", "connected").await?;
    assert_eq!(again.cursors(), sent[1..]);
    Ok(())
}

pub(super) async fn what_anonymous_ones_left_is_forgotten_last(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, devices(1)).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 3).await?;
    visits(&gateway, "~tab", sent[0]).await?;
    later(&world).await;
    let mut forgotten = 0;
    for name in ["a", "b", "c", "d"] {
        forgotten += visits(&gateway, name, sent[2]).await?;
    }
    assert_eq!(forgotten, 2);
    let tab = gateway.connect("alice", "~other").await?;
    assert_eq!(tab.cursors(), sent[1..]);
    Ok(())
}

pub(super) async fn a_forgotten_device_is_told_what_is_missing(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_keep: 1,
        ..devices(1)
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 3).await?;
    visits(&gateway, "old", sent[0]).await?;
    later(&world).await;
    for name in ["a", "b", "c"] {
        visits(&gateway, name, sent[2]).await?;
    }
    // It no longer holds anything back.
    visits(&gateway, "d", sent[2]).await?;
    let next = world.send("alice").await?;
    let d = gateway.connect("alice", "d").await?;
    d.ack(next).await?;
    let old = gateway.connect_since("alice", "old", Some(sent[0])).await?;
    assert_eq!(old.page().gap, Some(Gap::Expired));
    let other = gateway.connect_since("alice", "other", Some(next)).await?;
    assert_eq!((other.page().gap, other.cursors()), (None, vec![]));
    Ok(())
}

pub(super) async fn durable_ones_go_with_their_device(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, devices(1)).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    phone.keep_durably("news", at(1)).await?;
    phone.end().await?;
    let tab = gateway.connect("alice", "~tab").await?;
    tab.keep_durably("sports", at(1)).await?;
    tab.end().await?;
    later(&world).await;
    for name in ["a", "b", "c"] {
        gateway.connect("alice", name).await?.end().await?;
    }
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.registered.subscriptions, []);
    let tab = gateway.connect("alice", "~tab").await?;
    let kept = [subscription("sports", at(1))?];
    assert_eq!(tab.registered.subscriptions, kept);
    Ok(())
}

#[track_caller]
fn too_many<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.err();
    let error = error
        .as_ref()
        .and_then(|it| it.downcast_ref::<BackendError>());
    assert!(
        matches!(error, Some(BackendError::TooManyConnections)),
        "{error:?}"
    );
}

fn of(connections: u32) -> Limits {
    Limits {
        connections,
        ..limits()
    }
}

pub(super) async fn connections_are_bounded_over_all_gateways(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, of(3)).await?;
    let gateways = [world.gateway("g").await?, world.other_gateway("h").await?];
    let phone = gateways[0].connect("alice", "phone").await?;
    gateways[1].connect("alice", "~one").await?;
    let two = gateways[1].connect("alice", "~two").await?;
    for gateway in &gateways {
        for device in ["laptop", "~three"] {
            let refused = gateway.connect("alice", device).await;
            too_many(refused.map(|it| it.registered));
        }
    }
    let there = world.backend.presence(&"alice".parse()?).await?;
    assert_eq!(there.len(), 3, "a refused one left something");
    // Whoever takes over or goes on is none more.
    gateways[1].connect("alice", "phone").await?;
    two.again(&gateways[1]).await?;
    gateways[0].connect("bob", "phone").await?;
    phone.end().await?; // late
    two.end().await?;
    gateways[0].connect("alice", "laptop").await?;
    too_many(
        gateways[0]
            .connect("alice", "~three")
            .await
            .map(|it| it.registered),
    );
    Ok(())
}

pub(super) async fn a_dead_gateways_connections_make_room_once_it_is_reaped(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, of(1)).await?;
    let dead = world.gateway("dead").await?;
    let lives = world.other_gateway("lives").await?;
    dead.connect("alice", "phone").await?;
    too_many(
        lives
            .connect("alice", "laptop")
            .await
            .map(|it| it.registered),
    );
    assert!(world.other.reap(&dead.name, died(&dead)?).await?);
    lives.connect("alice", "laptop").await?;
    Ok(())
}

pub(super) async fn however_many_end_at_once_all_do(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let mut tabs = Vec::new();
    for tab in 0..80 {
        tabs.push(gateway.connect("alice", &format!("~{tab}")).await?);
    }
    let stays = other.connect("alice", "phone").await?;
    let alice = &stays.registration.user;
    let held = [tabs[0].registered.fence, tabs[70].registered.fence];
    assert_eq!(gateway.release(alice, &held).await?, 78);
    assert_eq!(world.backend.presence(alice).await?.len(), 3);
    assert_eq!(gateway.release(alice, &[]).await?, 2);
    assert_eq!(gateway.release(alice, &[]).await?, 0);
    assert!(gateway.registered().await?.is_empty());
    assert!(stays.audit(&other).await?.registered);
    Ok(())
}

fn keeping(kept: u32) -> Limits {
    Limits {
        kept,
        restore: SECOND,
        ..limits()
    }
}

#[track_caller]
fn not_kept(outcome: Result<()>) {
    let error = outcome.err();
    let error = error
        .as_ref()
        .and_then(|it| it.downcast_ref::<BackendError>());
    assert!(
        matches!(error, Some(BackendError::TooManyChannels)),
        "{error:?}"
    );
}

async fn durable(phone: &Connection, gateway: &Gateway) -> Result<usize> {
    phone.end().await?;
    let phone = gateway.connect("alice", "phone").await?;
    Ok(phone.registered.subscriptions.len())
}

pub(super) async fn kept_subscriptions_are_bounded(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(4)).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let tab = other.connect("alice", "~tab").await?;
    phone.keep_durably("a", at(1)).await?;
    phone.keep_durably("b", at(1)).await?;
    tab.keep("b", at(1)).await?;
    tab.publish_position("c", at(1)).await?;
    for _ in 0..2 {
        not_kept(phone.keep_durably("d", at(1)).await);
        not_kept(tab.keep("d", at(1)).await);
        not_kept(tab.publish_position("a", at(1)).await);
    }
    // What is kept already may move.
    phone.keep_durably("a", at(2)).await?;
    tab.keep("b", at(2)).await?;
    let bob = gateway.connect("bob", "phone").await?;
    bob.keep_durably("d", at(1)).await?;

    let holder = Holder::Session(tab.registration.session.clone());
    tab.forget(&holder, "c").await?;
    phone.keep_durably("d", at(1)).await?;
    not_kept(phone.keep_durably("e", at(1)).await);
    assert_eq!(durable(&phone, &gateway).await?, 3);
    Ok(())
}

pub(super) async fn what_was_not_kept_is_not_left_either(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(1)).await?;
    let gateway = world.gateway("g").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    tab.keep("a", at(1)).await?;
    not_kept(tab.keep("b", at(1)).await);
    let left = vec![subscription("a", at(2))?, subscription("b", at(2))?];
    tab.end_with(None, left).await?;
    let claimed = gateway.claim("alice", "next").await?;
    assert_eq!(claimed.subscriptions, [subscription("a", at(2))?]);
    Ok(())
}

pub(super) async fn what_waits_for_nobody_makes_room(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(2)).await?;
    let gateway = world.gateway("g").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    let left = vec![subscription("a", at(1))?, subscription("b", at(1))?];
    for kept in &left {
        tab.keep(kept.channel.as_str(), kept.cursor).await?;
    }
    tab.end_with(None, left).await?;
    let phone = gateway.connect("alice", "phone").await?;
    not_kept(phone.keep_durably("c", at(1)).await);
    world.advance(SECOND + SECOND / 2).await;
    phone.keep_durably("c", at(1)).await?;
    phone.keep_durably("d", at(1)).await?;
    not_kept(phone.keep_durably("e", at(1)).await);
    assert_eq!(durable(&phone, &gateway).await?, 2);
    Ok(())
}

/// More than a store looks at for one send, by far.
const MANY: usize = 400;

pub(super) async fn a_large_inbox_makes_room_of_what_has_expired(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let limits = Limits {
        inbox_max: u32::try_from(MANY)?,
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let mut read = world.send("alice").await?;
    // Twice, because nothing of the first time may count for the second.
    for _ in 0..2 {
        let phone = gateway.connect("alice", "phone").await?;
        phone.ack(read).await?;
        phone.end().await?;
        let stays = world.send_many("alice", 10).await?;
        for _ in 0..MANY - 10 {
            world.send_for("alice", SECOND * 4).await?;
        }
        world.advance(SECOND * 5).await;
        let more = world.send_many("alice", MANY - 10).await?;
        let phone = gateway.connect_since("alice", "phone", Some(read)).await?;
        assert_eq!(phone.page().gap, None, "nobody was passed over");
        let mut page = phone.page().clone();
        let mut live = Vec::new();
        loop {
            let kept = page.frames.iter().filter(|frame| !frame.tombstone);
            live.extend(kept.map(|frame| frame.cursor));
            if !page.more {
                break;
            }
            page = gateway.page("alice", "phone", page.end).await?;
        }
        assert_eq!(live, [&stays[..], &more[..]].concat());
        phone.end().await?;
        // Full again, of what lasts.
        read = world.send("alice").await?;
        let phone = gateway.connect("alice", "phone").await?;
        assert_eq!(phone.page().gap, Some(Gap::TooMany));
        assert_eq!(phone.cursors()[0], stays[1], "one was passed over");
        let refused = world.order(&order("alice", HOUR)?).await;
        assert!(
            matches!(refused, Err(BackendError::InboxFull)),
            "{refused:?}"
        );
        phone.ack(read).await?;
        phone.end().await?;
    }
    Ok(())
}
