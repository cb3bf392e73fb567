//! Gateways that somebody saw die: ended and reaped before their lease runs out.

use std::sync::Arc;

use anyhow::{Result, ensure};
use carillon_common::{
    backend::{AboutGateway, BusEvent, LiveGateway},
    ids::Millis,
};

use super::{
    DEADLINE, Stores,
    gateway::Gateway,
    presence::is_online,
    world::{World, limits, short_leases},
};
use crate::poll::eventually;

/// The last moment of a gateway's generation.
pub(super) fn died(gateway: &Gateway) -> Result<Millis> {
    Ok(Millis::try_from(gateway.generation())?)
}

pub(super) async fn a_gateway_seen_dead_is_reaped_at_once(on: Arc<dyn Stores>) -> Result<()> {
    // Its lease would last longer than the case.
    let world = World::new(&*on, limits()).await?;
    let dead = world.gateway("dead").await?;
    let alive = world.other_gateway("alive").await?;
    let tab = dead.connect("alice", "~tab").await?;
    dead.connect("bob", "phone").await?;
    let laptop = alive.connect("bob", "laptop").await?;
    let sent = world.send_many("alice", 2).await?;
    tab.ack(sent[0]).await?;
    let (name, at) = (dead.name.clone(), died(&dead)?);
    drop(dead);
    is_online(&world, 2).await?;

    assert!(world.other.reap(&name, at).await?);
    is_online(&world, 1).await?;
    assert!(world.backend.presence(&"alice".parse()?).await?.is_empty());
    let present = world.backend.presence(&"bob".parse()?).await?;
    assert!(present.len() == 1 && present[0].gateway == alive.name);
    assert!(laptop.audit(&alive).await?.registered);
    let live = world.backend.gateways().await?;
    assert!(live.len() == 1 && live[0].name == alive.name, "{live:?}");
    let next = alive.connect("alice", "~next").await?;
    assert_eq!(next.cursors(), sent[1..], "what the tab had is not lost");

    assert!(!world.backend.reap(&name, at).await?, "nothing is left");
    assert!(!world.backend.reap(&"stranger".parse()?, at).await?);
    Ok(())
}

pub(super) async fn a_generation_newer_than_the_death_stands(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let past = world.gateway("g").await?;
    let at = died(&past)?;
    drop(past);
    let again = world.gateway("g").await?;
    let phone = again.connect("alice", "phone").await?;
    ensure!(again.generation() > u64::try_from(at)?);

    assert!(!world.other.reap(&again.name, at).await?);
    assert!(phone.audit(&again).await?.registered);
    assert_eq!(
        world.other.gateways().await?,
        [LiveGateway {
            name: again.name.clone(),
            generation: again.generation(),
            users: 1,
            draining: false,
            accepting: true,
            about: None,
        }]
    );
    Ok(())
}

pub(super) async fn who_was_taken_for_dead_and_lives_registers_again(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send("alice").await?;
    let before = gateway.generation();

    assert!(world.other.reap(&gateway.name, died(&gateway)?).await?);
    let dirty = |event: &BusEvent| matches!(event, BusEvent::Dirty { .. }).then_some(());
    gateway.heard.heard(1, dirty).await?;
    assert!(gateway.generation() > before);
    let phone = phone.again(&gateway).await?;
    assert_eq!(phone.cursors(), [sent]);
    assert!(phone.audit(&gateway).await?.registered);
    eventually("the gateway is back", DEADLINE, async || {
        let live = world.other.gateways().await?;
        ensure!(
            live.len() == 1 && live[0].generation == gateway.generation() && live[0].users == 1,
            "{live:?}"
        );
        Ok(())
    })
    .await
}

pub(super) async fn the_users_of_each_gateway_are_counted(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let mut tabs = Vec::new();
    for n in 0..20 {
        tabs.push(one.connect(&format!("user{n}"), "~tab").await?);
    }
    one.connect("user0", "phone").await?;
    two.connect("user0", "laptop").await?;
    let users = async || -> Result<Vec<u64>> {
        let live = world.backend.gateways().await?;
        Ok(live.iter().map(|gateway| gateway.users).collect())
    };
    assert_eq!(users().await?, [20, 1]);
    for tab in &tabs[..5] {
        tab.end().await?;
    }
    assert_eq!(users().await?, [16, 1], "the first still has a phone");
    Ok(())
}

pub(super) async fn what_a_gateway_tells_of_itself_is_shown(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let _two = world.other_gateway("two").await?;
    let shown = async || -> Result<Vec<Option<AboutGateway>>> {
        let live = world.other.gateways().await?;
        Ok(live.into_iter().map(|it| it.about).collect())
    };
    assert_eq!(shown().await?, [None, None]);
    let mut about = AboutGateway {
        connections: 0,
        version: "1.2.3-rc.1".into(),
    };
    for connections in [3, 20_000] {
        about.connections = connections;
        one.membership.show(&about).await?;
        assert_eq!(shown().await?, [Some(about.clone()), None]);
    }
    // Of this generation alone.
    one.leave().await?;
    let _one = world.gateway("one").await?;
    assert_eq!(shown().await?, [None, None]);
    Ok(())
}

pub(super) async fn a_gateway_that_drains_is_shown_as_that(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    const SERVES: (bool, bool) = (false, true);
    const DRAINS: (bool, bool) = (true, true);
    const LETS_NOBODY_IN: (bool, bool) = (true, false);
    let shown = async || -> Result<Vec<(bool, bool)>> {
        let live = world.other.gateways().await?;
        let shown = live.iter().map(|it| (it.draining, it.accepting));
        Ok(shown.collect())
    };
    assert_eq!(shown().await?, [SERVES, SERVES]);
    for _ in 0..2 {
        one.membership.show_draining(true).await?;
        assert_eq!(shown().await?, [DRAINS, SERVES]);
    }
    one.membership.show_draining(false).await?;
    assert_eq!(shown().await?, [LETS_NOBODY_IN, SERVES]);
    // Of this generation alone: another process may have the name by then.
    one.leave().await?;
    let one = world.gateway("one").await?;
    assert_eq!(shown().await?, [SERVES, SERVES]);
    one.membership.show_draining(false).await?;
    two.membership.show_draining(true).await?;
    assert_eq!(shown().await?, [LETS_NOBODY_IN, DRAINS]);
    Ok(())
}
