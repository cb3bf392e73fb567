//! When a simple client is asked, by a ping, whether it has read what came through channels and
//! broadcasts.
//!
//! Each answer costs about what a delivery does, so it is not asked after each of them, and the ping
//! goes out with a later one where there is one. What is not confirmed when a connection ends comes
//! again, so the young are asked often and the old rarely: within a fifth of what they have lived,
//! and within `socket.ack_interval` or a little more in any case. Whatever a connection's life, what
//! comes again stays a small part of what it was given.

use std::time::Duration;

use tokio::time::Instant;

/// A connection may leave unconfirmed what came in this part of its life: a fifth.
const PART: u32 = 5;
/// The client is never asked sooner than this after something was written.
const SOONEST: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Asking {
    /// From this moment on the ping goes with whatever is written, and a little later by itself.
    due: Option<Instant>,
}

/// How long after a write a connection of this age is asked.
fn within(age: Duration, latest: Duration) -> Duration {
    (age / PART).max(SOONEST).min(latest)
}

impl Asking {
    /// Something was written that has to be confirmed, on a connection of this age. The moment to ask
    /// is jittered, so that connections that were given the same are not asked together.
    pub(super) fn wrote(&mut self, now: Instant, age: Duration, latest: Duration) {
        if self.due.is_none() {
            let part = rand::random_range(0.75..1.0);
            self.due = Some(now + within(age, latest).mul_f64(part));
        }
    }

    /// Something that had been missed was written: few connections were away, so they are asked at once.
    pub(super) fn caught_up(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// Whether to ask with what is written now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// When a connection that is of this age now is asked by itself.
    pub(super) fn alone(&self, now: Instant, age: Duration, latest: Duration) -> Option<Instant> {
        let due = self.due?;
        // Computed from the age it has when due, so that the answer does not move while time passes.
        let ahead = due.saturating_duration_since(now);
        let age = (age + ahead).saturating_sub(now.saturating_duration_since(due));
        Some(due + within(age, latest) / 4)
    }

    /// A ping went out: its pong will confirm everything that was written before.
    pub(super) fn asked(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: Duration = Duration::from_secs(1);

    #[test]
    fn the_young_are_asked_soon_and_the_old_after_a_second() {
        for (age, least, most) in [
            (0, 49, 63),
            (200, 49, 63),
            (2_000, 410, 521),
            (5_000, 990, 1_250),
            (86_400_000, 990, 1_250),
        ] {
            let (now, age) = (Instant::now(), Duration::from_millis(age));
            let mut asking = Asking::default();
            asking.wrote(now, age, LATEST);
            let alone = asking.alone(now, age, LATEST).unwrap();
            let within = (alone - now).as_millis();
            assert!((least..=most).contains(&within), "{age:?}: {within}");
            let passed = Duration::from_millis(30);
            assert_eq!(
                asking.alone(now + passed, age + passed, LATEST),
                Some(alone)
            );
        }
    }

    #[test]
    fn one_ping_is_for_all_that_was_written_before_it() {
        let (now, age) = (Instant::now(), Duration::ZERO);
        let mut asking = Asking::default();
        asking.wrote(now, age, LATEST);
        let due = asking.alone(now, age, LATEST);
        asking.wrote(now + Duration::from_millis(10), age, LATEST);
        assert_eq!(asking.alone(now, age, LATEST), due);
        // With what is written it goes a little earlier.
        assert!(asking.is_due(now + SOONEST) && !asking.is_due(now));
        assert!(due.is_some_and(|due| due > now + SOONEST));
        asking.asked();
        assert_eq!(asking.alone(now, age, LATEST), None);
        asking.caught_up(now);
        assert!(asking.is_due(now));
    }
}
