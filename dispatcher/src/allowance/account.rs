//! What a dispatcher holds of one account, and what it may do with that. No IO, no clock.

use std::time::Duration;

use carillon_common::backend::{Lent, Quota};
use tokio::time::Instant;

/// A debt of at most this part of what one dispatcher may use on credit is not told to the store: users that are
/// sent something now and then cost it nothing. All dispatchers together so pass over a tenth of a quota at most.
const UNTOLD: f64 = 0.1;
/// So many times what was wanted between two asks is held in advance.
const AHEAD: f64 = 2.0;
/// How long an account is kept after it is whole again.
const KEPT: Duration = Duration::from_secs(1);

/// How a dispatcher stands with the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// How many dispatchers borrow, this one among them.
    pub(super) borrowers: u32,
    /// Since when nothing can be borrowed: it goes on with what is one dispatcher's share.
    pub(super) alone_since: Option<Instant>,
}

/// How much of an account is left, as its callers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) quota: Quota,
    pub(crate) remaining: u32,
    /// Until all of it is there again, if nobody uses any.
    pub(crate) whole_in: Duration,
}

#[derive(Debug)]
pub(super) struct Account {
    /// What was said of it last.
    pub(super) quota: Quota,
    /// Waits for the next ask.
    pub(super) is_due: bool,
    /// Borrowed, and not used yet. Below zero: used, and not borrowed yet.
    held: f64,
    /// What was wanted since the last ask, and refused among it.
    wanted: f64,
    /// What was wanted between two asks, fading.
    pace: f64,
    /// What the store had left for everybody, and when it said so.
    left: f64,
    left_at: Instant,
    /// Whether the last ask was answered with less than it was for: to ask again at once is of no use.
    short: bool,
    used_at: Instant,
    /// Up to when its share was added while nothing could be borrowed.
    refilled_at: Instant,
    /// Whether what it holds is such a share.
    is_own: bool,
}

impl Account {
    /// One that nobody used of late: all of it is there.
    pub(super) fn new(quota: Quota, now: Instant) -> Self {
        Self {
            quota,
            is_due: false,
            held: 0.0,
            wanted: 0.0,
            pace: 0.0,
            left: f64::from(quota.burst),
            left_at: now,
            short: false,
            used_at: now,
            refilled_at: now,
            is_own: false,
        }
    }

    /// Whether `units` may be used now; where not, when to ask again. They count as wanted. More than may ever be
    /// used at once may be where all is there, and are then paid for.
    pub(super) fn wants(
        &mut self,
        (units, quota): (u32, Quota),
        share: Share,
        now: Instant,
    ) -> Result<(), Duration> {
        self.quota = quota;
        self.used_at = now;
        self.wanted += f64::from(units);
        self.refill(share, now);
        let enough = f64::from(units.min(quota.burst));
        let missing = enough - self.held - self.credit(share, now);
        if missing <= 1e-6 {
            return Ok(());
        }
        // What is there of the next one will be one.
        let begun = self.left_now(now).min(1.0) - self.credit(share, now);
        let wait = (missing - begun.max(0.0)).max(0.0) / self.per_second();
        Err(Duration::from_secs_f64(wait))
    }

    pub(super) fn uses(&mut self, units: u32) {
        self.held -= f64::from(units);
    }

    /// What it would borrow now. What was wanted until now is accounted for.
    pub(super) fn wish(&mut self, share: Share) -> u32 {
        self.pace = self.wanted.max(self.pace / 2.0);
        self.wanted = 0.0;
        if self.pace < 1.0 {
            self.pace = 0.0;
        }
        let untold = self.untold(share);
        if self.pace <= untold && self.held >= -untold {
            self.pace = 0.0;
            return 0;
        }
        let wish = (AHEAD * self.pace - self.held).max(0.0);
        // No more than two dispatchers' share at once: what one asks for in vain keeps it from others for a moment.
        let most = AHEAD * f64::from(self.quota.burst) / f64::from(share.borrowers.max(1));
        whole(wish.min(most.max(1.0)).ceil()).min(self.quota.burst)
    }

    /// Takes what was lent of `asked`.
    pub(super) fn receive(&mut self, asked: u32, lent: Lent, now: Instant) {
        let most = f64::from(self.quota.burst);
        self.held = (self.held + f64::from(lent.units)).min(most);
        self.left = lent.left;
        self.left_at = now;
        self.refilled_at = now;
        self.short = lent.units < asked;
    }

    /// Whether there will be something to ask for.
    pub(super) fn stays_due(&self, share: Share) -> bool {
        self.pace >= 1.0 || self.wanted > 0.0 || self.held < -self.untold(share)
    }

    /// Whether what it holds will not last until the usual time of the next ask, and asking may help.
    pub(super) fn is_low(&self, share: Share) -> bool {
        let low = match self.pace >= 1.0 {
            true => self.pace / 2.0,
            false => -self.untold(share),
        };
        !self.short && self.held < low
    }

    /// Whether nothing is lost with it.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let window = Duration::from_secs_f64(self.quota.window_ms() / 1e3);
        now.saturating_duration_since(self.used_at) > window + KEPT
    }

    pub(super) fn used_at(&self) -> Instant {
        self.used_at
    }

    /// What callers are told, as far as it is known here.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let burst = f64::from(self.quota.burst);
        let remaining = (self.held + self.left_now(now)).clamp(0.0, burst);
        Standing {
            quota: self.quota,
            remaining: whole(remaining),
            whole_in: Duration::from_secs_f64((burst - remaining) / self.per_second()),
        }
    }

    /// What may be used before the store has said so: a part of what it has left, which becomes more by itself. One
    /// may be as long as one is left: there may be more dispatchers than units.
    fn credit(&self, share: Share, now: Instant) -> f64 {
        let left = self.left_now(now);
        match left >= 1.0 {
            true => (left / f64::from(share.borrowers.max(1))).max(1.0),
            false => 0.0,
        }
    }

    fn left_now(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.left_at).as_secs_f64();
        (self.left + since * self.per_second()).min(f64::from(self.quota.burst))
    }

    fn untold(&self, share: Share) -> f64 {
        UNTOLD * f64::from(self.quota.burst) / f64::from(share.borrowers.max(1))
    }

    /// Adds what is this dispatcher's share of the time that nothing could be borrowed in.
    fn refill(&mut self, share: Share, now: Instant) {
        let Some(since) = share.alone_since else {
            // The store has counted that time for everybody: what is left of a share would come on top of it.
            if std::mem::take(&mut self.is_own) {
                self.held = self.held.min(0.0);
            }
            return;
        };
        self.is_own = true;
        let from = self.refilled_at.max(since);
        let part = 1.0 / f64::from(share.borrowers.max(1));
        let passed = now.saturating_duration_since(from).as_secs_f64();
        // What may be used on credit is a part of it.
        let most = f64::from(self.quota.burst) * part - self.credit(share, now);
        let most = self.held.max(most);
        self.held = (self.held + passed * self.per_second() * part).min(most);
        self.refilled_at = now;
    }

    fn per_second(&self) -> f64 {
        f64::from(self.quota.per_second.max(1))
    }
}

/// Not below zero; a cast of what is too large is the largest.
fn whole(units: f64) -> u32 {
    units as u32
}
