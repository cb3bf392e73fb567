//! Gateways: leases, reaping, words for one gateway, audits.

use std::sync::Arc;

use anyhow::{Result, ensure};
use carillon_common::{
    backend::{BusEvent, Claimed, Control, Disconnection},
    ids::{Cursor, UserId},
};

use futures_util::future::try_join_all;

use super::{
    DEADLINE, Stores,
    gateway::Gateway,
    presence::is_online,
    world::{LEASE, SECOND, World, cursors, limits, short_leases},
};
use crate::poll::eventually;

async fn live(world: &World, names: &[&str]) -> Result<()> {
    let live = world.other.gateways().await?;
    let live: Vec<&str> = live.iter().map(|it| it.name.as_str()).collect();
    ensure!(live == names, "live are {live:?}, expected {names:?}");
    Ok(())
}

async fn will_live(world: &World, names: &[&str]) -> Result<()> {
    eventually("the gateways that live", DEADLINE, async || {
        live(world, names).await
    })
    .await
}

/// Kills a gateway: it neither leaves nor renews, and its lease runs out.
async fn kill(world: &World, gateway: Gateway) {
    drop(gateway);
    world.advance(LEASE + SECOND / 5).await;
}

/// What simple connections of a dead gateway kept, for `session` now: it may be claimed once they are
/// reaped. (They are not counted any more from the lease's end on, which is before that.)
async fn when_reaped(alive: &Gateway, session: &str) -> Result<Claimed> {
    eventually("what the dead one held", DEADLINE, async || {
        let claimed = alive.claim("alice", session).await?;
        ensure!(!claimed.subscriptions.is_empty(), "{claimed:?}");
        Ok(claimed)
    })
    .await
}

pub(super) async fn gateways_live_while_their_lease_holds(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    live(&world, &[]).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    live(&world, &["one", "two"]).await?;
    world.advance(2 * LEASE).await;
    live(&world, &["one", "two"]).await?;
    one.leave().await?;
    live(&world, &["two"]).await?;
    kill(&world, two).await;
    will_live(&world, &[]).await
}

pub(super) async fn generations_rise(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let mut highest = u64::try_from(world.backend.clock().now())? - 2_000;
    for name in ["one", "two", "one", "one"] {
        let gateway = world.gateway(name).await?;
        assert!(gateway.generation() > highest);
        highest = gateway.generation();
    }
    Ok(())
}

pub(super) async fn a_dead_gateway_is_reaped_by_another(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let dead = world.gateway("dead").await?;
    let alive = world.other_gateway("alive").await?;
    dead.connect("alice", "phone").await?;
    dead.connect("bob", "phone").await?;
    alive.connect("bob", "laptop").await?;
    is_online(&world, 2).await?;
    kill(&world, dead).await;
    eventually("nobody on the dead one", DEADLINE, async || {
        let present = world.backend.presence(&"alice".parse()?).await?;
        ensure!(present.is_empty(), "{present:?}");
        Ok(())
    })
    .await?;
    is_online(&world, 1).await?;
    let present = world.backend.presence(&"bob".parse()?).await?;
    assert!(present.len() == 1 && present[0].gateway == alive.name);
    Ok(())
}

pub(super) async fn nobody_is_online_where_no_lease_holds(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    one.connect("alice", "phone").await?;
    two.connect("alice", "laptop").await?;
    two.connect("bob", "phone").await?;
    is_online(&world, 2).await?;
    // Nobody is left to reap them.
    drop(one);
    kill(&world, two).await;
    is_online(&world, 0).await?;
    let next = world.gateway("next").await?;
    next.connect("carol", "phone").await?;
    is_online(&world, 1).await
}

pub(super) async fn reaping_folds_anonymous_connections(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let dead = world.gateway("dead").await?;
    let alive = world.other_gateway("alive").await?;
    let tab = dead.connect("alice", "~tab").await?;
    let sent = world.send_many("alice", 3).await?;
    tab.ack(sent[0]).await?;
    tab.keep("news", world.publish("news").await?).await?;
    drop(tab);
    kill(&world, dead).await;
    when_reaped(&alive, "other").await?;
    let next = alive.connect("alice", "~next").await?;
    assert_eq!(next.cursors(), sent[1..]);
    next.ack(sent[2]).await?;
    assert!(alive.connect("alice", "~later").await?.cursors().is_empty());
    Ok(())
}

pub(super) async fn reaping_frees_subscriptions_where_they_stood(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let dead = world.gateway("dead").await?;
    let alive = world.other_gateway("alive").await?;
    let tab = dead.connect("alice", "~tab").await?;
    let at = world.publish("news").await?;
    tab.keep("news", at).await?;
    drop(tab);
    alive.connect("alice", "~next").await?;
    let claimed = alive.claim("alice", "next").await?;
    assert!(claimed.subscriptions.is_empty() && claimed.others_hold);
    kill(&world, dead).await;
    let claimed = when_reaped(&alive, "next").await?;
    assert_eq!(
        claimed.subscriptions,
        [super::gateway::subscription("news", at)?]
    );
    assert!(!claimed.others_hold);
    Ok(())
}

