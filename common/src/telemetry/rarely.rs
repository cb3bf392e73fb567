//! Log lines that may come in their thousands are written now and then, not each time.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Allows something at most once in a while.
#[derive(Debug)]
pub struct Rarely {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    passed_over: u64,
}

impl Rarely {
    /// At most once in each `every`; the first time is at once.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            state: Mutex::default(),
        }
    }

    /// Whether it is allowed now; then also how often it was not since the last time.
    pub fn allowed(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| now < last + self.every) {
            state.passed_over += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rarely_allowed_and_says_how_often_it_was_not() {
        let (minute, start) = (Duration::from_secs(60), Instant::now());
        let rarely = Rarely::new(minute);
        let allowed =
            [0, 1, 59, 60, 61, 200].map(|s| rarely.allowed(start + Duration::from_secs(s)));
        assert_eq!(allowed, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
