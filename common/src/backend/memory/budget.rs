//! The store's own bounds.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus::IntGauge;

use crate::backend::BackendError;

/// An amount that many share.
#[derive(Debug)]
pub(super) struct Budget {
    what: &'static str,
    bound: u64,
    used: AtomicU64,
    /// The same, for the metrics.
    shown: IntGauge,
}

/// A part of a budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    amount: u64,
}

impl Budget {
    pub(super) fn new(what: &'static str, bound: u64, shown: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            what,
            bound,
            used: AtomicU64::new(0),
            shown,
        })
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// In words, from nine tenths on.
    pub(super) fn warning(&self) -> Option<String> {
        let (used, bound) = (self.used(), self.bound);
        (used > bound / 10 * 9).then(|| {
            let what = self.what;
            format!("the in-memory store holds {used} of at most {bound} {what}")
        })
    }

    /// A share of this amount.
    ///
    /// # Errors
    /// [`BackendError::StoreFull`] when it would exceed the bound.
    pub(super) fn take(self: &Arc<Self>, amount: u64) -> Result<Share, BackendError> {
        let mut share = Share {
            budget: Arc::clone(self),
            amount: 0,
        };
        share.grow(amount)?;
        Ok(share)
    }
}

impl Share {
    /// Takes more.
    ///
    /// # Errors
    /// As [`Budget::take`]; the share is then as it was.
    pub(super) fn grow(&mut self, by: u64) -> Result<(), BackendError> {
        let budget = &self.budget;
        budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(by).filter(|used| *used <= budget.bound)
            })
            .map_err(|_| BackendError::StoreFull(budget.what))?;
        budget.shown.add(signed(by));
        self.amount += by;
        Ok(())
    }

    /// Gives back whatever exceeds this amount.
    pub(super) fn shrink_to(&mut self, amount: u64) {
        let spare = self.amount.saturating_sub(amount);
        self.budget.used.fetch_sub(spare, Ordering::Relaxed);
        self.budget.shown.sub(signed(spare));
        self.amount -= spare;
    }
}

/// As a gauge counts.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_bound_and_come_back() {
        let shown = IntGauge::new("bytes", "as the metrics show them").unwrap();
        let budget = Budget::new("bytes", 10, shown.clone());
        let mut one = budget.take(6).unwrap();
        assert!(budget.take(5).is_err());
        assert!(one.grow(5).is_err());
        one.grow(4).unwrap();
        assert!(budget.warning().is_some());
        one.shrink_to(1);
        assert_eq!((budget.used(), shown.get()), (1, 1));
        drop(one);
        assert_eq!((budget.used(), shown.get()), (0, 0));
    }
}
