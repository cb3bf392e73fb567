//! Connections that name no device.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{Limits, Registration},
    ids::Cursor,
};

use super::{
    Stores,
    gateway::registration,
    world::{World, cursors, limits},
};

pub(super) async fn each_has_a_position_of_its_own(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    let two = gateway.connect("alice", "~two").await?;
    let sent = world.send_many("alice", 4).await?;
    one.ack(sent[3]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent, "two holds");
    two.ack(sent[1]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[1..]);
    Ok(())
}

pub(super) async fn a_new_one_starts_where_the_slowest_stands(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    let two = gateway.connect("alice", "~two").await?;
    let sent = world.send_many("alice", 4).await?;
    one.ack(sent[3]).await?;
    two.ack(sent[1]).await?;
    assert_eq!(
        gateway.connect("alice", "~three").await?.cursors(),
        sent[2..]
    );
    Ok(())
}

pub(super) async fn what_an_ended_one_left_goes_to_the_next(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    let sent = world.send_many("alice", 4).await?;
    one.ack(sent[1]).await?;
    one.end().await?;
    let next = world.send("alice").await?;
    let two = gateway.connect("alice", "~two").await?;
    assert_eq!(two.cursors(), [sent[2], sent[3], next]);
    assert_eq!(two.page().gap, None);
    Ok(())
}

pub(super) async fn ended_ones_are_folded_by_the_slowest(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    let two = gateway.connect("alice", "~two").await?;
    let sent = world.send_many("alice", 4).await?;
    one.ack(sent[1]).await?;
    two.ack(sent[3]).await?;
    one.end().await?;
    two.end().await?;
    assert_eq!(
        gateway.connect("alice", "~three").await?.cursors(),
        sent[2..]
    );
    Ok(())
}

pub(super) async fn what_was_left_is_taken_over_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    let sent = world.send_many("alice", 3).await?;
    one.end().await?;
    let two = gateway.connect("alice", "~two").await?;
    assert_eq!(two.cursors(), sent);
    two.ack(sent[2]).await?;
    let three = gateway.connect("alice", "~three").await?;
    assert!(three.cursors().is_empty(), "two has read it");
    Ok(())
}

pub(super) async fn an_ended_one_holds_its_frames(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    gateway.connect("alice", "~tab").await?.end().await?;
    let sent = world.send_many("alice", 3).await?;
    phone.ack(sent[2]).await?;
    assert_eq!(gateway.connect("alice", "~later").await?.cursors(), sent);
    Ok(())
}

pub(super) async fn the_first_starts_as_any_new_device(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 3).await?;
    phone.ack(sent[1]).await?;
    assert_eq!(gateway.connect("alice", "~tab").await?.cursors(), sent[2..]);
    Ok(())
}

pub(super) async fn a_session_that_reconnects_keeps_its_position(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    gateway.connect("alice", "~slow").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    let sent = world.send_many("alice", 3).await?;
    tab.ack(sent[1]).await?;
    let again = other.connect("alice", "~tab").await?;
    assert_eq!(again.cursors(), sent[2..]);
    tab.end().await?; // late, of the connection that was replaced
    again.ack(sent[2]).await?;
    assert!(other.connect("alice", "~tab").await?.cursors().is_empty());
    Ok(())
}

pub(super) async fn broadcast_positions_are_folded_too(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let at = |seq| Cursor { seq, nonce: 7 };
    let begins = |device, seq| -> Result<Registration> {
        Ok(Registration {
            broadcast: at(seq),
            ..registration("alice", device, None)?
        })
    };
    let one = gateway.register(begins("~one", 10)?).await?;
    one.end_with(Some(at(15)), vec![]).await?;
    let two = gateway.register(begins("~two", 30)?).await?;
    assert_eq!(two.registered.broadcast, at(15), "what came meanwhile");
    Ok(())
}

pub(super) async fn reading_on_follows_the_same_rules(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(
        &*on,
        Limits {
            page: 2,
            ..limits()
        },
    )
    .await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 5).await?;
    let tab = gateway.connect("alice", "~tab").await?;
    assert_eq!((tab.cursors(), tab.page().more), (sent[..2].to_vec(), true));
    let page = gateway.page("alice", "~", tab.page().end).await?;
    assert_eq!(cursors(&page.frames), sent[2..4]);
    let page = gateway.page("alice", "~", page.end).await?;
    assert_eq!(
        (cursors(&page.frames), page.more),
        (sent[4..].to_vec(), false)
    );
    Ok(())
}
