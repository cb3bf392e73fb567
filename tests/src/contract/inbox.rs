//! Sending: the chain, the hints, what is kept.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::BusEvent,
    ids::{Cursor, UserId},
};

use super::{
    Stores,
    world::{HOUR, SECOND, World, cursors, limits, order},
};

pub(super) async fn a_first_frame_seeds_its_chain_with_the_time(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let before = world.backend.clock().now();
    let cursor = world.send("alice").await?;
    let heard = gateway.heard.inbox(&"alice".parse()?, 1).await?;
    assert_eq!(heard[0].0, Cursor::ZERO, "prev without history");
    let late = i64::try_from(cursor.seq)? - before;
    assert!((-2_000..30_000).contains(&late), "seeded {late} ms late");
    assert!(cursor.nonce >= 1);
    Ok(())
}

pub(super) async fn frames_continue_each_other_in_order(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 20).await?;
    let heard = gateway.heard.inbox(&"alice".parse()?, 20).await?;
    let mut at = Cursor::ZERO;
    for ((prev, frame), cursor) in heard.iter().zip(&sent) {
        assert_eq!((*prev, frame.cursor), (at, *cursor));
        assert!(at == Cursor::ZERO || cursor.seq == at.seq + 1, "contiguous");
        at = *cursor;
    }
    assert_eq!(cursors(&gateway.kept("alice").await?), sent);
    Ok(())
}

pub(super) async fn a_frame_is_kept_as_it_was_given(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let text = "\n|{}\"\\\u{0}ÅÅ🔔".repeat(10);
    let order = carillon_common::backend::SendOrder {
        body: text.clone().into(),
        ..order("alice", HOUR)?
    };
    let sent = world.order(&order).await?;
    let heard = gateway.heard.inbox(&order.user, 1).await?.remove(0).1;
    let kept = gateway.kept("alice").await?.remove(0);
    assert_eq!(heard, kept);
    assert_eq!((Some(kept.cursor), kept.id), (sent.cursor, order.id));
    assert_eq!(kept.body, text);
    assert!(!kept.tombstone && !sent.repeated);
    Ok(())
}

pub(super) async fn a_frame_expires_after_its_ttl_or_the_inboxs(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    world.send_for("alice", HOUR).await?;
    world.send_for("alice", 1_000 * HOUR).await?;
    let lives: Vec<i64> = gateway
        .kept("alice")
        .await?
        .iter()
        .map(|frame| frame.expires_at - frame.stored_at)
        .collect();
    assert_eq!(lives, [3_600_000, 24 * 3_600_000]);
    Ok(())
}

pub(super) async fn expired_frames_stay_in_the_chain(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let short = world.send_for("alice", SECOND).await?;
    let long = world.send("alice").await?;
    world.advance(SECOND + SECOND / 2).await;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(phone.cursors(), [short, long]);
    let now = world.backend.clock().now();
    let deliverable: Vec<bool> = phone
        .page()
        .frames
        .iter()
        .map(|frame| frame.deliverable(now))
        .collect();
    assert_eq!(deliverable, [false, true]);
    Ok(())
}

pub(super) async fn bodies_of_64_kib_pass_whole(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let body: String = "0123456789abcdef".repeat(4_096);
    for _ in 0..3 {
        let order = carillon_common::backend::SendOrder {
            body: body.clone().into(),
            ..order("alice", HOUR)?
        };
        world.order(&order).await?;
    }
    let heard = gateway.heard.inbox(&"alice".parse()?, 3).await?;
    assert!(heard.iter().all(|(_, frame)| frame.body == body));
    let mut at = Cursor::ZERO;
    for kept in 1..=3 {
        // A page holds no more than one or two of these.
        let page = gateway.page("alice", "phone", at).await?;
        assert!(page.frames[0].body == body, "{kept}");
        at = page.frames[0].cursor;
    }
    assert_eq!(at, heard[2].1.cursor);
    Ok(())
}

pub(super) async fn user_ids_are_any_text(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let odd = [
        "a|b",
        "a",
        "a|",
        "{a}",
        "}{",
        "a\nb",
        "\r\n",
        "*",
        "~",
        "a/b",
        "1:a",
        " ",
        "\u{0}",
        "ünï🔔",
        "ünï",
        &"x".repeat(255),
        &"x".repeat(254),
        &"é".repeat(127),
    ];
    for name in odd {
        gateway.connect(name, "phone").await?;
        let cursor = world.send(name).await?;
        let user: UserId = name.parse()?;
        let heard = gateway.heard.inbox(&user, 1).await?;
        assert_eq!((heard.len(), heard[0].1.cursor), (1, cursor), "{name:?}");
        assert_eq!(cursors(&gateway.kept(name).await?), [cursor], "{name:?}");
        assert_eq!(world.backend.presence(&user).await?.len(), 1, "{name:?}");
    }
    Ok(())
}

