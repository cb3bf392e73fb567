//! What keeps the store from serving: reported once a minute, and shown as long as it is met.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::LinkError;
use crate::backend::{Fault, FaultKind};

/// The same kind is logged once in this time.
const REPORTED_EVERY: Duration = Duration::from_secs(60);
/// A fault that was not met for this long is over: leases are renewed more often.
const FRESH: Duration = Duration::from_secs(15);

/// The faults that calls and connection attempts met.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<HashMap<FaultKind, Met>>);

/// When a kind was met.
#[derive(Debug)]
struct Met {
    fault: Fault,
    last: Instant,
    reported: Option<Instant>,
    /// Since it was reported.
    times: u64,
}

impl Faults {
    /// Takes note of an error, and logs it if it is a fault that was not reported lately.
    pub(crate) fn report(&self, error: &LinkError) {
        let Some(fault) = error.fault().filter(|_| !error.is_of_functions()) else {
            return;
        };
        let Some(times) = self.note(fault.clone(), Instant::now()) else {
            return;
        };
        let kind = fault.kind.as_str();
        if fault.kind.passes() {
            tracing::warn!(kind, times, "{fault}");
        } else {
            tracing::error!(kind, times, "{fault}");
        }
    }

    /// How often it was met since it was reported, if it is time to do that again.
    fn note(&self, fault: Fault, now: Instant) -> Option<u64> {
        let mut all = self.0.lock();
        let met = all.entry(fault.kind).or_insert_with(|| Met {
            fault: fault.clone(),
            last: now,
            reported: None,
            times: 0,
        });
        met.fault = fault;
        met.last = now;
        met.times += 1;
        let lately = |at| now.duration_since(at) < REPORTED_EVERY;
        if met.reported.is_some_and(lately) {
            return None;
        }
        met.reported = Some(now);
        Some(std::mem::take(&mut met.times))
    }

    /// Those that were met a moment ago.
    pub(crate) fn now(&self) -> Vec<String> {
        self.fresh(Instant::now())
    }

    fn fresh(&self, now: Instant) -> Vec<String> {
        let all = self.0.lock();
        let fresh = all
            .values()
            .filter(|met| now.duration_since(met.last) < FRESH);
        let mut texts: Vec<String> = fresh.map(|met| met.fault.to_string()).collect();
        texts.sort_unstable();
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_reported_once_a_minute_and_shown_while_it_is_met() {
        let faults = Faults::default();
        let start = Instant::now();
        let full = || Fault::new(FaultKind::OutOfMemory, "OOM");
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(faults.note(full(), at(0)), Some(1));
        assert_eq!(faults.note(full(), at(1)), None);
        let other = Fault::new(FaultKind::Auth, "NOAUTH");
        assert_eq!(faults.note(other, at(2)), Some(1), "each kind for itself");
        assert_eq!(faults.note(full(), at(59)), None);
        assert_eq!(faults.note(full(), at(60)), Some(3));
        assert_eq!(faults.note(full(), at(61)), None);

        assert_eq!(faults.fresh(at(3)).len(), 2);
        assert_eq!(faults.fresh(at(70)).len(), 1);
        assert_eq!(faults.fresh(at(77)), Vec::<String>::new());
    }
}
