//! Growing pauses between attempts.

use std::time::Duration;

/// Pauses that double from `first` to `longest`, all scaled by a factor so that tests need not
/// wait as long as browsers.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    factor: f64,
    failures: i32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration, factor: f64) -> Self {
        Self {
            first,
            longest,
            factor,
            failures: 0,
        }
    }

    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let doubled = self.first.as_secs_f64() * 2_f64.powi(self.failures);
        self.failures = (self.failures + 1).min(30);
        let pause = doubled.min(self.longest.as_secs_f64()) * self.factor;
        Duration::from_secs_f64(pause)
    }

    /// Starts again at the first pause.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_until_reset() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(2), seconds(10), 0.5);
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5]);
        backoff.reset();
        assert_eq!(backoff.pause(), seconds(1));
    }
}
