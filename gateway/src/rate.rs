//! How often something may be, for each of many.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

/// Of so many is remembered how often they came; beyond it those are forgotten that may come again anyway,
/// and all where those are few.
const REMEMBERED: usize = 65_536;

/// So many a second, and so many at once (a token bucket).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    rate: f64,
    burst: f64,
}

impl Rate {
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        Self {
            rate: f64::from(rate),
            burst: f64::from(burst.max(1)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * rate.rate).min(rate.burst);
        self.filled = now;
    }
}

/// A rate for each `T` by itself. Kept by hash: none of them is remembered.
#[derive(Debug)]
pub(crate) struct Rates<T> {
    rate: Rate,
    buckets: Mutex<HashMap<u64, Bucket>>,
    hasher: RandomState,
    of: PhantomData<fn(&T)>,
}

impl<T: Hash> Rates<T> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
            hasher: RandomState::new(),
            of: PhantomData,
        }
    }

    /// Whether `one` may once more; counts it if so.
    pub(crate) fn take(&self, one: &T, now: Instant) -> bool {
        let rate = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            left: rate.burst,
            filled: now,
        };
        if buckets.len() >= REMEMBERED {
            buckets.retain(|_, bucket| {
                bucket.fill(rate, now);
                bucket.left < rate.burst
            });
            if buckets.len() > REMEMBERED / 2 {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(self.hasher.hash_one(one)).or_insert(full);
        bucket.fill(rate, now);
        let may = bucket.left >= 1.0;
        if may {
            bucket.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_has_its_own_and_many_are_forgotten() {
        let (rates, now) = (Rates::new(Rate::new(1, 2)), Instant::now());
        assert_eq!([0; 3].map(|one| rates.take(&one, now)), [true, true, false]);
        assert!(rates.take(&1, now));
        for one in 0..REMEMBERED as i32 * 2 {
            rates.take(&one, now + Duration::from_secs(60));
        }
        assert!(rates.buckets.lock().unwrap().len() <= REMEMBERED);
    }
}