pub(super) async fn who_was_reaped_and_lives_registers_again(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let dead = world.gateway("dead").await?;
    let alive = world.other_gateway("alive").await?;
    let tab = dead.connect("alice", "~tab").await?;
    let sent = world.send_many("alice", 2).await?;
    tab.ack(sent[0]).await?;
    let registration = tab.registration.clone();
    let fence = tab.registered.fence;
    tab.keep("news", world.publish("news").await?).await?;
    drop(tab);
    kill(&world, dead).await;
    when_reaped(&alive, "other").await?;
    let again = carillon_common::backend::Registration {
        fence: Some(fence),
        ..registration
    };
    let tab = alive.register(again).await?;
    assert_eq!(
        (tab.registered.fence, tab.cursors()),
        (fence, sent[1..].to_vec())
    );
    assert!(tab.audit(&alive).await?.registered);
    Ok(())
}

pub(super) async fn joining_reaps_ones_own_past(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let past = world.gateway("g").await?;
    let other = world.other_gateway("other").await?;
    past.connect("alice", "phone").await?;
    other.connect("bob", "phone").await?;
    let before = past.generation();
    drop(past);
    let gateway = world.gateway("g").await?;
    assert!(gateway.generation() > before);
    is_online(&world, 1).await?;
    assert!(world.backend.presence(&"alice".parse()?).await?.is_empty());
    let phone = gateway.connect("alice", "phone").await?;
    assert!(phone.audit(&gateway).await?.registered);
    Ok(())
}

pub(super) async fn only_the_dead_generation_is_reaped(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let alive = world.other_gateway("alive").await?;
    let past = world.gateway("g").await?;
    past.connect("alice", "phone").await?;
    drop(past);
    let gateway = world.gateway("g").await?;
    let mut laptop = gateway.connect("alice", "laptop").await?;
    let mut generation = gateway.generation();
    world.advance(2 * LEASE).await;
    // Somebody else's death shows that the reaper has been around.
    let dead = world.gateway("dead").await?;
    dead.connect("bob", "phone").await?;
    kill(&world, dead).await;
    eventually("alice's laptop alone is online", DEADLINE, async || {
        // Where this machine is too busy to renew a lease in time, the gateway registers again under the next.
        if gateway.generation() != generation {
            generation = gateway.generation();
            laptop = laptop.again(&gateway).await?;
        }
        let online = world.other.online_count().await?;
        ensure!(online == 1, "{online} online");
        ensure!(laptop.audit(&gateway).await?.registered, "not registered");
        Ok(())
    })
    .await?;
    live(&world, &["alive", "g"]).await?;
    drop(alive);
    Ok(())
}

pub(super) async fn leaving_forgets_ones_own_connections_at_once(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let leaves = world.gateway("leaves").await?;
    let stays = world.other_gateway("stays").await?;
    let tab = leaves.connect("alice", "~tab").await?;
    tab.keep("news", Cursor { seq: 5, nonce: 5 }).await?;
    leaves.connect("bob", "phone").await?;
    stays.connect("bob", "laptop").await?;
    leaves.leave().await?;
    live(&world, &["stays"]).await?;
    assert!(world.other.presence(&"alice".parse()?).await?.is_empty());
    assert_eq!(world.other.presence(&"bob".parse()?).await?.len(), 1);
    is_online(&world, 1).await?;
    let claimed = stays.claim("alice", "next").await?;
    assert_eq!(claimed.subscriptions.len(), 1);
    Ok(())
}

pub(super) async fn a_lost_lease_is_replaced_and_said(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let lost = gateway.generation();
    world.lose_lease(&gateway.name).await?;
    let dirty = |event: &BusEvent| matches!(event, BusEvent::Dirty { .. }).then_some(());
    gateway.heard.heard(1, dirty).await?;
    eventually("a new generation", DEADLINE, async || {
        ensure!(gateway.generation() > lost, "still {lost}");
        Ok(())
    })
    .await?;
    live(&world, &["g"]).await?;
    assert!(!phone.audit(&gateway).await?.registered);
    let phone = phone.again(&gateway).await?;
    assert!(phone.audit(&gateway).await?.registered);
    let present = world.backend.presence(&"alice".parse()?).await?;
    assert_eq!(present[0].generation, gateway.generation());
    world.send("alice").await?;
    gateway.heard.inbox(&"alice".parse()?, 1).await?;
    Ok(())
}

