//! Who is connected, and who takes over from whom.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use carillon_common::{
    backend::{BackendError, BusEvent, Registration},
    ids::UserId,
};

use super::{
    DEADLINE, Stores,
    gateway::{Connection, Gateway, registration},
    world::{World, device, limits, order},
};
use crate::poll::eventually;

/// Waits for the number of users online, which may lag.
pub(super) async fn is_online(world: &World, users: u64) -> Result<()> {
    eventually("the online count", DEADLINE, async || {
        let online = world.other.online_count().await?;
        ensure!(online == users, "{online} online, expected {users}");
        Ok(())
    })
    .await
}

async fn replacements(gateway: &Gateway, count: usize) -> Result<Vec<(UserId, String, u64)>> {
    gateway
        .heard
        .heard(count, |event| match event {
            BusEvent::Replaced {
                user,
                session,
                fence,
            } => Some((user.clone(), session.to_string(), *fence)),
            _ => None,
        })
        .await
}

pub(super) async fn presence_names_each_connection(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let alice: UserId = "alice".parse()?;
    assert!(world.backend.presence(&alice).await?.is_empty());
    let before = world.backend.clock().now();
    one.connect("alice", "phone").await?;
    two.connect("alice", "~tab").await?;
    for backend in [&world.backend, &world.other] {
        let mut present = backend.presence(&alice).await?;
        present.sort_by_key(|p| p.gateway.clone());
        assert_eq!(present.len(), 2);
        assert_eq!(
            (&present[0].device, present[0].session.as_str()),
            (&device("phone")?, "phone")
        );
        assert_eq!(
            (&present[1].device, present[1].session.as_str()),
            (&device("~")?, "tab")
        );
        assert_eq!(
            (&present[0].gateway, present[0].generation),
            (&one.name, one.generation())
        );
        assert_eq!(
            (&present[1].gateway, present[1].generation),
            (&two.name, two.generation())
        );
        assert!(
            present
                .iter()
                .all(|p| (-2_000..60_000).contains(&(p.since - before)))
        );
    }
    Ok(())
}

pub(super) async fn the_canary_is_reached_and_counts_as_nobody(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    one.connect(UserId::CANARY, "canary").await?;
    one.connect("alice", "phone").await?;
    let sent = world
        .order(&order(UserId::CANARY, Duration::from_secs(60))?)
        .await?;
    assert_eq!(sent.devices, 1);
    one.heard
        .heard(1, |event| match event {
            BusEvent::Inbox { user, .. } => user.is_canary().then_some(()),
            _ => None,
        })
        .await?;
    is_online(&world, 1).await?;
    let gateways = world.other.gateways().await?;
    let users: Vec<_> = gateways.iter().map(|gateway| gateway.users).collect();
    assert_eq!(users, [1]);
    Ok(())
}

pub(super) async fn a_duty_is_one_processs_for_a_while(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let long = Duration::from_secs(60);
    for _ in 0..2 {
        ensure!(
            world.backend.hold("watch", "one", long).await?,
            "it keeps it"
        );
    }
    ensure!(
        world.backend.hold("other", "two", long).await?,
        "duties are apart"
    );
    ensure!(
        !world.other.hold("watch", "two", long).await?,
        "another has it"
    );
    let short = Duration::from_millis(50);
    ensure!(world.backend.hold("watch", "one", short).await?, "for less");
    world.advance(2 * short).await;
    ensure!(
        world.other.hold("watch", "two", long).await?,
        "it was not kept"
    );
    ensure!(
        !world.backend.hold("watch", "one", long).await?,
        "it has passed on"
    );
    Ok(())
}

pub(super) async fn users_are_online_until_their_last_connection_ends(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    is_online(&world, 0).await?;
    let phone = gateway.connect("alice", "phone").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    let bob = gateway.connect("bob", "phone").await?;
    is_online(&world, 2).await?;
    phone.end().await?;
    bob.end().await?;
    is_online(&world, 1).await?;
    tab.end().await?;
    is_online(&world, 0).await?;
    assert!(world.backend.presence(&"alice".parse()?).await?.is_empty());
    Ok(())
}

pub(super) async fn fences_rise_with_every_connection_of_a_user(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let mut highest = u64::try_from(world.backend.clock().now())? - 2_000;
    for n in 0..10 {
        let holder = if n % 2 == 0 { &gateway } else { &other };
        let connection = holder.connect("alice", &format!("d{}", n % 3)).await?;
        let fence = connection.registered.fence;
        assert!(fence > highest, "{fence} after {highest}");
        highest = fence;
        connection.end().await?;
    }
    Ok(())
}

pub(super) async fn a_newer_connection_of_a_session_takes_over(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let old = world.gateway("old").await?;
    let new = world.other_gateway("new").await?;
    let alice: UserId = "alice".parse()?;
    for name in ["phone", "~tab"] {
        let first = old.connect("alice", name).await?;
        let second = new.connect("alice", name).await?;
        assert!(second.registered.fence > first.registered.fence);
    }
    let told = replacements(&old, 2).await?;
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0].0, told[0].1.as_str()), (&alice, "phone"));
    assert_eq!((&told[1].0, told[1].1.as_str()), (&alice, "tab"));
    let present = world.backend.presence(&alice).await?;
    assert!(present.len() == 2 && present.iter().all(|p| p.gateway == new.name));
    assert!(replacements(&new, 0).await?.is_empty());
    Ok(())
}

