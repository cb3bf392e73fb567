//! Orders that are given twice.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::backend::{BackendError, Idempotency, Limits, PublishOrder, SendOrder, Sent};

use super::{
    Stores,
    world::{HOUR, SECOND, World, cursors, idempotency, limits, order, publication},
};

fn keyed(user: &str, key: &str, hash: &str) -> Result<SendOrder> {
    Ok(SendOrder {
        idempotency: idempotency(key, hash),
        ..order(user, HOUR)?
    })
}

fn published(channel: &str, key: &str, hash: &str) -> Result<PublishOrder> {
    Ok(PublishOrder {
        idempotency: idempotency(key, hash),
        ..publication(channel)?
    })
}

#[track_caller]
fn is_mismatch<T: std::fmt::Debug>(outcome: Result<T, BackendError>) {
    assert!(
        matches!(outcome, Err(BackendError::IdempotencyMismatch)),
        "{outcome:?}"
    );
}

pub(super) async fn a_repeated_order_is_accepted_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let order = keyed("alice", "key", "hash")?;
    let first = world.order(&order).await?;
    let again = world.other.send(&order).await?;
    let expected = Sent {
        repeated: true,
        ..first.clone()
    };
    assert_eq!((first.repeated, again), (false, expected));
    let next = world.send("alice").await?;
    let heard = gateway.heard.inbox(&order.user, 2).await?;
    assert_eq!(heard.len(), 2, "nothing is told twice");
    assert_eq!((Some(heard[1].0), heard[1].1.cursor), (first.cursor, next));
    assert_eq!(gateway.kept("alice").await?.len(), 2);
    Ok(())
}

pub(super) async fn a_key_with_another_body_is_refused(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let first = world.order(&keyed("alice", "key", "one")?).await?;
    is_mismatch(world.order(&keyed("alice", "key", "two")?).await);
    assert_eq!(gateway.kept("alice").await?.len(), 1);
    let again = world.order(&keyed("alice", "key", "one")?).await?;
    assert_eq!((again.repeated, again.cursor), (true, first.cursor));
    Ok(())
}

pub(super) async fn keys_are_each_users_own(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    for user in ["alice", "bob", "alice:bob"] {
        for key in ["key", "bob:key"] {
            let sent = world.order(&keyed(user, key, user)?).await?;
            assert!(!sent.repeated, "{user} {key}");
        }
    }
    Ok(())
}

pub(super) async fn keys_are_any_text(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let long = "k".repeat(255);
    for key in ["|", "{x}", "a b\n", "ключ", ":", long.as_str()] {
        let order = keyed("alice", key, "x|y|1-2")?;
        assert!(!world.order(&order).await?.repeated, "{key:?}");
        assert!(world.order(&order).await?.repeated, "{key:?}");
    }
    Ok(())
}

pub(super) async fn a_key_lapses(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let order = SendOrder {
        idempotency: Idempotency {
            ttl: SECOND,
            ..idempotency("key", "one")
        },
        ..order("alice", HOUR)?
    };
    let first = world.order(&order).await?;
    world.advance(SECOND + SECOND / 2).await;
    let second = world.order(&order).await?;
    assert!(!second.repeated && second.cursor != first.cursor);
    assert_eq!(gateway.kept("alice").await?.len(), 2);
    Ok(())
}

pub(super) async fn repeating_keeps_a_key_alive(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let order = SendOrder {
        idempotency: Idempotency {
            ttl: 2 * SECOND,
            ..idempotency("key", "one")
        },
        ..order("alice", HOUR)?
    };
    world.order(&order).await?;
    for _ in 0..2 {
        world.advance(Duration::from_millis(1_300)).await;
        assert!(world.order(&order).await?.repeated);
    }
    Ok(())
}

pub(super) async fn a_repetition_needs_no_room(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(
        &*on,
        Limits {
            inbox_max: 1,
            ..limits()
        },
    )
    .await?;
    let order = keyed("alice", "key", "hash")?;
    let first = world.order(&order).await?;
    let again = world.order(&order).await?;
    assert_eq!((again.repeated, again.cursor), (true, first.cursor));
    Ok(())
}

pub(super) async fn a_refused_order_is_not_remembered(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(
        &*on,
        Limits {
            inbox_max: 1,
            ..limits()
        },
    )
    .await?;
    let gateway = world.gateway("g").await?;
    let first = world.send("alice").await?;
    let order = keyed("alice", "key", "hash")?;
    let refused = world.order(&order).await;
    assert!(
        matches!(refused, Err(BackendError::InboxFull)),
        "{refused:?}"
    );
    gateway.connect("alice", "phone").await?.ack(first).await?;
    assert!(!world.order(&order).await?.repeated);
    Ok(())
}

pub(super) async fn orders_given_at_once_are_accepted_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let order = keyed("alice", "key", "hash")?;
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let order = order.clone();
            let backend = Arc::clone(if n % 2 == 0 {
                &world.backend
            } else {
                &world.other
            });
            tokio::spawn(async move { backend.send(&order).await })
        })
        .collect();
    let mut firsts = 0;
    for task in tasks {
        firsts += u32::from(!task.await??.repeated);
    }
    assert_eq!((firsts, gateway.kept("alice").await?.len()), (1, 1));
    Ok(())
}

pub(super) async fn a_repeated_publication_is_accepted_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.follow(&"news".parse()?).await?;
    let order = published("news", "key", "hash")?;
    let first = world.backend.publish(&order).await?;
    let again = world.other.publish(&order).await?;
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_eq!(first.cursor, again.cursor);
    is_mismatch(
        world
            .backend
            .publish(&published("news", "key", "other")?)
            .await,
    );
    let next = world.publish("news").await?;
    let heard = gateway.heard.channel("news", 2).await?;
    assert_eq!(heard.len(), 2);
    let page = gateway
        .log("news", carillon_common::ids::Cursor::ZERO)
        .await?;
    assert_eq!(cursors(&page.frames), [first.cursor, next]);
    Ok(())
}

pub(super) async fn keys_are_each_channels_own(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    world.order(&keyed("news", "key", "user")?).await?;
    for channel in ["news", "sports", "*"] {
        let order = published(channel, "key", channel)?;
        assert!(!world.backend.publish(&order).await?.repeated, "{channel}");
    }
    Ok(())
}
