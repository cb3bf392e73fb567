//! Asks the store for what is to be borrowed: now and then, and sooner where it will not last.

use std::{future::pending, time::Duration};

use carillon_common::backend::BackendError;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Allowance;

/// Between two asks, and half as long to half as long again, so that dispatchers take turns in being the first to
/// find something there.
const EVERY: Duration = Duration::from_millis(100);
/// Between two asks where there is hurry.
const AT_LEAST: Duration = Duration::from_millis(5);
/// How often the dispatchers are counted, and how long one that has gone still counts. Well within the time after
/// which a store that says nothing is taken to be away.
const COUNTED_EVERY: Duration = Duration::from_millis(500);
const COUNTED_FOR: Duration = Duration::from_secs(3);
/// An answer that takes longer is none: what it would have lent is lost.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// When to ask again.
enum Next {
    /// There is more to ask for.
    AtOnce,
    /// Sooner than usual where there is hurry.
    InAHurry,
    /// The store did not answer.
    AsUsual,
}

impl Allowance {
    /// Borrows as long as there are limits. Never ends.
    pub(crate) async fn run(&self) {
        let mut settings = self.live.changes();
        let mut keys = self.keyring.changes();
        let mut count_at = Instant::now();
        loop {
            if !self.is_limiting() {
                self.metrics.allowance_alone.set(0);
                tokio::select! {
                    changed = settings.changed() => if changed.is_err() { return },
                    changed = keys.changed() => if changed.is_err() { return },
                }
                count_at = Instant::now();
                continue;
            }
            if Instant::now() >= count_at {
                self.count().await;
                count_at = Instant::now() + COUNTED_EVERY;
            }
            let asked_at = Instant::now();
            let next = self.borrow_once().await;
            self.show();
            let pause = EVERY.mul_f64(rand::random_range(0.5..1.5));
            let hurry = async {
                match next {
                    Next::AtOnce => {}
                    Next::InAHurry => self.hurry.notified().await,
                    Next::AsUsual => pending().await,
                }
                sleep_until(asked_at + AT_LEAST).await;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = hurry => {}
            }
        }
    }

    /// Asks once.
    async fn borrow_once(&self) -> Next {
        let asks = self.machine.lock().asks(Instant::now());
        if asks.is_empty() {
            return Next::InAHurry;
        }
        let lent = in_time(self.backend.lend(&asks)).await;
        let result = if lent.is_ok() { "answered" } else { "failed" };
        self.metrics.borrowed.with_label_values(&[result]).inc();
        let mut machine = self.machine.lock();
        match lent {
            Ok(lent) => {
                machine.answered(asks, &lent, Instant::now());
                match machine.has_many_due() {
                    true => Next::AtOnce,
                    false => Next::InAHurry,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "nothing can be borrowed now");
                machine.unanswered(asks);
                Next::AsUsual
            }
        }
    }

    /// Counts the dispatchers. Where that fails the last number stands: those that are away from the store are so
    /// together.
    async fn count(&self) {
        let counting = self.backend.borrowers(&self.name, COUNTED_FOR);
        match in_time(counting).await {
            Ok(borrowers) => self.machine.lock().counted(borrowers, Instant::now()),
            Err(error) => tracing::debug!(%error, "the dispatchers cannot be counted now"),
        }
    }

    fn show(&self) {
        let mut machine = self.machine.lock();
        let alone = machine.is_alone(Instant::now());
        let accounts = i64::try_from(machine.accounts()).unwrap_or(i64::MAX);
        let forgotten = machine.take_forgotten();
        drop(machine);
        let metrics = &self.metrics;
        if metrics.allowance_alone.get() != i64::from(alone) {
            if alone {
                tracing::warn!(
                    "the store lends nothing: this dispatcher goes on with its share of every limit"
                );
            } else {
                tracing::info!("the store lends again: limits hold for all dispatchers together");
            }
        }
        metrics.allowance_alone.set(i64::from(alone));
        metrics.allowance_accounts.set(accounts);
        metrics.allowance_forgotten.inc_by(forgotten);
    }

    /// Whether anybody is limited.
    fn is_limiting(&self) -> bool {
        let live = self.live.current();
        let settings = &live.dispatcher;
        settings.key_quota().is_some()
            || settings.user_quota().is_some()
            || self.keyring.current().api_keys.limits_any()
    }
}

async fn in_time<T>(
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    let late = |_| BackendError::Unknown("no answer in time".to_owned());
    timeout(ANSWERED_WITHIN, call).await.map_err(late)?
}