pub(super) async fn a_gateway_is_told_of_its_own_replacement(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    let newer = gateway.connect("alice", "phone").await?;
    let told = replacements(&gateway, 1).await?;
    assert_eq!(
        told,
        [("alice".parse()?, "phone".to_owned(), newer.registered.fence)]
    );
    Ok(())
}

pub(super) async fn other_sessions_devices_and_users_are_not_replaced(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("alice", "phone").await?;
    gateway.connect("bob", "phone").await?;
    let others = [
        Registration {
            session: "other".parse()?,
            ..registration("alice", "phone", None)?
        },
        Registration {
            session: "phone".parse()?,
            ..registration("alice", "laptop", None)?
        },
        Registration {
            session: "phone".parse()?,
            ..registration("alice", "~tab", None)?
        },
    ];
    for other in others {
        gateway.register(other).await?;
    }
    assert_eq!(world.backend.presence(&"alice".parse()?).await?.len(), 4);
    // What comes after shows what came before.
    gateway.connect("bob", "phone").await?;
    assert_eq!(replacements(&gateway, 1).await?.len(), 1);
    Ok(())
}

pub(super) async fn a_late_end_of_a_replaced_connection_changes_nothing(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let old = world.gateway("old").await?;
    let new = world.other_gateway("new").await?;
    let first = old.connect("alice", "phone").await?;
    let second = new.connect("alice", "phone").await?;
    first.end().await?;
    assert!(second.audit(&new).await?.registered);
    world.send("alice").await?;
    new.heard.inbox(&"alice".parse()?, 1).await?;
    is_online(&world, 1).await?;
    second.end().await?;
    is_online(&world, 0).await
}

pub(super) async fn only_ones_own_fence_ends_a_connection(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let mut phone = gateway.connect("alice", "phone").await?;
    let own = phone.registered.fence;
    for other in [own - 1, own + 1, 0] {
        phone.registered.fence = other;
        phone.end().await?;
        assert!(phone.audit(&gateway).await?.registered, "{other}");
    }
    phone.registered.fence = own;
    for _ in 0..2 {
        phone.end().await?;
        assert!(!phone.audit(&gateway).await?.registered);
    }
    Ok(())
}

pub(super) async fn a_connection_registers_again(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send("alice").await?;
    let again = phone.again(&gateway).await?;
    assert_eq!(again.registered.fence, phone.registered.fence);
    assert_eq!(again.cursors(), [sent], "and resumes in the same step");
    phone.end().await?;
    let again = phone.again(&gateway).await?;
    assert!(again.audit(&gateway).await?.registered, "after it was gone");
    assert!(
        replacements(&gateway, 0).await?.is_empty(),
        "nobody was replaced"
    );
    assert_eq!(world.backend.presence(&"alice".parse()?).await?.len(), 1);
    Ok(())
}

pub(super) async fn a_replaced_connection_cannot_register_again(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let old = world.gateway("old").await?;
    let new = world.other_gateway("new").await?;
    let first = old.connect("alice", "phone").await?;
    let second = new.connect("alice", "phone").await?;
    let stale = Registration {
        fence: Some(first.registered.fence),
        ..first.registration.clone()
    };
    let refused = old.membership.register(&stale).await;
    assert!(
        matches!(refused, Err(BackendError::Replaced)),
        "{refused:?}"
    );
    assert!(second.audit(&new).await?.registered);
    Ok(())
}

pub(super) async fn who_registers_again_over_an_older_one_replaces_it(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let old = world.gateway("old").await?;
    let new = world.other_gateway("new").await?;
    let first = old.connect("alice", "phone").await?;
    let second = new.connect("alice", "phone").await?;
    second.end().await?; // as if it was reaped
    let first: Connection = first.again(&old).await?;
    let second = second.again(&new).await?;
    let told = replacements(&old, 2).await?;
    assert!(told.iter().all(|told| told.2 == second.registered.fence));
    assert!(!first.audit(&old).await?.registered);
    Ok(())
}

pub(super) async fn an_older_connection_that_comes_late_is_refused(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let slow = world.gateway("slow").await?;
    let fast = world.other_gateway("fast").await?;
    for name in ["phone", "~tab"] {
        let newer = fast.connect("alice", name).await?;
        let older = Registration {
            opened: newer.registration.opened - 5_000,
            ..newer.registration.clone()
        };
        let refused = slow.membership.register(&older).await;
        assert!(
            matches!(refused, Err(BackendError::Replaced)),
            "{refused:?}"
        );
        assert!(newer.audit(&fast).await?.registered);
    }
    assert!(replacements(&fast, 0).await?.is_empty());
    Ok(())
}

pub(super) async fn opened_within_a_moment_the_later_to_register_wins(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let first = one.connect("alice", "phone").await?;
    let second = Registration {
        opened: first.registration.opened - 500,
        ..first.registration.clone()
    };
    let second = two.register(second).await?;
    assert!(second.registered.fence > first.registered.fence);
    assert_eq!(replacements(&one, 1).await?.len(), 1);
    Ok(())
}
