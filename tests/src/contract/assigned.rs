//! Channels that services put users on.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{BackendError, BusEvent, Holder, Limits, Subscription},
    ids::{ChannelName, Cursor, UserId},
};

use super::{
    Stores,
    gateway::{Connection, Gateway, subscription},
    world::{self, World, limits},
};

fn at(seq: u64) -> Cursor {
    Cursor { seq, nonce: 7 }
}

fn alice() -> Result<UserId> {
    Ok("alice".parse()?)
}

fn news() -> Result<ChannelName> {
    world::channel("news")
}

fn assigned(connection: &Connection) -> Vec<Subscription> {
    connection.registered.assigned.clone()
}

pub(super) async fn every_device_is_on_it_from_then_on(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    assert!(assigned(&phone).is_empty() && assigned(&tab).is_empty());
    phone.end().await?;
    tab.end().await?;

    let put = world.backend.assign(&alice()?, &news()?).await?;
    assert!(put.is_new && put.since != Cursor::ZERO, "{put:?}");
    let sent = world.publish("news").await?;
    assert!(sent.seq > put.since.seq, "{sent} is after {put:?}");
    // Whoever was there before begins where the user does, whoever is new begins now.
    for (device, since) in [
        ("phone", put.since),
        ("~tab-2", put.since),
        ("laptop", Cursor::ZERO),
    ] {
        let connection = other.connect("alice", device).await?;
        assert_eq!(
            assigned(&connection),
            [subscription("news", since)?],
            "{device}"
        );
        assert!(connection.registered.subscriptions.is_empty());
    }
    let bob = other.connect("bob", "phone").await?;
    assert!(assigned(&bob).is_empty());
    Ok(())
}

pub(super) async fn asking_again_changes_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let first = world.backend.assign(&alice()?, &news()?).await?;
    world.publish("news").await?;
    let again = world.backend.assign(&alice()?, &news()?).await?;
    assert_eq!((again.since, again.is_new), (first.since, false));
    world.other.assign(&alice()?, &world::channel("a")?).await?;
    let names = world.backend.assigned(&alice()?).await?;
    assert_eq!(names, [world::channel("a")?, news()?]);
    assert!(world.backend.unassign(&alice()?, &news()?).await?);
    assert!(!world.other.unassign(&alice()?, &news()?).await?);
    assert_eq!(
        world.backend.assigned(&alice()?).await?,
        [world::channel("a")?]
    );
    Ok(())
}

pub(super) async fn each_device_goes_on_where_it_was(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    let put = world.backend.assign(&alice()?, &news()?).await?;
    phone.keep_place("news", at(5)).await?;
    phone.end().await?;
    laptop.end().await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(assigned(&phone), [subscription("news", at(5))?]);
    let laptop = gateway.connect("alice", "laptop").await?;
    assert_eq!(assigned(&laptop), [subscription("news", put.since)?]);
    // All that have no name are one.
    gateway
        .connect("alice", "~one")
        .await?
        .keep_place("news", at(6))
        .await?;
    let two = gateway.connect("alice", "~two").await?;
    assert_eq!(assigned(&two), [subscription("news", at(6))?]);
    // The same when it registers again.
    let again = phone.again(&gateway).await?;
    assert_eq!(assigned(&again), [subscription("news", at(5))?]);
    Ok(())
}

pub(super) async fn whoever_is_taken_off_is_off_whoever_put_it_there(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    world.backend.assign(&alice()?, &news()?).await?;
    phone.keep_place("news", at(5)).await?;
    phone.keep_durably("news", at(5)).await?;
    phone.keep_durably("sports", at(5)).await?;
    tab.keep("news", at(5)).await?;
    tab.keep("sports", at(6)).await?;
    assert!(world.other.unassign(&alice()?, &news()?).await?);
    // It has not heard of it yet.
    phone.keep_place("news", at(7)).await?;
    phone.end().await?;
    tab.end_with(None, vec![subscription("sports", at(6))?])
        .await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert!(assigned(&phone).is_empty());
    assert_eq!(
        phone.registered.subscriptions,
        [subscription("sports", at(5))?]
    );
    gateway.connect("alice", "~tab-2").await?;
    let claimed = gateway.claim("alice", "tab-2").await?;
    assert_eq!(claimed.subscriptions, [subscription("sports", at(6))?]);
    // Put on it again, it begins anew.
    let put = world.backend.assign(&alice()?, &news()?).await?;
    assert!(put.is_new);
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(assigned(&phone), [subscription("news", put.since)?]);
    // What only clients had asked for is taken as well.
    assert!(
        world
            .backend
            .unassign(&alice()?, &world::channel("sports")?)
            .await?
    );
    let phone = gateway.connect("alice", "phone").await?;
    assert!(phone.registered.subscriptions.is_empty());
    Ok(())
}

pub(super) async fn the_gateways_that_hold_the_user_are_told(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let none = world.gateway("none").await?;
    gateway.connect("alice", "phone").await?;
    gateway.connect("alice", "laptop").await?;
    other.connect("alice", "~tab").await?;
    none.connect("bob", "phone").await?;
    let put = world.backend.assign(&alice()?, &news()?).await?;
    let again = world.other.assign(&alice()?, &news()?).await?;
    world.backend.unassign(&alice()?, &news()?).await?;
    assert_eq!(again.since, put.since);
    let on_it = Some(subscription("news", put.since)?);
    let expected = [on_it.clone(), on_it, None];
    for gateway in [&gateway, &other] {
        assert_eq!(told(gateway, 3).await?, expected);
    }
    none.connect("alice", "phone").await?;
    world.backend.unassign(&alice()?, &news()?).await?;
    assert_eq!(told(&none, 1).await?, [None]);
    Ok(())
}

/// What a gateway has heard of alice, once there is so much: what she was put on, or that she was taken off.
async fn told(gateway: &Gateway, count: usize) -> Result<Vec<Option<Subscription>>> {
    let (alice, news) = (alice()?, news()?);
    let heard = gateway.heard.heard(count, |event| match event {
        BusEvent::Assigned { user, subscription } if *user == alice => {
            Some(Some(subscription.clone()))
        }
        BusEvent::Unassigned { user, channel } if (user, channel) == (&alice, &news) => Some(None),
        _ => None,
    });
    heard.await
}

pub(super) async fn they_are_bounded(on: Arc<dyn Stores>) -> Result<()> {
    let most = Limits {
        assigned: 3,
        ..limits()
    };
    let world = World::new(&*on, most).await?;
    for name in ["a", "b", "c"] {
        world
            .backend
            .assign(&alice()?, &world::channel(name)?)
            .await?;
    }
    let refused = world.other.assign(&alice()?, &news()?).await;
    assert!(
        matches!(refused, Err(BackendError::TooManyChannels)),
        "{refused:?}"
    );
    world
        .backend
        .assign(&alice()?, &world::channel("b")?)
        .await?;
    assert!(
        world
            .backend
            .unassign(&alice()?, &world::channel("b")?)
            .await?
    );
    assert!(world.other.assign(&alice()?, &news()?).await?.is_new);
    Ok(())
}

pub(super) async fn who_is_forgotten_is_on_none(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    world.backend.assign(&alice()?, &news()?).await?;
    assert!(world.backend.erase(&alice()?).await?);
    assert!(world.backend.assigned(&alice()?).await?.is_empty());
    let phone = gateway.connect("alice", "phone").await?;
    assert!(assigned(&phone).is_empty());
    let holder = Holder::Assigned(phone.registration.device.clone());
    phone.forget(&holder, "news").await
}
