//! All accounts of a dispatcher: what may be used, and what is to be borrowed. No IO, no clock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use carillon_common::backend::{AccountKind, Ask, Lent, Quota};
use tokio::time::Instant;

use super::account::{Account, Share, Standing};

/// Accounts of a kind that are remembered. Of more, one that was used long ago is forgotten.
const REMEMBERED: usize = 65_536;
/// Fewer are not looked through for those that can be forgotten.
const FEW: usize = 1_024;
/// Of so many that are remembered the one is forgotten that was used the longest ago.
const LOOKED_AT: usize = 32;
/// Accounts that are asked for at once.
const TOGETHER: usize = 512;
/// Without an answer for so long nothing can be borrowed.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What is to be used of one account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) kind: AccountKind,
    pub(super) account: &'a str,
    pub(super) quota: Quota,
    pub(super) units: u32,
}

/// Why something may not be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    /// Whose account it is that has too little.
    pub(crate) kind: AccountKind,
    /// When there may be enough.
    pub(crate) retry_after: Duration,
}

/// What came of a claim.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) result: Result<(), Short>,
    /// The account of the service, and of the user with the least left; as far as they are limited.
    pub(super) service: Option<Standing>,
    pub(super) user: Option<Standing>,
    /// Whether something is to be borrowed before its usual time.
    pub(super) hurries: bool,
}

type Accounts = HashMap<Arc<str>, Account>;

#[derive(Debug)]
pub(super) struct Machine {
    services: Accounts,
    users: Accounts,
    /// Those that there may be something to ask for; each once.
    due: VecDeque<(AccountKind, Arc<str>)>,
    borrowers: u32,
    answered_at: Instant,
    /// Whether the last ask was not answered: it may have been met all the same.
    doubt: bool,
    /// At so many accounts they are looked through.
    look_at: usize,
    forgotten: u64,
}

