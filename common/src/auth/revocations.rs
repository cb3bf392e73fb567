//! The revocations that a process knows: looked at with every token, learned while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::revoked::{Revocation, Revoked};
use crate::ids::{Millis, TokenId, UserId};

/// The revocations that are known here. Clones are handles to the same ones.
///
/// They come from the store, which bounds them; while it is away, what is known stays.
#[derive(Clone, Default)]
pub struct Revocations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: RwLock<Known>,
    /// The number of the last one that was learned.
    learned: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    all: BTreeMap<Revoked, Entry>,
    last: u64,
}

struct Entry {
    revocation: Revocation,
    /// Which it was, of all that were ever learned here.
    number: u64,
}

impl Revocations {
    /// Whether they include the token of this `sub` and `jti`, issued at `iat_ms` as [`Claims::iat_ms`](super::Claims::iat_ms) has
    /// it, at `now_ms` (Unix times in ms).
    pub fn include(&self, sub: &str, jti: Option<&str>, iat_ms: Millis, now_ms: Millis) -> bool {
        let known = self.0.known.read();
        if known.all.is_empty() {
            return false;
        }
        let user = UserId::new(sub).ok();
        let jti = jti.and_then(|jti| TokenId::new(jti).ok());
        let candidates = [
            user.clone().map(Revoked::User),
            jti.clone().map(Revoked::Token),
            user.zip(jti).map(|(user, jti)| Revoked::TokenOf(user, jti)),
        ];
        let mut entries = candidates
            .iter()
            .flatten()
            .filter_map(|it| known.all.get(it));
        entries.any(|Entry { revocation, .. }| {
            now_ms < revocation.until && revocation.includes(iat_ms)
        })
    }

    /// Adds these to what is known; what is known of the same tokens stays in force with them.
    pub fn learn(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let mut known = self.0.known.write();
        let before = known.last;
        for revocation in revocations {
            let there = known.all.get(&revocation.what);
            let whole = match there {
                Some(entry) => entry.revocation.and(&revocation),
                None => revocation,
            };
            if there.is_some_and(|entry| entry.revocation == whole) {
                continue;
            }
            known.last += 1;
            let number = known.last;
            let what = whole.what.clone();
            let entry = Entry {
                revocation: whole,
                number,
            };
            known.all.insert(what, entry);
        }
        let last = known.last;
        drop(known);
        if last > before {
            self.0.learned.send_replace(last);
        }
    }

    /// Takes one back.
    pub fn forget(&self, what: &Revoked) -> Option<Revocation> {
        let entry = self.0.known.write().all.remove(what);
        entry.map(|entry| entry.revocation)
    }

    /// Forgets those that have lapsed.
    pub fn forget_lapsed(&self, now_ms: Millis) {
        let mut known = self.0.known.write();
        known.all.retain(|_, entry| now_ms < entry.revocation.until);
    }

    /// What is known of these tokens.
    pub fn get(&self, what: &Revoked) -> Option<Revocation> {
        let known = self.0.known.read();
        known.all.get(what).map(|entry| entry.revocation.clone())
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.0.known.read().all.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those after this one, in their order: at most so many.
    pub fn page(&self, after: Option<&Revoked>, most: usize) -> Vec<Revocation> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let known = self.0.known.read();
        let page = known.all.range::<Revoked, _>((from, Bound::Unbounded));
        let page = page.take(most).map(|(_, entry)| entry.revocation.clone());
        page.collect()
    }

    /// Tells whenever some are learned.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.learned.subscribe()
    }

    /// What those are about that were learned after the one of this number, and the number of the last.
    pub fn since(&self, number: u64) -> (Vec<Revoked>, u64) {
        let known = self.0.known.read();
        let news = known.all.iter().filter(|(_, entry)| entry.number > number);
        (news.map(|(what, _)| what.clone()).collect(), known.last)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("known", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::UNDATED;

    fn what(user: &str, jti: &str) -> Revoked {
        let (user, jti) = (UserId::new(user).ok(), TokenId::new(jti).ok());
        Revoked::of(user, jti).unwrap()
    }

    fn revocation(user: &str, jti: &str, issued_before: Option<Millis>) -> Revocation {
        Revocation {
            what: what(user, jti),
            issued_before,
            until: 1_000,
        }
    }

    #[test]
    fn a_token_is_revoked_by_its_user_by_its_id_or_by_both() {
        let known = Revocations::default();
        assert!(!known.include("alice", Some("1"), 0, 0));
        known.learn([
            revocation("alice", "", Some(50)),
            revocation("", "1", None),
            revocation("bob", "2", None),
        ]);
        for (sub, jti, iat, revoked) in [
            ("alice", None, 49, true),
            ("alice", None, UNDATED, true),
            ("alice", None, 50, false),
            ("alice", Some("2"), 50, false),
            ("alice", Some("1"), 50, true),
            ("carol", Some("1"), 999, true),
            ("carol", Some("2"), 0, false),
            ("bob", Some("2"), 999, true),
            ("bob", Some("3"), 0, false),
            ("bob", None, UNDATED, false),
            ("alic", None, 0, false),
            ("Alice", None, 0, false),
        ] {
            assert_eq!(
                known.include(sub, jti, iat, 999),
                revoked,
                "{sub} {jti:?} {iat}"
            );
            assert!(!known.include(sub, jti, iat, 1_000), "it has lapsed");
        }
    }

    #[test]
    fn what_is_learned_adds_up_and_is_told_once() {
        let known = Revocations::default();
        let mut changes = known.changes();
        known.learn([
            revocation("alice", "", Some(50)),
            revocation("bob", "", Some(50)),
        ]);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        let (news, last) = known.since(0);
        assert_eq!(news, [what("alice", ""), what("bob", "")]);
        // Less, and the same, is nothing new.
        known.learn([
            revocation("alice", "", Some(40)),
            revocation("bob", "", Some(50)),
        ]);
        assert!(!changes.has_changed().unwrap());
        assert_eq!(known.since(last), (vec![], last));
        assert_eq!(
            known.get(&what("alice", "")).unwrap().issued_before,
            Some(50)
        );
        known.learn([revocation("alice", "", Some(60))]);
        assert!(changes.has_changed().unwrap());
        assert_eq!(known.since(last), (vec![what("alice", "")], last + 1));
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn what_lapses_or_is_taken_back_is_gone() {
        let known = Revocations::default();
        known.learn([revocation("alice", "", None), revocation("", "1", None)]);
        assert!(known.forget(&what("alice", "")).is_some());
        assert!(known.forget(&what("alice", "")).is_none());
        assert!(!known.include("alice", None, 0, 0));
        known.forget_lapsed(999);
        assert_eq!(known.len(), 1);
        known.forget_lapsed(1_000);
        assert!(known.is_empty());
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let known = Revocations::default();
        let users = ["a", "b", "c", "d", "e"];
        known.learn(users.map(|user| revocation(user, "", None)));
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = known.page(after.as_ref(), 2);
            let Some(last) = page.last() else { break };
            after = Some(last.what.clone());
            seen.extend(page.into_iter().map(|it| it.what));
        }
        assert_eq!(seen, users.map(|user| what(user, "")));
    }
}
