//! Delivers what waited for its time.
//!
//! Every dispatcher looks, several times a second, for users for whom something is due, and has the store append it to
//! their inboxes. None of them leads: the store gives each user to one of them for a moment, and takes a notification from
//! what waits in the same step that appends it. So it is delivered once, however many look, and when one of them dies the
//! others have its users half a second later.

use std::{sync::Arc, time::Duration};

use carillon_common::{
    backend::{Backend, BackendError, Fired},
    ids::UserId,
    retry::pauses,
    telemetry::{Rarely, metrics::DispatcherMetrics},
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// Between two looks, and half as long to half as long again, so that dispatchers take turns.
const EVERY: Duration = Duration::from_millis(150);
/// After a look that failed; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// Users at once: enough for a store some milliseconds away, few enough that sends pass between them.
const AT_ONCE: usize = 64;
/// That something fails is logged once in this time.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What delivers scheduled notifications.
pub(crate) struct Firing {
    backend: Arc<dyn Backend>,
    metrics: DispatcherMetrics,
    said: Rarely,
}

impl Firing {
    pub(crate) fn new(backend: Arc<dyn Backend>, metrics: DispatcherMetrics) -> Self {
        // There before the first: an alert on their growth needs a zero to grow from.
        for outcome in ["routed", "queued", "expired", "put_off", "failed"] {
            metrics.scheduled_fired.with_label_values(&[outcome]);
        }
        Self {
            backend,
            metrics,
            said: Rarely::new(SAID_EVERY),
        }
    }

    /// Delivers what is due, as it becomes due. Never ends.
    pub(crate) async fn run(&self) {
        let mut failing = pauses(FIRST_PAUSE, LAST_PAUSE);
        loop {
            let pause = match self.round().await {
                Ok(()) => {
                    failing = pauses(FIRST_PAUSE, LAST_PAUSE);
                    EVERY.mul_f64(rand::random_range(0.5..1.5))
                }
                Err(error) => {
                    self.tell(&error);
                    failing.next().unwrap_or(LAST_PAUSE)
                }
            };
            sleep(pause).await;
        }
    }

    /// Delivers what is due now.
    ///
    /// # Errors
    /// Those of a store that is away, or refuses: what is due stays so.
    async fn round(&self) -> Result<(), BackendError> {
        loop {
            let due = self.backend.take_due().await?;
            let failure = Mutex::new(None);
            let users = stream::iter(due.users);
            users
                .for_each_concurrent(AT_ONCE, |user| self.fire(user, &failure))
                .await;
            match failure.into_inner() {
                Some(error) => return Err(error),
                None if due.more => {}
                None => return Ok(()),
            }
        }
    }

    /// Delivers all that is due for a user, unless the store has failed at another one meanwhile.
    async fn fire(&self, user: UserId, failure: &Mutex<Option<BackendError>>) {
        while failure.lock().is_none() {
            match self.backend.fire(&user).await {
                Ok(fired) => {
                    self.count(fired);
                    if !fired.more() {
                        return;
                    }
                }
                Err(error) => {
                    self.metrics
                        .scheduled_fired
                        .with_label_values(&["failed"])
                        .inc();
                    // Of one user alone the others need not wait.
                    match error.is_retryable() {
                        true => *failure.lock() = Some(error),
                        false => self.tell(&error),
                    }
                    return;
                }
            }
        }
    }

    fn count(&self, fired: Fired) {
        let outcome = match fired {
            Fired::None => return,
            Fired::Done { lag, devices, .. } => {
                self.metrics.scheduled_lag.observe(lag.as_secs_f64());
                if devices > 0 { "routed" } else { "queued" }
            }
            Fired::Expired { .. } => "expired",
            Fired::Full => "put_off",
        };
        self.metrics
            .scheduled_fired
            .with_label_values(&[outcome])
            .inc();
    }

    fn tell(&self, error: &BackendError) {
        if let Some(others) = self.said.allowed(Instant::now()) {
            tracing::warn!(
                %error,
                others,
                "scheduled notifications cannot be delivered now; those that are due are tried again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::{
        backend::{
            Idempotency, SendOrder, limits,
            memory::{MemoryBackend, MemoryBounds},
        },
        ids::Millis,
        settings::Settings,
    };
    use uuid::Uuid;

    use super::*;

    fn order(user: &str, due: Millis) -> SendOrder {
        let id = Uuid::new_v4();
        SendOrder {
            user: user.parse().unwrap(),
            id,
            body: "{}".into(),
            ttl: Duration::from_secs(60),
            collapse_key: None,
            due: Some(due),
            idempotency: Idempotency {
                key: id.to_string(),
                former: None,
                body_hash: "-".to_owned(),
                ttl: Duration::from_secs(60),
            },
            trace: None,
        }
    }

    #[tokio::test]
    async fn a_round_delivers_all_that_is_due_and_nothing_else() {
        let limits = limits(&Settings::default());
        let store = MemoryBackend::new(limits, MemoryBounds::default());
        let now = store.clock().now();
        for user in 0..100 {
            for _ in 0..3 {
                let order = order(&format!("user-{user}"), now - 1);
                store.send(&order).await.unwrap();
            }
        }
        store.send(&order("later", now + 60_000)).await.unwrap();
        let metrics = DispatcherMetrics::new();
        let firing = Firing::new(store.clone(), metrics.clone());
        firing.round().await.unwrap();
        let queued = metrics.scheduled_fired.with_label_values(&["queued"]);
        assert_eq!(
            (queued.get(), metrics.scheduled_lag.get_sample_count()),
            (300, 300)
        );
        firing.round().await.unwrap();
        assert_eq!(queued.get(), 300);
    }
}
