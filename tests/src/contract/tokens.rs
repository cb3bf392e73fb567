//! Revocations that every process knows, and tickets that are good once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use carillon_common::{
    auth::{Claims, Revocation, Revocations, Revoked, Ticket},
    backend::{BackendError, Note, RevokeOrder, TicketOrder},
    ids::{Millis, TokenId, UserId},
};

use super::{
    Stores,
    world::{HOUR, SECOND, World, limits},
};
use crate::poll::eventually;

/// How long until every process knows.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

fn user(name: &str) -> Result<Revoked> {
    Ok(Revoked::User(UserId::new(name)?))
}

fn ms(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

impl World {
    fn now(&self) -> Millis {
        self.backend.clock().now()
    }

    fn revocation(
        &self,
        what: Revoked,
        issued_before: Option<Millis>,
        lasts: Duration,
    ) -> RevokeOrder {
        RevokeOrder {
            revocation: Revocation {
                what,
                issued_before,
                until: self.now() + ms(lasts),
            },
            note: Note {
                at: self.now(),
                by: "ops".to_owned(),
                reason: Some("a \"test\"".to_owned()),
            },
            most: 100,
        }
    }

    async fn revoke(&self, what: Revoked, issued_before: Option<Millis>) -> Result<()> {
        let order = self.revocation(what, issued_before, HOUR);
        Ok(self.backend.revoke(&order).await?)
    }

    fn ticket(&self, user: &str, ttl: Duration) -> Result<(Ticket, TicketOrder)> {
        let ticket = Ticket::generate();
        let order = TicketOrder {
            ticket: ticket.hash(),
            user: UserId::new(user)?,
            claims: Claims {
                sub: user.into(),
                exp_ms: self.now() + ms(HOUR),
                iat_ms: self.now(),
                jti: Some("j".into()),
                channels: Box::default(),
                warrant: None,
            },
            ttl,
            most: 3,
        };
        Ok((ticket, order))
    }

    /// Waits until both processes say this of a token of alice's with the id 1.
    async fn both_say(&self, iat_ms: Millis, revoked: bool) -> Result<()> {
        for known in [self.backend.revocations(), self.other.revocations()] {
            let says = async || self.says(&known, iat_ms, revoked);
            eventually("both processes say it", KNOWN_WITHIN, says).await?;
        }
        Ok(())
    }

    fn says(&self, known: &Revocations, iat_ms: Millis, revoked: bool) -> Result<()> {
        let is = known.include("alice", Some("1"), iat_ms, self.now());
        ensure!(is == revoked, "issued at {iat_ms}: {is}, {known:?}");
        Ok(())
    }
}

pub(super) async fn what_is_revoked_in_one_process_is_known_in_the_other(
    stores: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    world.both_say(0, false).await?;
    let now = world.now();
    world.revoke(user("alice")?, Some(now)).await?;
    // The one that was asked knows by the time it answers.
    world.says(&world.backend.revocations(), now - 1, true)?;
    world.both_say(now - 1, true).await?;
    world.both_say(now, false).await?;
    world
        .revoke(Revoked::Token(TokenId::new("1")?), None)
        .await?;
    world.both_say(now, true).await
}

pub(super) async fn to_revoke_again_adds_up(stores: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let now = world.now();
    world.revoke(user("alice")?, Some(now)).await?;
    world.revoke(user("alice")?, Some(now - 1_000)).await?;
    world.both_say(now - 1, true).await?;
    let listed = world.backend.list_revocations(None, 10).await?;
    ensure!(listed.len() == 1, "{listed:?}");
    ensure!(
        listed[0].revocation.issued_before == Some(now),
        "{listed:?}"
    );
    world.revoke(user("alice")?, None).await?;
    world.both_say(now + 5, true).await?;
    world.revoke(user("alice")?, Some(now)).await?;
    world.both_say(now + 5, true).await
}

pub(super) async fn a_revocation_that_is_taken_back_is_gone_everywhere(
    stores: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    ensure!(!world.backend.take_back(&user("alice")?).await?);
    world.revoke(user("alice")?, None).await?;
    world.both_say(0, true).await?;
    ensure!(world.other.take_back(&user("alice")?).await?);
    world.says(&world.other.revocations(), 0, false)?;
    world.both_say(0, false).await?;
    ensure!(!world.backend.take_back(&user("alice")?).await?);
    // It stays gone, and can be revoked anew.
    tokio::time::sleep(SECOND * 2).await;
    world.both_say(0, false).await?;
    world.revoke(user("alice")?, None).await?;
    world.both_say(0, true).await
}

pub(super) async fn a_revocation_lapses(stores: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let order = world.revocation(user("alice")?, None, SECOND * 2);
    world.backend.revoke(&order).await?;
    world.both_say(0, true).await?;
    world.advance(SECOND * 3).await;
    world.both_say(0, false).await?;
    let listed = world.backend.list_revocations(None, 10).await?;
    ensure!(listed.is_empty(), "{listed:?}");
    Ok(())
}

pub(super) async fn revocations_are_bounded(stores: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let few = |name: &str, lasts| -> Result<RevokeOrder> {
        let order = world.revocation(user(name)?, None, lasts);
        Ok(RevokeOrder { most: 2, ..order })
    };
    world.backend.revoke(&few("a", HOUR)?).await?;
    world.backend.revoke(&few("b", HOUR)?).await?;
    let refused = world.backend.revoke(&few("c", HOUR)?).await;
    ensure!(
        matches!(refused, Err(BackendError::TooManyRevocations)),
        "{refused:?}"
    );
    // One that is there already takes no room.
    world.backend.revoke(&few("a", HOUR * 2)?).await?;
    ensure!(world.backend.take_back(&user("b")?).await?);
    world.backend.revoke(&few("c", HOUR)?).await?;
    let listed = world.backend.list_revocations(None, 10).await?;
    let names: Vec<_> = listed.iter().map(|it| it.revocation.what.clone()).collect();
    ensure!(names == [user("a")?, user("c")?], "{names:?}");
    Ok(())
}

pub(super) async fn revocations_are_listed_in_pages_with_what_is_told_of_them(
    stores: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let all: BTreeSet<_> = [
        user("alice")?,
        user("bob")?,
        Revoked::Token(TokenId::new("1")?),
        Revoked::TokenOf(UserId::new("a:b")?, TokenId::new("c:d")?),
        Revoked::User(UserId::new("ü \" '")?),
    ]
    .into();
    for what in &all {
        world.revoke(what.clone(), Some(1_000)).await?;
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = world.other.list_revocations(after.as_ref(), 2).await?;
        ensure!(page.len() <= 2, "{page:?}");
        let Some(last) = page.last() else { break };
        after = Some(last.revocation.what.clone());
        for listed in page {
            let note = listed.note.ok_or_else(|| anyhow::anyhow!("no note"))?;
            ensure!(note.by == "ops" && note.reason.as_deref() == Some("a \"test\""));
            seen.push(listed.revocation.what);
        }
    }
    ensure!(seen.iter().eq(&all), "{seen:?}");
    Ok(())
}

pub(super) async fn a_ticket_is_redeemed_once(stores: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let (ticket, order) = world.ticket("alice", HOUR)?;
    world.backend.put_ticket(&order).await?;
    let unknown = Ticket::generate().hash();
    ensure!(world.other.redeem_ticket(&unknown).await?.is_none());
    let claims = world.other.redeem_ticket(&ticket.hash()).await?;
    ensure!(claims.as_ref() == Some(&order.claims), "{claims:?}");
    for backend in [&world.backend, &world.other] {
        ensure!(backend.redeem_ticket(&ticket.hash()).await?.is_none());
    }
    Ok(())
}

pub(super) async fn of_two_who_show_a_ticket_at_once_one_gets_it(
    stores: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    for _ in 0..20 {
        let (ticket, order) = world.ticket("alice", HOUR)?;
        world.backend.put_ticket(&order).await?;
        let hash = ticket.hash();
        let (one, two) = tokio::try_join!(
            world.backend.redeem_ticket(&hash),
            world.other.redeem_ticket(&hash)
        )?;
        ensure!(one.is_some() != two.is_some(), "{one:?} and {two:?}");
    }
    Ok(())
}

pub(super) async fn a_ticket_lapses(stores: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let (ticket, order) = world.ticket("alice", SECOND)?;
    world.backend.put_ticket(&order).await?;
    world.advance(SECOND * 2).await;
    ensure!(world.backend.redeem_ticket(&ticket.hash()).await?.is_none());
    Ok(())
}

pub(super) async fn the_tickets_of_a_user_are_bounded(stores: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*stores, limits()).await?;
    let (first, order) = world.ticket("alice", HOUR)?;
    world.backend.put_ticket(&order).await?;
    for _ in 0..2 {
        world
            .other
            .put_ticket(&world.ticket("alice", HOUR)?.1)
            .await?;
    }
    for _ in 0..3 {
        let (ticket, order) = world.ticket("alice", HOUR)?;
        let refused = world.backend.put_ticket(&order).await;
        ensure!(
            matches!(refused, Err(BackendError::TooManyTickets(_))),
            "{refused:?}"
        );
        ensure!(world.backend.redeem_ticket(&ticket.hash()).await?.is_none());
    }
    world
        .backend
        .put_ticket(&world.ticket("bob", HOUR)?.1)
        .await?;
    // One that is used makes room.
    ensure!(world.other.redeem_ticket(&first.hash()).await?.is_some());
    world
        .backend
        .put_ticket(&world.ticket("alice", HOUR)?.1)
        .await?;
    // Those that lapse do as well.
    for _ in 0..3 {
        world
            .backend
            .put_ticket(&world.ticket("carol", SECOND)?.1)
            .await?;
    }
    world.advance(SECOND * 2).await;
    world
        .backend
        .put_ticket(&world.ticket("carol", HOUR)?.1)
        .await?;
    Ok(())
}
