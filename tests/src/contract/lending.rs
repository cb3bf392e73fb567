//! Allowance that processes borrow.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use carillon_common::{
    backend::{AccountKind, Ask, Backend, Lent, Quota},
    ids::Millis,
};

use super::{
    Stores,
    world::{World, limits},
};

const QUOTA: Quota = Quota {
    per_second: 5,
    burst: 10,
};

fn ask(kind: AccountKind, account: &str, wanted: u32) -> Ask {
    Ask {
        kind,
        account: account.into(),
        quota: QUOTA,
        wanted,
    }
}

async fn lend(of: &dyn Backend, account: &str, wanted: u32) -> Result<Lent> {
    let lent = of.lend(&[ask(AccountKind::User, account, wanted)]).await?;
    lent.first().copied().context("no answer")
}

/// What has been lent of one account since it was whole.
struct Tally<'a> {
    world: &'a World,
    began: Millis,
    units: u32,
}

impl Tally<'_> {
    /// What may have come in since then, however long this machine took: and one, for the clocks' rounding.
    fn earned(&self) -> Result<u32> {
        let elapsed = u32::try_from(self.world.backend.clock().now() - self.began)?;
        Ok(elapsed * QUOTA.per_second / 1_000 + 1)
    }

    fn add(&mut self, lent: Lent) -> Result<()> {
        self.units += lent.units;
        let most = QUOTA.burst + self.earned()?;
        ensure!(
            self.units <= most,
            "{} lent of {most}, {lent:?}",
            self.units
        );
        Ok(())
    }
}

pub(super) async fn a_burst_is_lent_and_then_the_rate(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let (one, other) = (&*world.backend, &*world.other);
    let mut tally = Tally {
        world: &world,
        began: world.backend.clock().now(),
        units: 0,
    };
    let first = lend(one, "alice", 7).await?;
    assert!(
        first.units == 7 && (2.9..4.0).contains(&first.left),
        "{first:?}"
    );
    tally.add(first)?;
    // What the other wants too much does not count against anybody.
    // Its clock may be behind by what a round trip takes, and then a part of a unit is not there yet.
    let rest = lend(other, "alice", 10).await?;
    assert!(rest.units >= 2 && rest.left < 1.0, "{rest:?}");
    tally.add(rest)?;
    tally.add(lend(one, "alice", 10).await?)?;
    world.advance(Duration::from_secs(1)).await;
    let (here, there) = tokio::try_join!(lend(one, "alice", 4), lend(other, "alice", 4))?;
    assert!(here.units + there.units >= 4, "{here:?} {there:?}");
    tally.add(here)?;
    tally.add(there)?;
    world.advance(Duration::from_secs(3)).await;
    let whole = lend(other, "alice", 10).await?;
    assert_eq!(whole.units, 10, "{whole:?}");
    tally.add(whole)
}

pub(super) async fn accounts_share_nothing(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let asks: Vec<_> = (0..100)
        .flat_map(|at| {
            let name = format!("a:{at}");
            let service = ask(AccountKind::Service, &name, 10);
            [ask(AccountKind::User, &name, 6), service]
        })
        .collect();
    let began = world.backend.clock().now();
    let lent = world.backend.lend(&asks).await?;
    let units: Vec<_> = lent.iter().map(|lent| lent.units).collect();
    let wanted: Vec<_> = asks.iter().map(|ask| ask.wanted).collect();
    assert_eq!(units, wanted, "in the order of the asks");
    let lent = world.other.lend(&asks).await?;
    let elapsed = u32::try_from(world.backend.clock().now() - began)?;
    for (ask, lent) in asks.iter().zip(lent) {
        let most = 10 - ask.wanted + elapsed * QUOTA.per_second / 1_000 + 1;
        assert!(lent.units <= most, "{ask:?} {lent:?}");
    }
    assert!(world.backend.lend(&[]).await?.is_empty());
    Ok(())
}

pub(super) async fn who_borrows_is_counted_for_a_while(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
    assert_eq!(world.backend.borrowers("a", long).await?, 1);
    assert_eq!(world.other.borrowers("b", short).await?, 2);
    assert_eq!(world.other.borrowers("b", short).await?, 2);
    world.advance(Duration::from_millis(1_500)).await;
    assert_eq!(world.backend.borrowers("a", long).await?, 1);
    Ok(())
}