pub(super) async fn users_share_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let alice = gateway.connect("alice", "phone").await?;
    gateway.connect("bob", "phone").await?;
    let (hers, his) = (world.send("alice").await?, world.send("bob").await?);
    alice.ack(hers).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), [hers]);
    assert_eq!(gateway.connect("bob", "phone").await?.cursors(), [his]);
    Ok(())
}

pub(super) async fn every_gateway_that_holds_the_user_is_told_once(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let none = world.gateway("none").await?;
    one.connect("alice", "phone").await?;
    one.connect("alice", "laptop").await?;
    two.connect("alice", "~tab").await?;
    none.connect("bob", "phone").await?;
    world.send("alice").await?;
    // What comes after shows what came before.
    for user in ["alice", "bob"] {
        world.send(user).await?;
    }
    none.heard.inbox(&"bob".parse()?, 1).await?;
    for gateway in [&one, &two] {
        assert_eq!(gateway.heard.inbox(&"alice".parse()?, 2).await?.len(), 2);
    }
    assert!(none.heard.inbox(&"alice".parse()?, 0).await?.is_empty());
    Ok(())
}

pub(super) async fn a_gateway_hears_no_more_of_who_left(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let alice = gateway.connect("alice", "phone").await?;
    gateway.connect("bob", "phone").await?;
    alice.end().await?;
    world.send("alice").await?;
    world.send("bob").await?;
    gateway.heard.inbox(&"bob".parse()?, 1).await?;
    assert!(gateway.heard.inbox(&"alice".parse()?, 0).await?.is_empty());
    Ok(())
}

pub(super) async fn the_sender_learns_how_many_devices_are_connected(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("one").await?;
    let other = world.other_gateway("two").await?;
    let sent = world.order(&order("alice", HOUR)?).await?;
    assert_eq!((sent.devices, sent.user_seen), (0, false));
    gateway.connect("alice", "phone").await?;
    let mut second_tab = super::gateway::registration("alice", "phone", None)?;
    second_tab.session = "other-tab".parse()?;
    other.register(second_tab).await?;
    let sent = world.order(&order("alice", HOUR)?).await?;
    assert_eq!((sent.devices, sent.user_seen), (1, true));
    other.connect("alice", "laptop").await?;
    other.connect("alice", "~a").await?;
    gateway.connect("alice", "~b").await?;
    let sent = world.order(&order("alice", HOUR)?).await?;
    assert_eq!((sent.devices, sent.user_seen), (4, true));
    Ok(())
}

pub(super) async fn a_user_that_left_has_been_seen(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    for device in ["phone", "~tab"] {
        gateway.connect(device, device).await?.end().await?;
        let sent = world.order(&order(device, HOUR)?).await?;
        assert_eq!((sent.devices, sent.user_seen), (0, true), "{device}");
    }
    Ok(())
}

pub(super) async fn without_ttl_it_reaches_who_is_there_and_is_not_kept(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let first = world.send("alice").await?;
    let order = order("alice", std::time::Duration::ZERO)?;
    let sent = world.order(&order).await?;
    assert_eq!((sent.cursor, sent.devices, sent.repeated), (None, 1, false));
    let second = world.send("alice").await?;
    let ephemeral = gateway
        .heard
        .heard(1, |event| match event {
            BusEvent::Ephemeral { user, frame } if *user == order.user => Some(frame.clone()),
            _ => None,
        })
        .await?;
    assert_eq!(ephemeral.len(), 1);
    assert_eq!(
        (ephemeral[0].cursor, ephemeral[0].id),
        (Cursor::ZERO, order.id)
    );
    assert_eq!(ephemeral[0].body, order.body);
    let heard = gateway.heard.inbox(&order.user, 2).await?;
    assert_eq!((heard[1].0, heard[1].1.cursor), (first, second));
    assert_eq!(cursors(&gateway.kept("alice").await?), [first, second]);
    Ok(())
}

pub(super) async fn without_ttl_and_without_a_connection_it_is_gone(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let sent = world
        .order(&order("alice", std::time::Duration::ZERO)?)
        .await?;
    assert_eq!(
        (sent.cursor, sent.devices, sent.user_seen),
        (None, 0, false)
    );
    let page = gateway.connect("alice", "phone").await?.page().clone();
    assert!(page.frames.is_empty() && page.end == Cursor::ZERO && page.gap.is_none());
    Ok(())
}

pub(super) async fn both_processes_see_one_deployment(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("one").await?;
    gateway.connect("alice", "phone").await?;
    let sent = world.other.send(&order("alice", HOUR)?).await?;
    assert_eq!(sent.devices, 1);
    let heard = gateway.heard.inbox(&"alice".parse()?, 1).await?;
    assert_eq!(Some(heard[0].1.cursor), sent.cursor);
    assert_eq!(world.other.presence(&"alice".parse()?).await?.len(), 1);
    Ok(())
}
