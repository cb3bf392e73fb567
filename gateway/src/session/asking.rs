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

/// Of its life, what a connection may leave unconfirmed.
const PART: u32 = 5;
/// Never sooner than this after something was written.
const SOONEST: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Asking {
    opened: Instant,
    latest: Duration,
    due: Option<Due>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    /// From here on with whatever is written.
    from: Instant,
    /// Then by itself.
    alone: Instant,
}

impl Asking {
    pub(super) fn new(opened: Instant, latest: Duration) -> Self {
        Self {
            opened,
            latest,
            due: None,
        }
    }

    /// Something was written that nobody has asked about. By chance a little sooner or later, so
    /// that those who were given the same are not asked together.
    pub(super) fn wrote(&mut self, now: Instant) {
        if self.due.is_none() {
            let lived = now.duration_since(self.opened) / PART;
            let within = lived.max(SOONEST).min(self.latest);
            let from = now + within.mul_f64(rand::random_range(0.75..1.0));
            let alone = from + within / 4;
            self.due = Some(Due { from, alone });
        }
    }

    /// The same, of what was missed: those who were away are few, and are asked at once.
    pub(super) fn caught_up(&mut self, now: Instant) {
        self.due = Some(Due {
            from: now,
            alone: now,
        });
    }

    /// Whether to ask now. `writing`: something is written anyway.
    pub(super) fn is_due(&self, now: Instant, writing: bool) -> bool {
        let by = |due: Due| if writing { due.from } else { due.alone };
        self.due.is_some_and(|due| by(due) <= now)
    }

    /// When it is to be asked at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|due| due.alone)
    }

    /// A ping went out: its pong will confirm everything that was written before.
    pub(super) fn asked(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long after a write the ping comes, on a connection of this age.
    fn within(age: Duration) -> Duration {
        let now = Instant::now();
        let mut asking = Asking::new(now, Duration::from_secs(1));
        asking.wrote(now + age);
        asking.due().unwrap() - (now + age)
    }

    #[test]
    fn the_young_are_asked_soon_and_the_old_after_a_second() {
        for (age, least, most) in [
            (0, 50, 63),
            (200, 50, 63),
            (2_000, 400, 500),
            (5_000, 1_000, 1_250),
            (86_400_000, 1_000, 1_250),
        ] {
            let within = within(Duration::from_millis(age)).as_millis();
            assert!((least..=most).contains(&within), "{age}: {within}");
        }
    }

    #[test]
    fn one_ping_is_for_all_that_was_written_before_it() {
        let now = Instant::now();
        let mut asking = Asking::new(now, Duration::from_secs(1));
        asking.wrote(now);
        let due = asking.due();
        asking.wrote(now + Duration::from_millis(10));
        assert_eq!(asking.due(), due);
        // With what is written it goes a little earlier.
        let soon = now + Duration::from_millis(50);
        assert!(asking.is_due(soon, true) && !asking.is_due(now, true));
        assert!(!asking.is_due(due.unwrap() - Duration::from_millis(1), false));
        asking.asked();
        assert_eq!(asking.due(), None);
        asking.caught_up(now);
        assert_eq!(asking.due(), Some(now));
    }
}
