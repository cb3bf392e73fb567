//! How long to wait before trying again: one rule for everything that does.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

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
