//! The store's time, as every expiry is judged in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::ids::Millis;

/// The local clock corrected by the measured offset to the store's.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Milliseconds since the Unix epoch, in the store's time.
    pub fn now(&self) -> Millis {
        local_now() + self.offset_ms.load(Ordering::Relaxed)
    }

    /// Takes a reading of the store's clock made between two readings of the local one.
    pub fn measured(&self, before: Millis, store: Millis, after: Millis) {
        self.offset_ms
            .store(store - (before + after) / 2, Ordering::Relaxed);
    }

    /// How far the store's clock is ahead of the local one.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
}

/// Milliseconds since the Unix epoch by this machine's clock.
pub fn local_now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
