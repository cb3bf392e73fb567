//! What is lent of each account, and who borrows: with plain commands, beside everything else.
//!
//! An account is a sorted set with one member, whose score is the account's instant: `ZADD … GT` brings it to now
//! where it is in the past, and `ZINCRBY` moves it on and reads it. Each is atomic by itself, and nothing that comes
//! between them does harm. So no function is needed, and whatever a failover loses of it is given once more: a burst.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use redis::{Pipeline, Value};

use super::{keys::Keys, shared::Shared};
use crate::backend::{Ask, BackendError, Lent, allowance::Drawn, url::Address};

/// The one member of an account.
const MEMBER: &str = "t";
/// An account outlives what was lent of it by this.
const SPARE_MS: f64 = 10_000.0;

/// An ask, and where its account is.
struct Placed<'a> {
    ask: &'a Ask,
    partition: u16,
    key: String,
    /// Its position among the asks.
    at: usize,
}

impl Shared {
    /// Lends what is asked for: one round trip to each primary, and one more where there was not enough.
    pub(super) async fn lend(&self, asks: &[Ask]) -> Result<Vec<Lent>, BackendError> {
        let groups = self.by_primary(asks)?;
        let lending: Vec<_> = groups.iter().map(|group| self.lend_of_one(group)).collect();
        let lent = try_join_all(lending).await?;
        let mut answers = vec![
            Lent {
                units: 0,
                left: 0.0,
            };
            asks.len()
        ];
        let all = groups.iter().flatten().zip(lent.into_iter().flatten());
        for (placed, lent) in all {
            answers[placed.at] = lent;
        }
        Ok(answers)
    }

    /// Asks whose accounts one primary has, together.
    fn by_primary<'a>(&self, asks: &'a [Ask]) -> Result<Vec<Vec<Placed<'a>>>, BackendError> {
        let topology = self.link.topology().borrow().clone();
        let mut groups: BTreeMap<&Address, Vec<Placed<'_>>> = BTreeMap::new();
        for (at, ask) in asks.iter().enumerate() {
            let (partition, key) = self.keys.allowance(ask.kind, &ask.account);
            let Some(owner) = topology.owner(partition) else {
                self.link.suspect_topology();
                let reason = format!("no primary owns partition {partition}");
                return Err(BackendError::Unavailable(reason));
            };
            let placed = Placed {
                ask,
                partition,
                key,
                at,
            };
            groups.entry(owner).or_default().push(placed);
        }
        Ok(groups.into_values().collect())
    }

    async fn lend_of_one(&self, group: &[Placed<'_>]) -> Result<Vec<Lent>, BackendError> {
        let Some(first) = group.first() else {
            return Ok(Vec::new());
        };
        let now = self.clock.now() as f64;
        let mut pipeline = redis::pipe();
        for Placed { ask, key, .. } in group {
            let mut bring = redis::cmd("ZADD");
            bring.arg(key).arg("GT").arg(now.to_string()).arg(MEMBER);
            pipeline.add_command(bring).ignore();
            let mut move_on = redis::cmd("ZINCRBY");
            let step = ask.quota.step_ms(ask.wanted);
            move_on.arg(key).arg(step.to_string()).arg(MEMBER);
            pipeline.add_command(move_on);
            let life = (ask.quota.window_ms() + SPARE_MS).ceil();
            let mut expire = redis::cmd("PEXPIRE");
            expire.arg(key).arg(life.to_string());
            pipeline.add_command(expire).ignore();
        }
        let moved: Vec<f64> = self.link.pipeline(first.partition, &pipeline).await?;

        let mut back = redis::pipe();
        let lent = group.iter().zip(moved).map(|(placed, after)| {
            match placed.ask.quota.drawn(placed.ask.wanted, after, now) {
                Drawn::Lent(lent, step) => {
                    put_back(&mut back, &placed.key, step);
                    lent
                }
                Drawn::Set(to) => {
                    let mut set = redis::cmd("ZADD");
                    set.arg(&placed.key).arg(to.to_string()).arg(MEMBER);
                    back.add_command(set);
                    Lent {
                        units: 0,
                        left: 0.0,
                    }
                }
            }
        });
        let lent: Vec<Lent> = lent.collect();
        if !back.is_empty() {
            self.link.pipeline::<Value>(first.partition, &back).await?;
        }
        Ok(lent)
    }

    /// Notes who borrows, and counts all who do.
    pub(super) async fn note_borrower(
        &self,
        borrower: &str,
        for_: Duration,
    ) -> Result<u32, BackendError> {
        let key = self.keys.borrowers();
        let now = self.clock.now();
        let for_ms = i64::try_from(for_.as_millis()).unwrap_or(i64::MAX / 2);
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZADD")
            .arg(&key)
            .arg(now.saturating_add(for_ms))
            .arg(borrower)
            .ignore();
        pipeline
            .cmd("ZREMRANGEBYSCORE")
            .arg(&key)
            .arg("-inf")
            .arg(now)
            .ignore();
        pipeline.cmd("ZCARD").arg(&key);
        pipeline
            .cmd("PEXPIRE")
            .arg(&key)
            .arg(for_ms.saturating_mul(2))
            .ignore();
        let (count,): (u32,) = self.link.pipeline(Keys::HOME, &pipeline).await?;
        Ok(count.max(1))
    }
}

fn put_back(pipeline: &mut Pipeline, key: &str, step: f64) {
    if step < 0.0 {
        let mut back = redis::cmd("ZINCRBY");
        back.arg(key).arg(step.to_string()).arg(MEMBER);
        pipeline.add_command(back);
    }
}
