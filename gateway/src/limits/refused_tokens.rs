//! Tokens that were refused a moment ago.
//!
//! A simple client takes an accepted handshake for success and resets its backoff, so with an
//! expired token it comes back every two seconds for ever. The same token from the same address
//! again is therefore held for a while before its close.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use carillon_common::settings::GatewaySettings;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// How many refusals are remembered; where more come within the window, all are forgotten.
const REMEMBERED: usize = 65_536;

/// Remembers refused tokens, by hash.
#[derive(Debug)]
pub(crate) struct RefusedTokens {
    seen: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
    window: Duration,
    hold: (Duration, Duration),
    holds: Arc<Semaphore>,
}

impl RefusedTokens {
    /// With the window, hold and bound of the settings.
    pub(crate) fn new(settings: &GatewaySettings) -> Self {
        Self {
            seen: Mutex::default(),
            hasher: RandomState::new(),
            window: settings.refusal_window,
            hold: (settings.refusal_hold_min, settings.refusal_hold_max),
            holds: Arc::new(Semaphore::new(settings.refusal_holds)),
        }
    }

    /// Remembers a refusal; for one that repeats, how long to hold its close.
    pub(crate) fn refuse(
        &self,
        address: IpAddr,
        token: &str,
        now: Instant,
    ) -> Option<(Duration, OwnedSemaphorePermit)> {
        let key = self.hasher.hash_one((address, token));
        let mut seen = self.seen.lock();
        if seen.len() >= REMEMBERED {
            let window = self.window;
            seen.retain(|_, at| now.duration_since(*at) < window);
            if seen.len() >= REMEMBERED {
                seen.clear();
            }
        }
        let before = seen.insert(key, now);
        drop(seen);
        before.filter(|at| now.duration_since(*at) < self.window)?;
        let place = self.holds.clone().try_acquire_owned().ok()?;
        let (least, most) = self.hold;
        let span = most.saturating_sub(least);
        Some((least + span.mul_f64(rand::random()), place))
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::settings::Settings;

    use super::*;

    #[test]
    fn only_a_repetition_is_held() {
        let settings = Settings::default().gateway;
        let tokens = RefusedTokens::new(&settings);
        let (here, there) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let now = Instant::now();
        assert!(tokens.refuse(here, "t", now).is_none());
        assert!(tokens.refuse(there, "t", now).is_none());
        assert!(tokens.refuse(here, "u", now).is_none());
        let (hold, _place) = tokens.refuse(here, "t", now).unwrap();
        assert!((settings.refusal_hold_min..=settings.refusal_hold_max).contains(&hold));
        assert!(
            tokens
                .refuse(here, "t", now + settings.refusal_window)
                .is_none()
        );
    }
}