impl Machine {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            services: HashMap::new(),
            users: HashMap::new(),
            due: VecDeque::new(),
            borrowers: 1,
            answered_at: now,
            doubt: false,
            look_at: FEW,
            forgotten: 0,
        }
    }

    /// Uses what is claimed of all accounts, or of none.
    pub(super) fn take(&mut self, claims: &[Claim<'_>], now: Instant) -> Taken {
        let share = self.share(now);
        let mut short: Option<Short> = None;
        for claim in claims {
            let account = self.account(claim, now);
            let wanted = account.wants((claim.units, claim.quota), share, now);
            if let Err(retry_after) = wanted
                && short.is_none_or(|short| short.retry_after < retry_after)
            {
                short = Some(Short {
                    kind: claim.kind,
                    retry_after,
                });
            }
        }
        let mut taken = Taken {
            result: short.map_or(Ok(()), Err),
            service: None,
            user: None,
            hurries: false,
        };
        for claim in claims {
            let Some(account) =
                accounts(&mut self.services, &mut self.users, claim.kind).get_mut(claim.account)
            else {
                continue;
            };
            if taken.result.is_ok() {
                account.uses(claim.units);
            }
            taken.hurries |= account.is_low(share);
            let standing = account.standing(now);
            let told = match claim.kind {
                AccountKind::Service => &mut taken.service,
                AccountKind::User => &mut taken.user,
            };
            if told.is_none_or(|told| standing.remaining < told.remaining) {
                *told = Some(standing);
            }
        }
        taken
    }

    /// What is to be borrowed now; answered by [`answered`](Self::answered) or [`unanswered`](Self::unanswered).
    pub(super) fn asks(&mut self, now: Instant) -> Vec<Ask> {
        let share = self.share(now);
        let mut asks = Vec::new();
        // Of a store that does not answer nothing is asked for, or it would be lost again and again.
        let most = if self.doubt { 1 } else { TOGETHER };
        for _ in 0..self.due.len() {
            if asks.len() == most {
                break;
            }
            let Some((kind, name)) = self.due.pop_front() else {
                break;
            };
            let accounts = accounts(&mut self.services, &mut self.users, kind);
            let Some(account) = accounts.get_mut(&name) else {
                continue;
            };
            if self.doubt {
                asks.push(Ask {
                    kind,
                    quota: account.quota,
                    account: name,
                    wanted: 0,
                });
                continue;
            }
            match account.wish(share) {
                0 if account.stays_due(share) => self.due.push_back((kind, name)),
                0 => account.is_due = false,
                wanted => asks.push(Ask {
                    kind,
                    quota: account.quota,
                    account: name,
                    wanted,
                }),
            }
        }
        asks
    }

    /// Takes what was lent, in the order of what was asked for.
    pub(super) fn answered(&mut self, asks: Vec<Ask>, lent: &[Lent], now: Instant) {
        self.answered_at = now;
        self.doubt = false;
        let share = self.share(now);
        for (ask, lent) in asks.into_iter().zip(lent) {
            let accounts = accounts(&mut self.services, &mut self.users, ask.kind);
            let Some(account) = accounts.get_mut(&ask.account) else {
                continue;
            };
            account.receive(ask.wanted, *lent, now);
            account.is_due = account.stays_due(share);
            if account.is_due {
                self.due.push_back((ask.kind, ask.account));
            }
        }
    }

    /// Will ask again.
    pub(super) fn unanswered(&mut self, asks: Vec<Ask>) {
        self.doubt = true;
        let again = asks.into_iter().map(|ask| (ask.kind, ask.account));
        self.due.extend(again);
    }

    /// So many dispatchers borrow.
    pub(super) fn counted(&mut self, borrowers: u32, now: Instant) {
        self.borrowers = borrowers.max(1);
        self.answered_at = now;
        self.doubt = false;
    }

    /// Whether more is to be asked for than is asked for at once.
    pub(super) fn has_many_due(&self) -> bool {
        self.due.len() > TOGETHER
    }

    pub(super) fn is_alone(&self, now: Instant) -> bool {
        self.share(now).alone_since.is_some()
    }

    pub(super) fn accounts(&self) -> usize {
        self.services.len() + self.users.len()
    }

    /// How many accounts were forgotten too early, since this was asked last.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn share(&self, now: Instant) -> Share {
        let since = self.answered_at + PATIENCE;
        Share {
            borrowers: self.borrowers,
            alone_since: (since < now).then_some(since),
        }
    }

    /// An account, which is due from now on.
    fn account(&mut self, claim: &Claim<'_>, now: Instant) -> &mut Account {
        if self.services.len() + self.users.len() >= self.look_at {
            self.forget(now);
        }
        let accounts = accounts(&mut self.services, &mut self.users, claim.kind);
        if !accounts.contains_key(claim.account) && accounts.len() >= REMEMBERED {
            let some = accounts.iter().take(LOOKED_AT);
            let oldest = some.min_by_key(|(_, account)| account.used_at());
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                accounts.remove(&name);
                self.forgotten += 1;
            }
        }
        if !accounts.contains_key(claim.account) {
            accounts.insert(claim.account.into(), Account::new(claim.quota, now));
        }
        let name = accounts
            .get_key_value(claim.account)
            .map(|(name, _)| name.clone());
        #[expect(clippy::expect_used, reason = "it was put there just now")]
        let account = accounts.get_mut(claim.account).expect("an account");
        // Of those that were forgotten while they were due some may be there twice.
        if !account.is_due && self.due.len() < 2 * REMEMBERED {
            account.is_due = true;
            self.due.extend(name.map(|name| (claim.kind, name)));
        }
        account
    }

    /// Forgets those that nothing is lost with.
    fn forget(&mut self, now: Instant) {
        self.services.retain(|_, account| !account.is_idle(now));
        self.users.retain(|_, account| !account.is_idle(now));
        self.look_at = (2 * self.accounts()).max(FEW);
    }
}

fn accounts<'a>(
    services: &'a mut Accounts,
    users: &'a mut Accounts,
    kind: AccountKind,
) -> &'a mut Accounts {
    match kind {
        AccountKind::Service => services,
        AccountKind::User => users,
    }
}

#[cfg(test)]
mod tests;
