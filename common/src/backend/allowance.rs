//! How often something may be in the whole deployment, kept once for all in the store and lent to its processes in
//! slices, so that none of them asks for each.
//!
//! Of each account the store keeps one instant: the theoretical arrival time of the generic cell rate algorithm
//! (ITU-T I.371, annex A), in the store's milliseconds. Whoever borrows moves it on by what is wanted, reads where
//! it came to, and puts back what was too much. Pure: no IO, no clock.

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// More than 0.
    pub per_second: u32,
    /// More than 0.
    pub burst: u32,
}

/// Of whom an account is. As a part of a key it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// A service: its API key's name, or the subject of its token.
    Service,
    /// A user that notifications are for.
    User,
}

/// What a process wants to borrow.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Of whom the account is.
    pub kind: AccountKind,
    /// Its name among those of its kind.
    pub account: std::sync::Arc<str>,
    /// What there may be.
    pub quota: Quota,
    /// How many; at most `quota.burst`. None to see what is left.
    pub wanted: u32,
}

/// What it is lent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lent {
    /// How many; at most as many as were wanted.
    pub units: u32,
    /// How many are left for others; of the next one a part may be there already.
    pub left: f64,
}

/// An account that is further ahead than what borrowers want at once can bring about is one of another time: the
/// store's clock went back (a failover), or the quota was lowered. So many windows, and so long.
const BURSTS_AHEAD: f64 = 4.0;
const AHEAD_MS: f64 = 5_000.0;
/// Less is a rounding error: an instant in milliseconds has about a quarter of a microsecond.
const ROUNDING: f64 = 1e-3;

/// What comes of moving an account on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Drawn {
    /// It is lent, and the account is to be moved by so many milliseconds, zero or less.
    Lent(Lent, f64),
    /// Nothing: the account is of another time, and is to be set to this instant.
    Set(f64),
}

impl Quota {
    /// Between two, in milliseconds.
    fn every_ms(self) -> f64 {
        1e3 / f64::from(self.per_second.max(1))
    }

    /// From nothing left to all of it, in milliseconds.
    pub fn window_ms(self) -> f64 {
        f64::from(self.burst.max(1)) * self.every_ms()
    }

    /// By how much an account moves with so many, in milliseconds.
    pub(super) fn step_ms(self, units: u32) -> f64 {
        f64::from(units) * self.every_ms()
    }

    /// What is lent of an account that was moved on by `wanted`, from no earlier than `now_ms`, to `after_ms`.
    pub(super) fn drawn(self, wanted: u32, after_ms: f64, now_ms: f64) -> Drawn {
        let every = self.every_ms();
        let limit = now_ms + self.window_ms();
        if after_ms > limit + BURSTS_AHEAD * self.window_ms() + AHEAD_MS {
            return Drawn::Set(limit);
        }
        let over = ((after_ms - limit) / every - ROUNDING).ceil().max(0.0);
        let back = whole(over).min(wanted);
        let after_ms = after_ms - self.step_ms(back);
        let left = (limit - after_ms) / every;
        let lent = Lent {
            units: wanted - back,
            left: left.clamp(0.0, f64::from(self.burst)),
        };
        Drawn::Lent(lent, -self.step_ms(back))
    }
}

/// Whole and not below zero; a cast of what is too large is the largest.
fn whole(units: f64) -> u32 {
    units as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota {
        per_second: 10,
        burst: 5,
    };

    /// An account, as a store keeps it.
    struct Account(f64);

    impl Account {
        fn borrow(&mut self, wanted: u32, now: f64) -> Lent {
            self.0 = self.0.max(now) + QUOTA.step_ms(wanted);
            match QUOTA.drawn(wanted, self.0, now) {
                Drawn::Lent(lent, back) => {
                    self.0 += back;
                    lent
                }
                Drawn::Set(to) => {
                    self.0 = to;
                    Lent {
                        units: 0,
                        left: 0.0,
                    }
                }
            }
        }
    }

    #[test]
    fn a_burst_is_lent_and_then_the_rate() {
        let mut account = Account(0.0);
        let start = 1.8e12;
        for (at, wanted, units, left) in [
            (0.0, 3, 3, 2.0),
            (0.0, 3, 2, 0.0),
            (50.0, 1, 0, 0.5),
            (100.0, 5, 1, 0.0),
            (400.0, 2, 2, 1.0),
            (60_000.0, 9, 5, 0.0),
            (60_000.0, 0, 0, 0.0),
        ] {
            let lent = account.borrow(wanted, start + at);
            assert_eq!(lent.units, units, "{wanted} after {at} ms");
            let off = (lent.left - left).abs();
            assert!(off < 0.01, "{} left after {at} ms", lent.left);
        }
    }

    /// Whoever borrows, and however much at once: never more than a burst and the rate.
    #[test]
    fn the_sum_is_what_is_allowed() {
        for seed in 0..200_u64 {
            let mut account = Account(0.0);
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let (start, mut now, mut sum, mut greedy) = (1.8e12, 1.8e12, 0, true);
            while now < start + 10_000.0 {
                now += random(300) as f64;
                let wanted = u32::try_from(random(6)).unwrap();
                let lent = account.borrow(wanted, now);
                greedy &= lent.units == wanted;
                sum += lent.units;
                let most = 5.0 + (now - start) / 100.0;
                assert!(f64::from(sum) <= most + 0.01, "seed {seed}: {sum} > {most}");
            }
            assert!(greedy || sum > 80, "seed {seed}: only {sum}");
        }
    }

    #[test]
    fn a_clock_that_went_back_stops_nobody_for_long() {
        let hour = 3.6e6;
        let mut account = Account(1.8e12);
        assert_eq!(account.borrow(1, 1.8e12 - hour).units, 0);
        assert_eq!(account.borrow(5, 1.8e12 - hour + 500.0).units, 5);
    }
}
