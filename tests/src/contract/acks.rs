//! Acking and trimming.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{Limits, Registration},
    ids::Cursor,
};

use super::{
    Stores,
    gateway::registration,
    world::{SECOND, World, cursors, elsewhere, limits},
};

fn keeping(inbox_keep: u32) -> Limits {
    Limits {
        inbox_keep,
        ..limits()
    }
}

pub(super) async fn acks_never_go_back(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 4).await?;
    for at in [2, 0, 2, 1] {
        phone.ack(sent[at]).await?;
        assert_eq!(
            gateway.connect("alice", "phone").await?.cursors(),
            sent[3..]
        );
    }
    phone.ack(Cursor::ZERO).await?;
    assert_eq!(
        gateway.connect("alice", "phone").await?.cursors(),
        sent[3..]
    );
    Ok(())
}

pub(super) async fn acks_beyond_the_inbox_are_ignored(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let beyond = Cursor { seq: 5, nonce: 5 };
    phone.ack(beyond).await?;
    let sent = world.send_many("alice", 2).await?;
    let beyond = Cursor {
        seq: sent[1].seq + 1,
        nonce: 5,
    };
    phone.ack(beyond).await?;
    assert_eq!(gateway.connect("alice", "phone").await?.cursors(), sent);
    Ok(())
}

pub(super) async fn acks_of_another_history_are_ignored(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(1)).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    for at in [1, 2] {
        phone.ack(elsewhere(sent[at])).await?;
    }
    assert_eq!(gateway.connect("alice", "phone").await?.cursors(), sent);
    Ok(())
}

pub(super) async fn acks_of_unknown_devices_are_ignored(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(1)).await?;
    let gateway = world.gateway("g").await?;
    let stranger = gateway.connect("bob", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    let as_alice = super::gateway::Connection {
        registration: registration("alice", "phone", None)?,
        ..stranger
    };
    as_alice.ack(sent[2]).await?;
    assert_eq!(gateway.connect("alice", "phone").await?.cursors(), sent);
    Ok(())
}

pub(super) async fn the_newest_acked_stay_readable(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(3)).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 8).await?;
    phone.ack(sent[1]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent, "fewer acked");
    phone.ack(sent[5]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[3..]);
    phone.ack(sent[7]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[5..]);
    Ok(())
}

pub(super) async fn the_last_acked_stays_as_the_anchor(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(0)).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 4).await?;
    phone.ack(sent[2]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[2..]);
    phone.ack(sent[3]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[3..]);
    let next = world.send("alice").await?;
    let again = gateway
        .connect_since("alice", "phone", Some(sent[3]))
        .await?;
    assert_eq!((again.cursors(), again.page().gap), (vec![next], None));
    let heard = gateway.heard.inbox(&"alice".parse()?, 5).await?;
    assert_eq!(heard[4].0, sent[3], "the chain goes on");
    Ok(())
}

pub(super) async fn a_device_that_never_acks_holds_its_frames(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(1)).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let silent = gateway.connect("alice", "silent").await?;
    let sent = world.send_many("alice", 6).await?;
    phone.ack(sent[5]).await?;
    silent.end().await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent);
    let silent = gateway.connect("alice", "silent").await?;
    assert_eq!((silent.cursors(), silent.page().gap), (sent, None));
    Ok(())
}

pub(super) async fn the_slowest_device_decides(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, keeping(1)).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    let sent = world.send_many("alice", 6).await?;
    phone.ack(sent[5]).await?;
    laptop.ack(sent[2]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[2..]);
    laptop.ack(sent[5]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[5..]);
    Ok(())
}

pub(super) async fn of_seventeen_devices_the_one_seen_first_holds_nothing(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, keeping(1)).await?;
    let gateway = world.gateway("g").await?;
    let first = gateway.connect("alice", "first").await?;
    first.end().await?;
    let sent = world.send_many("alice", 3).await?;
    world.advance(SECOND + SECOND / 5).await;
    let mut others = Vec::new();
    for n in 0..15 {
        others.push(gateway.connect("alice", &format!("d{n}")).await?);
    }
    for other in &others {
        other.ack(sent[2]).await?;
    }
    assert_eq!(
        cursors(&gateway.kept("alice").await?),
        sent,
        "sixteen count"
    );
    let last = gateway
        .connect_since("alice", "last", Some(sent[2]))
        .await?;
    let next = world.send("alice").await?;
    for other in others.iter().chain([&last]) {
        other.ack(next).await?;
    }
    assert_eq!(cursors(&gateway.kept("alice").await?), [next]);
    Ok(())
}

pub(super) async fn a_device_not_seen_for_long_holds_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        device_ttl: SECOND,
        ..keeping(1)
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    gateway.connect("alice", "silent").await?.end().await?;
    let sent = world.send_many("alice", 3).await?;
    phone.ack(sent[0]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent);
    world.advance(2 * SECOND + SECOND / 2).await;
    phone.ack(sent[2]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[2..]);
    Ok(())
}

pub(super) async fn a_connected_device_holds_however_long_it_is_silent(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let limits = Limits {
        device_ttl: SECOND,
        ..keeping(1)
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    gateway.connect("alice", "silent").await?;
    let sent = world.send_many("alice", 3).await?;
    world.advance(2 * SECOND + SECOND / 2).await;
    phone.ack(sent[2]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent);
    Ok(())
}

pub(super) async fn broadcast_positions_only_go_forward(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let at = |seq| Cursor { seq, nonce: 7 };
    let begins = |seq| -> Result<Registration> {
        Ok(Registration {
            broadcast: at(seq),
            ..registration("alice", "phone", None)?
        })
    };
    let phone = gateway.register(begins(10)?).await?;
    assert_eq!(phone.registered.broadcast, at(10), "a new device's");
    let phone = gateway.register(begins(20)?).await?;
    assert_eq!(phone.registered.broadcast, at(10), "its own outweighs");
    let cursor = world.send("alice").await?;
    phone.ack_with(cursor, Some(at(12)), vec![]).await?;
    phone.ack_with(cursor, Some(at(14)), vec![]).await?; // the inbox stands still
    phone.ack_with(cursor, Some(at(13)), vec![]).await?;
    let phone = gateway.register(begins(20)?).await?;
    assert_eq!(phone.registered.broadcast, at(14));
    phone.end_with(Some(at(11)), vec![]).await?;
    let phone = gateway.register(begins(20)?).await?;
    assert_eq!(phone.registered.broadcast, at(14));
    phone.end_with(Some(at(16)), vec![]).await?;
    let phone = gateway.register(begins(20)?).await?;
    assert_eq!(phone.registered.broadcast, at(16));
    Ok(())
}

pub(super) async fn broadcasts_are_acked_without_an_inbox(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let at = Cursor { seq: 5, nonce: 5 };
    phone.ack_with(Cursor::ZERO, Some(at), vec![]).await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.registered.broadcast, at);
    Ok(())
}

pub(super) async fn expired_positions_may_be_named_with_an_ack(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    phone
        .ack_with(sent[1], None, vec![sent[0], sent[1]])
        .await?;
    assert_eq!(
        gateway.connect("alice", "phone").await?.cursors(),
        sent[2..]
    );
    Ok(())
}