pub(super) async fn a_word_reaches_its_gateway_once(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let disconnect = |user: &str| -> Result<Control> {
        Ok(Control::Disconnect(Disconnection::of(user.parse()?)))
    };
    let words = [
        disconnect("alice")?,
        Control::Disconnect(Disconnection {
            device: Some("phone".parse()?),
            session: Some("s1".parse()?),
            code: Some(4001),
            reason: Some("logged \"out\"".into()),
            ..Disconnection::of("a|{b}\n".parse()?)
        }),
        Control::Drain,
        Control::Rebalance { users: 20 },
    ];
    for word in &words {
        world.backend.control(&one.name, word).await?;
    }
    let end = disconnect("end")?;
    world.other.control(&two.name, &end).await?;
    let heard = |event: &BusEvent| match event {
        BusEvent::Control(word) => Some(word.clone()),
        _ => None,
    };
    assert_eq!(one.heard.heard(4, heard).await?, words);
    assert_eq!(two.heard.heard(1, heard).await?, std::slice::from_ref(&end));
    // One more, after which any repetition of those before would have come.
    world.advance(2 * SECOND).await;
    world.backend.control(&one.name, &end).await?;
    assert_eq!(one.heard.heard(5, heard).await?.len(), 5);
    assert_eq!(two.heard.heard(1, heard).await?.len(), 1);
    Ok(())
}

pub(super) async fn however_many_words_are_left_all_are_heard(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let words = (0..350).map(|users| Control::Rebalance { users });
    let words: Vec<_> = words.collect();
    for some in words.chunks(50) {
        let left = some
            .iter()
            .map(|word| world.other.control(&gateway.name, word));
        // Which of them comes first is decided in the store.
        try_join_all(left).await?;
    }
    let heard = |event: &BusEvent| match event {
        BusEvent::Control(Control::Rebalance { users }) => Some(*users),
        _ => None,
    };
    let mut heard = gateway.heard.heard(350, heard).await?;
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..350));
    Ok(())
}

pub(super) async fn audits_tell_where_a_connection_stands(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let phone = one.connect("alice", "phone").await?;
    let answer = phone.audit(&one).await?;
    assert_eq!((answer.last, answer.registered), (Cursor::ZERO, true));
    let sent = world.send_many("alice", 2).await?;
    assert_eq!(phone.audit(&one).await?.last, sent[1]);
    assert!(!phone.audit(&two).await?.registered, "not there");
    two.connect("alice", "phone").await?;
    let answer = phone.audit(&one).await?;
    assert_eq!((answer.last, answer.registered), (sent[1], false));
    Ok(())
}

pub(super) async fn audits_answer_each_question_in_turn(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    for n in 0..50 {
        let (user, tab) = (format!("user{n}"), format!("~tab{n}"));
        let connection = gateway.connect(&user, &tab).await?;
        let last = if n % 2 == 0 {
            world.send(&user).await?
        } else {
            Cursor::ZERO
        };
        if n % 3 == 0 {
            connection.end().await?;
        }
        expected.push((last, n % 3 != 0));
        questions.push(carillon_common::backend::AuditQuestion {
            user: connection.registration.user.clone(),
            device: connection.registration.device.clone(),
            session: connection.registration.session.clone(),
        });
    }
    let answers = gateway.membership.audit(&questions).await?;
    let answers: Vec<_> = answers.iter().map(|a| (a.last, a.registered)).collect();
    assert_eq!(answers, expected);
    assert!(gateway.membership.audit(&[]).await?.is_empty());
    Ok(())
}

pub(super) async fn what_is_sent_to_a_dead_gateways_user_is_kept(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, short_leases()).await?;
    let dead = world.gateway("dead").await?;
    let alive = world.other_gateway("alive").await?;
    dead.connect("alice", "phone").await?;
    let user: UserId = "alice".parse()?;
    let first = world.send("alice").await?;
    dead.heard.inbox(&user, 1).await?;
    drop(dead);
    let second = world.send("alice").await?;
    world.advance(LEASE + SECOND / 5).await;
    let third = world.send("alice").await?;
    let phone = alive.connect("alice", "phone").await?;
    assert_eq!(phone.cursors(), [first, second, third]);
    assert_eq!(cursors(&alive.kept("alice").await?).len(), 3);
    Ok(())
}

pub(super) async fn registrations_that_nobody_holds_are_released(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let other = world.other_gateway("h").await?;
    let (alice, bob): (UserId, UserId) = ("alice".parse()?, "bob".parse()?);
    let phone = gateway.connect("alice", "phone").await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    let tab = gateway.connect("bob", "~tab").await?;
    let elsewhere = other.connect("bob", "phone").await?;
    let registered = async || -> Result<Vec<UserId>> {
        let mut users = gateway.registered().await?;
        users.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(users)
    };
    assert_eq!(registered().await?, [alice.clone(), bob.clone()]);

    let both = [phone.registered.fence, laptop.registered.fence];
    assert_eq!(gateway.release(&alice, &both).await?, 0);
    assert_eq!(gateway.release(&alice, &both[..1]).await?, 1);
    assert!(phone.audit(&gateway).await?.registered);
    assert!(!laptop.audit(&gateway).await?.registered);
    assert_eq!(registered().await?, [alice.clone(), bob.clone()]);

    assert_eq!(gateway.release(&bob, &[]).await?, 1);
    assert!(!tab.audit(&gateway).await?.registered);
    assert!(
        elsewhere.audit(&other).await?.registered,
        "another gateway's"
    );
    assert_eq!(registered().await?, [alice]);
    assert_eq!(gateway.release(&"carol".parse()?, &[]).await?, 0);
    is_online(&world, 2).await
}
