//! Subscriptions that outlive their connection.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{Claimed, Holder, Limits, Subscription},
    ids::Cursor,
};

use super::{
    Stores,
    gateway::subscription,
    world::{SECOND, World, limits},
};

const NOTHING: Claimed = Claimed {
    subscriptions: Vec::new(),
    others_hold: false,
};

fn at(seq: u64) -> Cursor {
    Cursor { seq, nonce: 7 }
}

pub(super) async fn durable_ones_come_with_the_devices_next_connection(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert!(phone.registered.subscriptions.is_empty());
    phone.keep_durably("news", at(1)).await?;
    phone.keep_durably("sports", at(2)).await?;
    phone.keep_durably("news", at(3)).await?;
    phone.end().await?;
    let phone = other.connect("alice", "phone").await?;
    let mut kept = phone.registered.subscriptions.clone();
    kept.sort_by_key(|s| s.channel.clone());
    assert_eq!(
        kept,
        [subscription("news", at(3))?, subscription("sports", at(2))?]
    );
    for stranger in [
        ("alice", "laptop"),
        ("alice", "~tab"),
        ("alice", "phon"),
        ("bob", "phone"),
    ] {
        let connection = gateway.connect(stranger.0, stranger.1).await?;
        assert!(
            connection.registered.subscriptions.is_empty(),
            "{stranger:?}"
        );
    }
    Ok(())
}

pub(super) async fn durable_ones_last_until_they_are_dropped(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    phone.keep_durably("news", at(1)).await?;
    phone.keep_durably("sports", at(2)).await?;
    let holder = Holder::Device(phone.registration.device.clone());
    phone.forget(&holder, "news").await?;
    phone.forget(&holder, "never-kept").await?;
    let phone = gateway.connect("alice", "phone").await?;
    assert_eq!(
        phone.registered.subscriptions,
        [subscription("sports", at(2))?]
    );
    assert_eq!(
        gateway.claim("alice", "phone").await?,
        NOTHING,
        "not for claims"
    );
    Ok(())
}

pub(super) async fn those_asked_for_last_come_first(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let names = |subscriptions: &[Subscription]| -> Vec<String> {
        let name = |s: &Subscription| s.channel.to_string();
        subscriptions.iter().map(name).collect()
    };
    let left = ["a", "b", "c"].map(|name| subscription(name, at(9)));
    let left = left.into_iter().collect::<Result<Vec<_>>>()?;
    let one = gateway.connect("alice", "~one").await?;
    for name in ["b", "a", "c"] {
        one.keep(name, at(1)).await?;
        world.advance(SECOND / 20).await;
    }
    // Where one stands is no use of it.
    one.publish_position("b", at(5)).await?;
    one.end_with(None, left.clone()).await?;
    let two = gateway.connect("alice", "~two").await?;
    let claimed = gateway.claim("alice", "two").await?;
    assert_eq!(names(&claimed.subscriptions), ["c", "a", "b"]);
    // Over as many sessions as it takes.
    two.keep("b", at(9)).await?;
    two.end_with(None, left).await?;
    gateway.connect("alice", "~three").await?;
    let claimed = gateway.claim("alice", "three").await?;
    assert_eq!(names(&claimed.subscriptions), ["b", "c", "a"]);

    let phone = gateway.connect("bob", "phone").await?;
    for name in ["b", "a", "c"] {
        phone.keep_durably(name, at(1)).await?;
        world.advance(SECOND / 20).await;
    }
    let phone = gateway.connect("bob", "phone").await?;
    assert_eq!(names(&phone.registered.subscriptions), ["c", "a", "b"]);
    Ok(())
}

pub(super) async fn anonymous_connections_share_the_durable_ones(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    one.keep_durably("news", at(1)).await?;
    one.end().await?;
    let two = gateway.connect("alice", "~two").await?;
    assert_eq!(two.registered.subscriptions, [subscription("news", at(1))?]);
    Ok(())
}

