//! The ledger: what was accepted, what each reader's application was given, and whether the two
//! agree. Pure bookkeeping, for the load generator and for the whole-system tests.

use std::collections::{HashMap, HashSet};

/// For whom a notification was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    /// One user.
    User(String),
    /// The members of a channel.
    Channel(String),
    /// Everyone.
    Everyone,
}

/// How often a reader may be given the same notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Once: what is noted is what the application was given, rid of duplicates.
    Once,
    /// At least once: what is noted was on the wire.
    AtLeastOnce,
}

/// Names a reader of this ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReaderId(usize);

/// What was accepted, and what each reader was given.
#[derive(Debug, Default)]
pub struct Ledger {
    accepted: HashMap<Audience, Vec<String>>,
    readers: Vec<Reader>,
}

/// One application that reads for a device.
#[derive(Debug)]
struct Reader {
    name: String,
    delivery: Delivery,
    /// Each with how much had been accepted for it before: that is not owed.
    audiences: Vec<(Audience, usize)>,
    received: Vec<String>,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a reader; everything that is accepted for these audiences from now on must reach it.
    pub fn reader(
        &mut self,
        name: impl Into<String>,
        delivery: Delivery,
        audiences: impl IntoIterator<Item = Audience>,
    ) -> ReaderId {
        let audiences = audiences.into_iter().map(|audience| {
            let before = self.accepted_for(&audience).len();
            (audience, before)
        });
        let audiences = audiences.collect();
        self.readers.push(Reader {
            name: name.into(),
            delivery,
            audiences,
            received: Vec::new(),
        });
        ReaderId(self.readers.len() - 1)
    }

    /// A notification was accepted (answered 2xx). Calls for one audience come in the order of
    /// acceptance.
    pub fn accepted(&mut self, audience: Audience, id: impl Into<String>) {
        self.accepted.entry(audience).or_default().push(id.into());
    }

    /// A reader was given a notification.
    pub fn received(&mut self, reader: ReaderId, id: impl Into<String>) {
        if let Some(reader) = self.readers.get_mut(reader.0) {
            reader.received.push(id.into());
        }
    }

    /// How many notifications were accepted.
    pub fn accepted_count(&self) -> usize {
        self.accepted.values().map(Vec::len).sum()
    }

    /// How many times an application was given one.
    pub fn received_count(&self) -> usize {
        self.readers
            .iter()
            .map(|reader| reader.received.len())
            .sum()
    }

    /// How many times one was to be given to an application.
    pub fn expected_count(&self) -> usize {
        let owed =
            |(audience, before): &(Audience, usize)| self.accepted_for(audience).len() - before;
        self.readers
            .iter()
            .flat_map(|reader| &reader.audiences)
            .map(owed)
            .sum()
    }

    /// What is wrong, reader by reader.
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict {
            accepted: self.accepted_count(),
            expected: self.expected_count(),
            received: self.received_count(),
            ..Verdict::default()
        };
        let places = self.places();
        for reader in &self.readers {
            self.judge(reader, &places, &mut verdict);
        }
        verdict
    }

    /// What was accepted for an audience, in that order.
    pub fn accepted_for(&self, audience: &Audience) -> &[String] {
        self.accepted.get(audience).map_or(&[], Vec::as_slice)
    }

    /// For each accepted id: for whom, and its place in their order.
    fn places(&self) -> HashMap<&str, (&Audience, usize)> {
        let all = self.accepted.iter().flat_map(|(audience, ids)| {
            let ids = ids.iter().enumerate();
            ids.map(move |(place, id)| (id.as_str(), (audience, place)))
        });
        all.collect()
    }

    fn judge(
        &self,
        reader: &Reader,
        places: &HashMap<&str, (&Audience, usize)>,
        verdict: &mut Verdict,
    ) {
        let mut given: HashSet<&str> = HashSet::new();
        let mut last: HashMap<&Audience, usize> = HashMap::new();
        for id in &reader.received {
            if !given.insert(id) {
                match reader.delivery {
                    Delivery::Once => verdict.duplicates.push(Finding::new(reader, id)),
                    Delivery::AtLeastOnce => verdict.repeated += 1,
                }
                continue;
            }
            let Some((audience, place)) = places.get(id.as_str()) else {
                verdict.unaccounted.push(Finding::new(reader, id));
                continue;
            };
            if !reader.audiences.iter().any(|(own, _)| own == *audience) {
                verdict.misdelivered.push(Finding::new(reader, id));
                continue;
            }
            let last = last.entry(audience).or_insert(*place);
            if *place < *last {
                verdict.disordered.push(Finding::new(reader, id));
            }
            *last = (*last).max(*place);
        }
        for (audience, before) in &reader.audiences {
            let owed = &self.accepted_for(audience)[*before..];
            let lost = owed.iter().filter(|id| !given.contains(id.as_str()));
            verdict.lost.extend(lost.map(|id| Finding::new(reader, id)));
        }
    }
}

