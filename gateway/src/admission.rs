//! How many may come in, and how fast.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Admits connections up to a number, and handshakes up to a rate.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
    rate: f64,
    burst: f64,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    refilled: Instant,
}

/// Why a handshake is refused, and when to try again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `connections`, `rate`, `draining` or `store`.
    pub reason: &'static str,
    /// For `Retry-After`.
    pub retry_after: Duration,
}

impl Refused {
    /// For some seconds: spread, so that the refused do not come back together.
    pub(crate) fn later(reason: &'static str) -> Self {
        let retry_after = Duration::from_secs(1 + u64::from(rand::random::<u8>() % 5));
        Self {
            reason,
            retry_after,
        }
    }
}

impl Admission {
    /// At most `limit` connections; `rate` handshakes per second and `burst` more at once.
    pub(crate) fn new(limit: u32, rate: u32, burst: u32) -> Self {
        let burst = f64::from(rate) + f64::from(burst);
        Self {
            places: Arc::new(Semaphore::new(limit as usize)),
            bucket: Mutex::new(Bucket {
                tokens: burst,
                refilled: Instant::now(),
            }),
            rate: f64::from(rate),
            burst,
            closed: AtomicBool::new(false),
        }
    }

    /// Admits nobody any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether it admits nobody any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// A place for one connection; it is free again when the permit is dropped.
    ///
    /// # Errors
    /// Closed, at the limit, or faster than the rate.
    pub(crate) fn admit(&self, now: Instant) -> Result<OwnedSemaphorePermit, Refused> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = now.saturating_duration_since(bucket.refilled).as_secs_f64() * self.rate;
        bucket.tokens = (bucket.tokens + refill).min(self.burst);
        bucket.refilled = now;
        if self.is_closed() {
            return Err(Refused::later("draining"));
        }
        if bucket.tokens < 1.0 {
            return Err(Refused::later("rate"));
        }
        let place = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| Refused::later("connections"))?;
        bucket.tokens -= 1.0;
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_refills_and_the_limit_stands() {
        let mut now = Instant::now();
        let admission = Admission::new(5, 2, 1);
        let mut places: Vec<_> = (0..3).map(|_| admission.admit(now).unwrap()).collect();
        assert_eq!(admission.admit(now).unwrap_err().reason, "rate");
        now += Duration::from_secs(1);
        places.push(admission.admit(now).unwrap());
        places.push(admission.admit(now).unwrap());
        now += Duration::from_secs(1);
        assert_eq!(admission.admit(now).unwrap_err().reason, "connections");
        places.pop();
        assert!(admission.admit(now).is_ok());
        admission.close();
        now += Duration::from_secs(1);
        assert_eq!(admission.admit(now).unwrap_err().reason, "draining");
    }
}