pub(super) async fn what_an_ended_session_left_is_claimed_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let one = gateway.connect("alice", "~one").await?;
    one.keep("news", at(1)).await?;
    one.keep("sports", at(2)).await?;
    let left = vec![
        subscription("news", at(11))?,
        subscription("sports", at(12))?,
    ];
    one.end_with(None, left.clone()).await?;
    other.connect("alice", "~two").await?;
    let mut claimed = other.claim("alice", "two").await?;
    claimed.subscriptions.sort_by_key(|s| s.channel.clone());
    assert_eq!((claimed.subscriptions, claimed.others_hold), (left, false));
    other.connect("alice", "~three").await?;
    let claimed = other.claim("alice", "three").await?;
    assert!(
        claimed.subscriptions.is_empty() && claimed.others_hold,
        "two holds them"
    );
    assert_eq!(other.claim("bob", "three").await?, NOTHING);
    Ok(())
}

pub(super) async fn what_is_held_cannot_be_claimed(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    assert_eq!(gateway.claim("alice", "two").await?, NOTHING);
    one.keep("news", at(1)).await?;
    let claimed = gateway.claim("alice", "two").await?;
    assert!(claimed.subscriptions.is_empty() && claimed.others_hold);
    let holder = Holder::Session(one.registration.session.clone());
    one.forget(&holder, "news").await?;
    assert_eq!(gateway.claim("alice", "two").await?, NOTHING);
    Ok(())
}

pub(super) async fn a_clean_end_leaves_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    one.keep("news", at(1)).await?;
    one.end().await?;
    assert_eq!(gateway.claim("alice", "two").await?, NOTHING);
    Ok(())
}

pub(super) async fn what_was_left_waits_only_for_a_while(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        restore: SECOND,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let one = gateway.connect("alice", "~one").await?;
    one.keep("news", at(1)).await?;
    one.end_with(None, vec![subscription("news", at(1))?])
        .await?;
    world.advance(SECOND + SECOND / 2).await;
    assert_eq!(gateway.claim("alice", "two").await?, NOTHING);
    Ok(())
}

pub(super) async fn a_session_that_comes_back_claims_its_own(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    tab.keep("news", at(1)).await?;
    let left = vec![subscription("news", at(4))?];
    tab.end_with(None, left.clone()).await?;
    gateway.connect("alice", "~tab").await?;
    let claimed = gateway.claim("alice", "tab").await?;
    assert_eq!((claimed.subscriptions, claimed.others_hold), (left, false));
    Ok(())
}

pub(super) async fn a_connection_that_takes_over_claims_what_the_older_one_held(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let old = world.gateway("old").await?;
    let new = world.other_gateway("new").await?;
    let tab = old.connect("alice", "~tab").await?;
    tab.keep("news", at(1)).await?;
    new.connect("alice", "~tab").await?;
    let claimed = new.claim("alice", "tab").await?;
    assert_eq!(claimed.subscriptions, [subscription("news", at(1))?]);
    tab.end().await?; // late: not its to end any more
    let claimed = new.claim("alice", "other").await?;
    assert!(claimed.others_hold, "the new connection holds it");
    Ok(())
}

pub(super) async fn two_that_left_the_same_are_claimed_as_one(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    for (tab, seq) in [("~one", 9), ("~two", 5), ("~three", 7)] {
        let connection = gateway.connect("alice", tab).await?;
        connection.keep("news", at(seq)).await?;
        let left = vec![subscription("news", at(seq))?];
        connection.end_with(None, left).await?;
    }
    let claimed = gateway.claim("alice", "four").await?;
    assert_eq!(claimed.subscriptions, [subscription("news", at(5))?]);
    Ok(())
}

pub(super) async fn a_late_end_frees_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let old = gateway.connect("alice", "~tab").await?;
    gateway
        .connect("alice", "~tab")
        .await?
        .keep("news", at(1))
        .await?;
    old.end_with(None, vec![subscription("news", at(9))?])
        .await?;
    let claimed = gateway.claim("alice", "other").await?;
    assert!(claimed.subscriptions.is_empty() && claimed.others_hold);
    old.end().await?;
    assert!(gateway.claim("alice", "other").await?.others_hold);
    Ok(())
}

pub(super) async fn who_was_reaped_and_goes_on_holds_its_own_again(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let tab = gateway.connect("alice", "~tab").await?;
    tab.keep("news", at(1)).await?;
    let alice = &tab.registration.user;
    assert_eq!(gateway.release(alice, &[]).await?, 1); // as a reaper would
    tab.again(&gateway).await?;
    let claimed = gateway.claim("alice", "other").await?;
    assert!(claimed.subscriptions.is_empty() && claimed.others_hold);
    Ok(())
}
