//! Calls, and which history of a partition they believe.
//!
//! A node that restarted empty, came back with older data, or was left behind by a failover must not
//! be taken for the truth: a user whose inbox went with it would be told that nothing was missed. So
//! each partition names its history (an id, drawn once) and counts what was accepted under it. Every
//! call that reads or writes a history says which one it knows, in the same round trip, and is
//! refused where another is served. Whoever is refused first marks the loss in the partition, as a
//! commit like any other: a node that the replicas do not follow cannot confirm it, and is not
//! believed. From then on the loss shows, as an entry, in every inbox and log of the partition.

use std::{sync::Weak, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use redis::Value;
use tokio_util::sync::CancellationToken;

use super::{
    calls::{Call, Settle, number},
    history::Known,
    link::Durability,
    reply::Reply,
    shared::Shared,
};
use crate::backend::BackendError;

/// How often one call meets another history before it gives up: once for each that was marked
/// meanwhile, and some for nodes that are being replaced.
const ATTEMPTS: usize = 4;

impl Shared {
    /// Calls a function that concerns no history.
    pub(super) async fn call<'a, C: Call<'a>>(
        &self,
        partition: u16,
        call: C,
    ) -> Result<Value, BackendError> {
        let (keys, args) = call.parts();
        let functions = &self.functions;
        let answer = functions.call(&self.link, partition, C::FUNCTION, &keys, &args, None);
        Ok(answer.await?)
    }

    /// Calls a function that reads a history, or changes what need not be confirmed.
    pub(super) async fn read<'a>(
        &self,
        partition: u16,
        call: impl Call<'a>,
    ) -> Result<Value, BackendError> {
        self.believed(partition, call, None).await
    }

    /// The same, confirmed by as many replicas as the deployment asks for.
    pub(super) async fn commit<'a>(
        &self,
        partition: u16,
        call: impl Call<'a>,
    ) -> Result<Value, BackendError> {
        self.believed(partition, call, self.options.durability)
            .await
    }

    /// Calls a function of a partition whose history is the one we know; until it is, nothing is done.
    ///
    /// # Errors
    /// Those of the call, or [`BackendError::Unavailable`] as long as it cannot be settled which
    /// history is to be believed.
    pub(super) async fn believed<'a, C: Call<'a>>(
        &self,
        partition: u16,
        call: C,
        durability: Option<Durability>,
    ) -> Result<Value, BackendError> {
        let history = self.keys.history(partition);
        let (mut keys, args) = call.parts();
        keys.push(&history);
        for _ in 0..ATTEMPTS {
            let Some(known) = self.histories.known(partition) else {
                self.look_again(partition, None).await?;
                continue;
            };
            let said = [known.id.clone(), number(known.accepted)];
            let args = [args.as_slice(), &said].concat();
            let (link, functions) = (&self.link, &self.functions);
            let answer = functions.call(link, partition, C::FUNCTION, &keys, &args, durability);
            let mut reply = Reply::new(answer.await?)?;
            if reply.text()? != "here" {
                self.look_again(partition, Some(&known.id)).await?;
                continue;
            }
            let accepted = reply.parse()?;
            if durability.is_some() || self.options.durability.is_none() {
                self.histories.reached(partition, &known.id, accepted);
            }
            return reply.value();
        }
        Err(BackendError::Unavailable(
            "it is not settled yet which of its histories is to be believed".to_owned(),
        ))
    }

    /// Whether what was read beside these fields of a partition's history is to be believed: they are
    /// of the one that was `known` before. If not, that is settled first.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when it is not.
    pub(super) async fn believe(
        &self,
        partition: u16,
        known: Option<Known>,
        (id, accepted): (Option<String>, Option<u64>),
    ) -> Result<(), BackendError> {
        let is_known = |known: &Known| {
            id.as_ref().is_some_and(|id| *id.as_bytes() == *known.id)
                && accepted >= Some(known.accepted)
        };
        if known.as_ref().is_some_and(is_known) {
            return Ok(());
        }
        let doubted = known.map(|known| known.id);
        self.look_again(partition, doubted.as_ref()).await?;
        Err(BackendError::Unavailable(
            "another history was served; ask again".to_owned(),
        ))
    }

    /// Settles which history a partition serves, unless another call has done so since `doubted` was
    /// what we knew.
    async fn look_again(
        &self,
        partition: u16,
        doubted: Option<&Bytes>,
    ) -> Result<(), BackendError> {
        let _one = self.histories.looking(partition).await;
        let known = self.histories.known(partition);
        if known.as_ref().map(|known| &known.id) != doubted {
            return Ok(());
        }
        let result = self.look(partition, known).await;
        let result = result.map(|missing| self.report(missing.as_slice()));
        let wrong = result.as_ref().err();
        self.set_wrong(
            "history",
            wrong.map(|error| format!("a partition serves another history than before: {error}")),
        );
        result
    }

    /// Asks which history a partition serves, and marks it if that is not the one we know.
    /// Answers how much is missing, if it was marked.
    async fn look(
        &self,
        partition: u16,
        known: Option<Known>,
    ) -> Result<Option<u64>, BackendError> {
        // Of the first look nothing is concluded, so it need not be confirmed either.
        let durability = known.as_ref().and(self.options.durability);
        let confirmed = known.is_some() || self.options.durability.is_none();
        let was = known.unwrap_or(Known {
            id: Bytes::new(),
            accepted: 0,
            lost: 0,
        });
        let fresh = format!("{:016x}", rand::random::<u64>());
        let history = self.keys.history(partition);
        let settle = Settle {
            history: &history,
            known: was.id,
            known_accepted: number(was.accepted),
            known_lost: number(was.lost),
            fresh: fresh.into(),
        };
        let (keys, args) = settle.parts();
        let (link, functions) = (&self.link, &self.functions);
        let answer = functions.call(link, partition, Settle::FUNCTION, &keys, &args, durability);
        let mut reply = Reply::new(answer.await?)?;
        let what = reply.text()?;
        let mut now = Known {
            id: reply.text()?.into(),
            accepted: reply.parse()?,
            lost: reply.parse()?,
        };
        let missing: u64 = reply.parse()?;
        if !confirmed {
            now.accepted = 0;
        }
        self.histories.adopt(partition, now);
        if what != "same" {
            self.histories.tell_loss();
        }
        Ok((what == "rewound").then_some(missing))
    }

    /// Says what was marked, if anything was.
    fn report(&self, missing: &[u64]) {
        if missing.is_empty() {
            return;
        }
        self.link.stats().rewound.inc_by(missing.len() as u64);
        tracing::error!(
            partitions = missing.len(),
            missing = missing.iter().sum::<u64>(),
            "a part of Redis came back without what it had accepted (it restarted empty or with older \
             data, or a replica was promoted that was behind); who may miss something is told: see \
             \"What accepted survives\" in README.md"
        );
    }

    /// Looks at every partition; what fails is looked at again.
    async fn look_everywhere(&self) {
        let looks = (0..self.keys.partitions()).map(|partition| async move {
            let _one = self.histories.looking(partition).await;
            self.look(partition, self.histories.known(partition)).await
        });
        let mut missing = Vec::new();
        for result in join_all(looks).await {
            match result {
                Ok(marked) => missing.extend(marked),
                Err(error) => {
                    tracing::debug!(%error, "a partition's history cannot be looked at now");
                }
            }
        }
        self.report(&missing);
    }
}

/// Looks at all histories every now and then, and when nodes change: what nobody asks for goes missing
/// as silently as what somebody does, and one process knows of what another accepted by this alone.
pub(super) async fn watch_histories(
    shared: Weak<Shared>,
    interval: Duration,
    stop: CancellationToken,
) {
    let Some(mut topology) = shared.upgrade().map(|shared| shared.link.topology()) else {
        return;
    };
    loop {
        let Some(strong) = shared.upgrade() else {
            return;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = strong.look_everywhere() => {}
        }
        drop(strong);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval.mul_f64(rand::random_range(0.75..1.25))) => {}
            changed = topology.changed() => if changed.is_err() { return },
        }
    }
}