/// What a ledger shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Notifications that were accepted.
    pub accepted: usize,
    /// Times that one was to be given to an application.
    pub expected: usize,
    /// Times that one was given.
    pub received: usize,
    /// Accepted, and never given to this reader.
    pub lost: Vec<Finding>,
    /// Given to this reader's application again.
    pub duplicates: Vec<Finding>,
    /// Given after one that was accepted later.
    pub disordered: Vec<Finding>,
    /// Given to a reader that it was not for.
    pub misdelivered: Vec<Finding>,
    /// Given again where that is no fault.
    pub repeated: usize,
    /// Given, but not known as accepted: its call had no answer, or it is a second copy under
    /// another id.
    pub unaccounted: Vec<Finding>,
}

impl Verdict {
    /// Whether every promise was kept. `unanswered` calls, whose outcome nobody knows, may each
    /// have been accepted all the same, and then reached each of `readers`.
    pub fn holds(&self, unanswered: usize, readers: usize) -> bool {
        self.lost.is_empty()
            && self.duplicates.is_empty()
            && self.disordered.is_empty()
            && self.misdelivered.is_empty()
            && self.unaccounted.len() <= unanswered.saturating_mul(readers)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The reader.
    pub reader: String,
    /// The notification.
    pub id: String,
}

impl Finding {
    fn new(reader: &Reader, id: &str) -> Self {
        Self {
            reader: reader.name.clone(),
            id: id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Audience {
        Audience::User("alice".to_owned())
    }

    /// A reader of alice's inbox and of broadcasts, to whom `received` was given after `1 2 3` were
    /// accepted for her and `a b` for everyone.
    fn verdict(received: &[&str]) -> Verdict {
        let mut ledger = Ledger::new();
        let reader = ledger.reader("alice/phone", Delivery::Once, [alice(), Audience::Everyone]);
        for id in ["1", "2", "3"] {
            ledger.accepted(alice(), id);
        }
        for id in ["a", "b"] {
            ledger.accepted(Audience::Everyone, id);
        }
        ledger.accepted(Audience::User("bob".to_owned()), "9");
        received.iter().for_each(|id| ledger.received(reader, *id));
        ledger.verdict()
    }

    fn ids(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.id.as_str()).collect()
    }

    #[test]
    fn all_is_well_in_any_mixture_of_audiences() {
        for received in [["1", "2", "3", "a", "b"], ["a", "1", "b", "2", "3"]] {
            let verdict = verdict(&received);
            assert!(verdict.holds(0, 1), "{verdict:?}");
            assert_eq!(
                (verdict.accepted, verdict.expected, verdict.received),
                (6, 5, 5)
            );
        }
    }

    #[test]
    fn losses_are_named_in_order() {
        let verdict = verdict(&["2", "a"]);
        assert_eq!(ids(&verdict.lost), ["1", "3", "b"]);
        assert_eq!(verdict.lost[0].reader, "alice/phone");
        assert!(!verdict.holds(10, 1));
    }

    #[test]
    fn a_duplicate_is_one_and_not_a_disorder() {
        let verdict = verdict(&["1", "2", "1", "3", "a", "b"]);
        assert_eq!(ids(&verdict.duplicates), ["1"]);
        assert_eq!(ids(&verdict.disordered), Vec::<&str>::new());
        assert!(!verdict.holds(0, 1));
    }

    #[test]
    fn the_late_one_is_out_of_order() {
        let verdict = verdict(&["1", "3", "2", "a", "b"]);
        assert_eq!(ids(&verdict.disordered), ["2"]);
        assert!(!verdict.holds(0, 1));
    }

    #[test]
    fn what_nobody_accepted_is_excused_by_a_call_without_an_answer() {
        let verdict = verdict(&["1", "2", "3", "a", "b", "x", "y"]);
        assert_eq!(ids(&verdict.unaccounted), ["x", "y"]);
        assert!(!verdict.holds(1, 1) && verdict.holds(2, 1));
    }

    #[test]
    fn another_users_notification_is_found() {
        let verdict = verdict(&["1", "2", "3", "a", "b", "9"]);
        assert_eq!(ids(&verdict.misdelivered), ["9"]);
        assert!(!verdict.holds(9, 9));
    }

    #[test]
    fn at_least_once_may_be_more_often() {
        let mut ledger = Ledger::new();
        let reader = ledger.reader("alice", Delivery::AtLeastOnce, [alice()]);
        ledger.accepted(alice(), "1");
        (0..3).for_each(|_| ledger.received(reader, "1"));
        let verdict = ledger.verdict();
        assert!(verdict.holds(0, 1), "{verdict:?}");
        assert_eq!(verdict.repeated, 2);
    }

    #[test]
    fn nothing_is_owed_from_before_a_reader_was_there() {
        let mut ledger = Ledger::new();
        ledger.accepted(alice(), "1");
        let reader = ledger.reader("alice", Delivery::Once, [alice()]);
        ledger.accepted(alice(), "2");
        assert_eq!(ids(&ledger.verdict().lost), ["2"]);
        ledger.received(reader, "2");
        assert_eq!(
            (ledger.verdict().expected, ledger.verdict().lost.len()),
            (1, 0)
        );
    }
}
