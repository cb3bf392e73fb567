//! What is logged when connections cannot be accepted: they fail in their hundreds or not at all.

use std::{
    io,
    time::{Duration, Instant},
};

/// At most one line in this time.
const EVERY: Duration = Duration::from_secs(10);
/// ENFILE and EMFILE, on every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];

/// Connections that could not be accepted: the first is told at once, the others now and then.
#[derive(Debug, Default)]
pub struct AcceptFailures {
    told: Option<Instant>,
    passed_over: u64,
}

impl AcceptFailures {
    /// Tells of one more, if it is time for it.
    pub fn tell(&mut self, error: &io::Error) {
        let Some(passed_over) = self.turn(Instant::now()) else {
            return;
        };
        let out_of_descriptors = error
            .raw_os_error()
            .is_some_and(|it| OUT_OF_DESCRIPTORS.contains(&it));
        if out_of_descriptors {
            tracing::warn!(
                %error, passed_over,
                "a connection could not be accepted: raise the hard limit of open files \
                 (LimitNOFILE=, ulimit -Hn)"
            );
        } else {
            tracing::warn!(%error, passed_over, "a connection could not be accepted");
        }
    }

    /// How many were passed over since the last line, if it is time for another.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now - told < EVERY) {
            self.passed_over += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stands_for_many() {
        let began = Instant::now();
        let mut failures = AcceptFailures::default();
        let turns = [0, 1, 9_999, 10_000, 10_001, 60_000]
            .map(|ms| failures.turn(began + Duration::from_millis(ms)));
        assert_eq!(turns, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
