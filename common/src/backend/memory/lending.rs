//! What is lent of each account, and who borrows.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    backend::{AccountKind, Ask, Lent, allowance::Drawn},
    ids::Millis,
};

/// Fewer accounts are not looked through for those that are whole again.
const FEW: usize = 1_024;

/// The accounts from which something was lent of late.
#[derive(Debug, Default)]
pub(super) struct Lending {
    /// Until when each is used up, in the store's milliseconds.
    accounts: HashMap<(AccountKind, Arc<str>), f64>,
    /// At so many they are looked through: twice as many as were left the last time.
    look_at: usize,
    /// Until when each process borrows.
    borrowers: HashMap<Box<str>, Millis>,
}

impl Lending {
    pub(super) fn lend(&mut self, ask: &Ask, now: Millis) -> Lent {
        let now = now as f64;
        if self.accounts.len() >= self.look_at.max(FEW) {
            self.accounts.retain(|_, until| *until > now);
            self.look_at = self.accounts.len() * 2;
        }
        let account = (ask.kind, ask.account.clone());
        let until = self.accounts.entry(account).or_insert(now);
        *until = until.max(now) + ask.quota.step_ms(ask.wanted);
        match ask.quota.drawn(ask.wanted, *until, now) {
            Drawn::Lent(lent, back) => {
                *until += back;
                lent
            }
            Drawn::Set(to) => {
                *until = to;
                Lent {
                    units: 0,
                    left: 0.0,
                }
            }
        }
    }

    pub(super) fn note(&mut self, borrower: &str, for_: Duration, now: Millis) -> u32 {
        let for_ = Millis::try_from(for_.as_millis()).unwrap_or(Millis::MAX / 2);
        self.borrowers.retain(|_, until| *until > now);
        self.borrowers.insert(borrower.into(), now + for_);
        u32::try_from(self.borrowers.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Quota;

    fn ask(account: &str, wanted: u32) -> Ask {
        Ask {
            kind: AccountKind::User,
            account: account.into(),
            quota: Quota {
                per_second: 1,
                burst: 2,
            },
            wanted,
        }
    }

    #[test]
    fn each_account_is_its_own_and_whole_ones_are_forgotten() {
        let mut lending = Lending::default();
        assert_eq!(lending.lend(&ask("a", 2), 1_000).units, 2);
        assert_eq!(lending.lend(&ask("a", 2), 1_000).units, 0);
        assert_eq!(lending.lend(&ask("b", 2), 1_000).units, 2);
        let service = Ask {
            kind: AccountKind::Service,
            ..ask("a", 1)
        };
        assert_eq!(lending.lend(&service, 1_000).units, 1);
        for at in 0..10_000_i64 {
            lending.lend(&ask(&at.to_string(), 1), 1_000 + at * 10);
        }
        assert!(
            lending.accounts.len() <= 2 * FEW,
            "{}",
            lending.accounts.len()
        );
    }

    #[test]
    fn who_does_not_say_so_again_borrows_no_more() {
        let mut lending = Lending::default();
        let second = Duration::from_secs(1);
        assert_eq!(lending.note("a", second, 0), 1);
        assert_eq!(lending.note("b", second, 500), 2);
        assert_eq!(lending.note("a", second, 900), 2);
        assert_eq!(lending.note("a", second, 1_600), 1);
    }
}
