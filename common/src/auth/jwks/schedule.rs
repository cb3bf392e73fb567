//! When a key set is fetched, and which keys have been looked for: pure, by the clock that it is told.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause after a fetch that failed; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Keys that are looked for at once. Strangers can name as many as they like: the oldest gives way, and is
/// asked for again by whoever has it.
const MOST_SOUGHT: usize = 64;

/// How often a set is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The oldest that it becomes.
    pub(crate) refresh: Duration,
    /// Between two fetches for keys that it lacks; the longest between two attempts while they fail.
    pub(crate) interval: Duration,
}

/// What is known of a key that the set in force lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    /// It is being looked for.
    Awaited,
    /// The set was fetched since it was first asked for, and lacks it.
    Absent,
}

/// When the next fetch is due.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    /// When it is due by itself.
    next: Instant,
    /// When the last one began.
    began: Option<Instant>,
    failures: u32,
    /// The keys that were asked for, the first asked for first.
    sought: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    /// A hash of its `kid`, which is a stranger's text.
    kid: u64,
    since: Instant,
    is_absent: bool,
}

impl Schedule {
    /// The first is due at once.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            next: now,
            began: None,
            failures: 0,
            sought: Vec::new(),
        }
    }

    /// When the next fetch is due: when the set is old, or for a key that it lacks, but not soon after
    /// the last one.
    pub(super) fn due(&self) -> Instant {
        let is_wanted = self.sought.iter().any(|key| !key.is_absent);
        match self.began.filter(|_| is_wanted) {
            Some(began) => self.next.min(began + self.pace.interval),
            None => self.next,
        }
    }

    /// Notes that a token names this key, which the set lacks.
    pub(super) fn seek(&mut self, kid: u64, now: Instant) -> Sought {
        let refresh = self.pace.refresh;
        self.sought
            .retain(|key| now.saturating_duration_since(key.since) < refresh);
        if let Some(key) = self.sought.iter().find(|key| key.kid == kid) {
            return match key.is_absent {
                true => Sought::Absent,
                false => Sought::Awaited,
            };
        }
        if self.sought.len() == MOST_SOUGHT {
            self.sought.remove(0);
        }
        self.sought.push(Key {
            kid,
            since: now,
            is_absent: false,
        });
        Sought::Awaited
    }

    /// A fetch begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// It brought a set. `has` tells by its hash whether a key is in it; `jitter` is from 0 to 1, so that a
    /// fleet that was started together does not fetch together.
    pub(super) fn succeed(&mut self, now: Instant, jitter: f64, has: impl Fn(u64) -> bool) {
        self.failures = 0;
        self.next = now + self.pace.refresh.mul_f64(1.0 - jitter / 10.0);
        self.sought.retain(|key| !has(key.kid));
        // What was asked for while it was under way may have come to the issuer after its answer.
        let began = self.began.unwrap_or(now);
        for key in self.sought.iter_mut().filter(|key| key.since <= began) {
            key.is_absent = true;
        }
    }

    /// It brought none.
    pub(super) fn fail(&mut self, now: Instant, jitter: f64) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(self.pace.interval);
        self.next = now + pause.mul_f64(1.0 - jitter / 2.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        refresh: Duration::from_secs(600),
        interval: Duration::from_secs(30),
    };

    /// A schedule, and the clock that it is told.
    struct Clocked {
        schedule: Schedule,
        start: Instant,
    }

    impl Clocked {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                schedule: Schedule::new(PACE, start),
                start,
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Seconds from the start to the next fetch.
        fn due(&self) -> f64 {
            let due = self.schedule.due().duration_since(self.start);
            due.as_secs_f64()
        }

        fn fetched(&mut self, from: u64, to: u64, keys: &[u64]) {
            self.schedule.begin(self.at(from));
            let to = self.at(to);
            self.schedule.succeed(to, 0.0, |kid| keys.contains(&kid));
        }

        fn failed(&mut self, from: u64, to: u64) {
            self.schedule.begin(self.at(from));
            self.schedule.fail(self.at(to), 0.0);
        }

        fn seek(&mut self, kid: u64, at: u64) -> Sought {
            self.schedule.seek(kid, self.at(at))
        }
    }

    #[test]
    fn a_set_is_fetched_at_once_and_again_when_it_is_old() {
        let mut clocked = Clocked::new();
        assert_eq!(clocked.due(), 0.0);
        clocked.fetched(0, 2, &[]);
        assert_eq!(clocked.due(), 602.0);
        clocked.schedule.succeed(clocked.at(2), 1.0, |_| false);
        assert_eq!(clocked.due(), 542.0, "at most a tenth sooner, never later");
    }

    #[test]
    fn pauses_after_failures_double_up_to_the_interval() {
        let mut clocked = Clocked::new();
        let mut pauses = Vec::new();
        for at in (0..800).step_by(100) {
            clocked.failed(at, at + 5);
            pauses.push(clocked.due() - (at + 5) as f64);
        }
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        clocked.schedule.fail(clocked.at(900), 1.0);
        assert_eq!(clocked.due(), 915.0, "at least half of it");
        for _ in 0..100 {
            clocked.schedule.fail(clocked.at(900), 0.0);
        }
        assert_eq!(clocked.due(), 930.0);
        clocked.fetched(1000, 1000, &[]);
        clocked.failed(1600, 1600);
        assert_eq!(clocked.due(), 1601.0, "a success begins anew");
    }

    #[test]
    fn a_key_that_is_lacking_is_fetched_for_once_in_an_interval() {
        let mut clocked = Clocked::new();
        clocked.fetched(0, 0, &[1]);
        assert_eq!(clocked.seek(2, 100), Sought::Awaited);
        assert_eq!(clocked.due(), 30.0, "long past: at once");
        assert_eq!(clocked.seek(2, 100), Sought::Awaited);
        clocked.fetched(100, 101, &[1, 2]);
        assert_eq!(clocked.due(), 701.0, "it came");

        for kid in 10..50 {
            assert_eq!(clocked.seek(kid, 102), Sought::Awaited);
            assert_eq!(clocked.due(), 130.0, "not before the interval is over");
        }
        clocked.fetched(130, 131, &[1, 2, 10]);
        assert_eq!(clocked.due(), 731.0, "all of them by one");
        assert_eq!(clocked.seek(11, 132), Sought::Absent);
        assert_eq!(clocked.due(), 731.0, "nobody makes it fetch twice for one");
        assert_eq!(clocked.seek(12, 701), Sought::Absent);
        assert_eq!(clocked.seek(12, 702), Sought::Awaited, "after a while anew");
    }

    #[test]
    fn only_a_fetch_that_began_later_shows_that_a_key_is_absent() {
        let mut clocked = Clocked::new();
        clocked.schedule.begin(clocked.at(0));
        assert_eq!(clocked.seek(7, 1), Sought::Awaited);
        clocked.schedule.succeed(clocked.at(2), 0.0, |_| false);
        assert_eq!(clocked.seek(7, 3), Sought::Awaited);
        assert_eq!(clocked.due(), 30.0);
        clocked.failed(30, 35);
        assert_eq!(clocked.seek(7, 36), Sought::Awaited, "nothing was seen");
        assert_eq!(clocked.due(), 36.0);
        clocked.fetched(36, 37, &[]);
        assert_eq!(clocked.seek(7, 38), Sought::Absent);
    }

    #[test]
    fn what_strangers_name_is_bounded() {
        let mut clocked = Clocked::new();
        clocked.fetched(0, 0, &[]);
        for kid in 0..100_000 {
            clocked.seek(kid, 1);
        }
        assert_eq!(clocked.schedule.sought.len(), MOST_SOUGHT);
        assert_eq!(clocked.due(), 30.0);
    }
}
