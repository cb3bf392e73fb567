//! How often something may be, for each of many.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    marker::PhantomData,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many are remembered; where more come too often, all are forgotten.
const REMEMBERED: usize = 65_536;
/// Fewer are not looked through for those that can be forgotten.
const FEW: usize = 64;

/// How many a second, and how many at once; each at least 1.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// So many a second, after so many at once.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
        }
    }
}

/// How much of a [`Rate`] is left, as one instant: the virtual scheduling form of the generic cell rate
/// algorithm (ITU-T I.371, annex A).
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// All of it.
    pub fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Whether there may be one more now; counts it if so.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let every = Duration::from_secs(1) / rate.per_second;
        let full_at = self.full_at.max(now) + every;
        let may = full_at <= now + every * rate.burst;
        if may {
            self.full_at = full_at;
        }
        may
    }

    fn is_full(self, now: Instant) -> bool {
        self.full_at <= now
    }
}

/// A rate for each `T` by itself. Only hashes are kept.
#[derive(Debug)]
pub struct Rates<T> {
    buckets: Mutex<Buckets>,
    hasher: RandomState,
    of: PhantomData<fn(&T)>,
}

#[derive(Debug)]
struct Buckets {
    rate: Rate,
    of: HashMap<u64, Bucket>,
    /// At so many they are looked through: twice as many as were left the last time.
    look_at: usize,
}

impl Buckets {
    /// Forgets those that may come as often as if they never had.
    fn forget(&mut self, now: Instant) {
        self.of.retain(|_, bucket| !bucket.is_full(now));
        if self.of.len() >= REMEMBERED {
            self.of.clear();
        }
        self.look_at = (self.of.len() * 2).max(FEW);
    }
}

impl<T: Hash> Rates<T> {
    /// The same for each.
    pub fn new(rate: Rate) -> Self {
        Self {
            buckets: Mutex::new(Buckets {
                rate,
                of: HashMap::new(),
                look_at: FEW,
            }),
            hasher: RandomState::new(),
            of: PhantomData,
        }
    }

    /// Another rate from now on; what was counted stays so.
    pub fn set(&self, rate: Rate) {
        self.buckets.lock().rate = rate;
    }

    /// Whether there may be one more of `one` now; counts it if so.
    pub fn take(&self, one: &T, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        if buckets.of.len() >= buckets.look_at {
            buckets.forget(now);
        }
        let rate = buckets.rate;
        let bucket = buckets.of.entry(self.hasher.hash_one(one));
        let bucket = bucket.or_insert(Bucket::full(now));
        bucket.take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (rate, mut now) = (Rate::new(4, 3), Instant::now());
        let mut bucket = Bucket::full(now);
        let mut taken = |now| (0..9).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(now), 3);
        now += Duration::from_millis(250);
        assert_eq!(taken(now), 1);
        now += Duration::from_millis(200);
        assert_eq!(taken(now), 0);
        now += Duration::from_secs(60);
        assert_eq!(taken(now), 3);
    }

    #[test]
    fn another_rate_holds_at_once() {
        let (rates, mut now) = (Rates::new(Rate::new(1, 1)), Instant::now());
        assert_eq!([(); 2].map(|()| rates.take(&0, now)), [true, false]);
        rates.set(Rate::new(1_000, 3));
        now += Duration::from_secs(1);
        assert_eq!(
            [(); 4].map(|()| rates.take(&0, now)),
            [true, true, true, false]
        );
    }

    #[test]
    fn each_has_its_own_and_many_are_forgotten() {
        let (rates, now) = (Rates::new(Rate::new(1, 2)), Instant::now());
        assert_eq!([0; 3].map(|one| rates.take(&one, now)), [true, true, false]);
        assert!(rates.take(&1, now));
        let remembered = || rates.buckets.lock().of.len();
        for one in 0..REMEMBERED as i32 * 2 {
            rates.take(&one, now + Duration::from_millis(60) * one.unsigned_abs());
        }
        assert!(remembered() <= FEW, "{} who come slowly", remembered());
        for one in 0..REMEMBERED as i32 * 4 {
            rates.take(&one, now);
        }
        assert!(remembered() <= REMEMBERED * 2, "{}", remembered());
    }
}
