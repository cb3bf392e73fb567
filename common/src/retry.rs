//! Trying again: how long to wait before, and until when; one rule for everything that does.

use std::{ops::ControlFlow, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, error::Elapsed, sleep, timeout_at};

/// The pauses between tries, without end: the longest that the first may be is `first`, it doubles up to `most`,
/// and each is at least half of that. The random half keeps those who failed together from returning together.
#[must_use]
pub fn pauses(first: Duration, most: Duration) -> ExponentialBackoff {
    // backon adds up to as much again to each pause.
    ExponentialBuilder::new()
        .with_min_delay(first / 2)
        .with_max_delay(most / 2)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Tries until `judge` breaks with a result, or the deadline leaves no time for another try: then what the last
/// one continued with is the error. A try is given up at the deadline, and judged as well.
///
/// # Errors
/// What the last try continued with.
pub async fn until<R, T, E, F>(
    deadline: Instant,
    mut pauses: impl Iterator<Item = Duration>,
    mut attempt: impl FnMut() -> F,
    mut judge: impl FnMut(Result<R, Elapsed>) -> ControlFlow<T, E>,
) -> Result<T, E>
where
    F: Future<Output = R>,
{
    loop {
        let failure = match judge(timeout_at(deadline, attempt()).await) {
            ControlFlow::Break(result) => return Ok(result),
            ControlFlow::Continue(failure) => failure,
        };
        match pauses.next() {
            Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
            _ => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_end() {
        let (first, most) = (Duration::from_millis(50), Duration::from_millis(150));
        let taken: Vec<_> = pauses(first, most).take(50).collect();
        assert_eq!(taken.len(), 50);
        for (pause, longest) in taken
            .iter()
            .zip([50, 100, 150].into_iter().chain([150; 47]))
        {
            let longest = Duration::from_millis(longest);
            assert!(
                (longest / 2..=longest).contains(pause),
                "{pause:?} of {longest:?}"
            );
        }
    }
}
