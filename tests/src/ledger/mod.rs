//! The ledger: what was accepted against what was received, and the verdict.
//!
//! It knows the promise alone, nothing of how it is kept: every accepted notification reaches every
//! device of its user, in the order of acceptance, and once where duplicates are removed.

mod verdict;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::verdict::Fault;
pub use self::verdict::Verdict;
use crate::client::Journal;

/// While something is outstanding.
const BETWEEN_VERDICTS: Duration = Duration::from_millis(200);

/// Everything accepted and received in one test; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

/// How often a device may be given the same notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Once: what is received was rid of duplicates, as the application sees it.
    Once,
    /// At least once: what is received is what was on the wire.
    AtLeastOnce,
}

#[derive(Debug, Default)]
struct Books {
    /// Per user, in the order of acceptance.
    personal: HashMap<String, Vec<String>>,
    broadcasts: Vec<String>,
    devices: BTreeMap<String, Device>,
}

#[derive(Debug)]
struct Device {
    user: String,
    delivery: Delivery,
    /// How much had been accepted before the device was there; that it need not receive.
    personal_before: usize,
    broadcasts_before: usize,
    received: Vec<String>,
    journals: Vec<Journal>,
}

impl Ledger {
    /// Enters a device; from now on it must receive all that is accepted for its user, and all
    /// broadcasts.
    pub fn device(&self, name: &str, user: &str, delivery: Delivery) {
        let mut books = self.books();
        let device = Device {
            user: user.to_owned(),
            delivery,
            personal_before: books.personal.get(user).map_or(0, Vec::len),
            broadcasts_before: books.broadcasts.len(),
            received: Vec::new(),
            journals: Vec::new(),
        };
        books.devices.insert(name.to_owned(), device);
    }

    /// Enters a device whose receipts are those of a client; again with the same name for the
    /// client that takes its place.
    pub fn follow(&self, name: &str, user: &str, delivery: Delivery, journal: &Journal) {
        if !self.books().devices.contains_key(name) {
            self.device(name, user, delivery);
        }
        if let Some(device) = self.books().devices.get_mut(name) {
            device.journals.push(journal.clone());
        }
    }

    /// Notes that a notification was accepted. To have an order to check, one sender sends to a
    /// user, one after the other.
    pub fn accepted(&self, user: &str, id: &str) {
        self.books()
            .personal
            .entry(user.to_owned())
            .or_default()
            .push(id.to_owned());
    }

    /// Notes that a broadcast was accepted; one sender, one after the other.
    pub fn accepted_broadcast(&self, id: &str) {
        self.books().broadcasts.push(id.to_owned());
    }

    /// Notes that a device of [`Ledger::device`] received something.
    pub fn received(&self, device: &str, id: &str) {
        if let Some(device) = self.books().devices.get_mut(device) {
            device.received.push(id.to_owned());
        }
    }

    /// What was accepted for a user, in that order.
    #[must_use]
    pub fn personal_of(&self, user: &str) -> Vec<String> {
        self.books().personal.get(user).cloned().unwrap_or_default()
    }

    /// Compares what was accepted with what has been received until now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let books = self.books();
        let owners = books.owners();
        let mut verdict = Verdict {
            personal: books.personal.values().map(Vec::len).sum(),
            broadcasts: books.broadcasts.len(),
            devices: books.devices.len(),
            ..Verdict::default()
        };
        for (name, device) in &books.devices {
            books.judge(name, device, &owners, &mut verdict);
        }
        verdict
    }

    /// The verdict as soon as nothing is outstanding, or when `within` has passed.
    pub async fn settled(&self, within: Duration) -> Verdict {
        let deadline = Instant::now() + within;
        loop {
            let verdict = self.verdict();
            if verdict.lost == 0 || Instant::now() >= deadline {
                return verdict;
            }
            // A verdict reads all the books: asking more often would slow down what it waits for.
            sleep(BETWEEN_VERDICTS).await;
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For whom a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner<'a> {
    User(&'a str),
    Everyone,
}

impl Books {
    /// For each accepted id: for whom, and its place in their order.
    fn owners(&self) -> HashMap<&str, (Owner<'_>, usize)> {
        let broadcasts = self.broadcasts.iter().enumerate();
        let broadcasts = broadcasts.map(|(place, id)| (id.as_str(), (Owner::Everyone, place)));
        let personal = self.personal.iter().flat_map(|(user, ids)| {
            let ids = ids.iter().enumerate();
            ids.map(move |(place, id)| (id.as_str(), (Owner::User(user), place)))
        });
        broadcasts.chain(personal).collect()
    }

    fn judge(
        &self,
        name: &str,
        device: &Device,
        owners: &HashMap<&str, (Owner<'_>, usize)>,
        verdict: &mut Verdict,
    ) {
        let received = device.all_received();
        verdict.received += received.len();
        let mut known = HashSet::new();
        let mut last = (None, None);
        for id in &received {
            if !known.insert(id.as_str()) {
                match device.delivery {
                    Delivery::Once => verdict.fault(Fault::Duplicate, name, id),
                    Delivery::AtLeastOnce => verdict.repeated += 1,
                }
                continue;
            }
            let (last, place) = match owners.get(id.as_str()) {
                None => {
                    verdict.unaccepted += 1;
                    continue;
                }
                Some((Owner::Everyone, place)) => (&mut last.0, *place),
                Some((Owner::User(user), place)) if *user == device.user => (&mut last.1, *place),
                Some((Owner::User(_), _)) => {
                    verdict.fault(Fault::Misdelivered, name, id);
                    continue;
                }
            };
            if last.is_some_and(|last| last > place) {
                verdict.fault(Fault::OutOfOrder, name, id);
            }
            *last = Some(last.map_or(place, |last: usize| last.max(place)));
        }
        for id in self.expected(device) {
            verdict.expected += 1;
            if !known.contains(id.as_str()) {
                verdict.fault(Fault::Lost, name, id);
            }
        }
    }

    /// What a device must have received.
    fn expected<'a>(&'a self, device: &Device) -> impl Iterator<Item = &'a String> {
        let personal = self
            .personal
            .get(&device.user)
            .map_or(&[][..], Vec::as_slice);
        let personal = &personal[device.personal_before..];
        personal
            .iter()
            .chain(&self.broadcasts[device.broadcasts_before..])
    }
}

impl Device {
    fn all_received(&self) -> Vec<String> {
        let mut received = self.received.clone();
        for journal in &self.journals {
            journal.read(|record| received.extend(record.ids().map(str::to_owned)));
        }
        received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five for alice and two broadcasts, and what her phone and her page received.
    fn ledger(phone: &[&str], page: &[&str]) -> Verdict {
        let ledger = Ledger::default();
        ledger.device("phone", "alice", Delivery::Once);
        ledger.device("page", "alice", Delivery::AtLeastOnce);
        for id in ["1", "2", "3", "4", "5"] {
            ledger.accepted("alice", id);
        }
        for id in ["A", "B"] {
            ledger.accepted_broadcast(id);
        }
        ledger.accepted("bob", "bobs");
        phone.iter().for_each(|id| ledger.received("phone", id));
        page.iter().for_each(|id| ledger.received("page", id));
        ledger.verdict()
    }

    const ALL: [&str; 7] = ["A", "1", "2", "3", "B", "4", "5"];

    #[test]
    fn a_kept_promise_is_clean() {
        let verdict = ledger(
            &ALL,
            &["A", "1", "2", "1", "2", "3", "4", "5", "A", "B", "x"],
        );
        assert!(verdict.is_clean(), "{verdict}");
        assert_eq!((verdict.expected, verdict.received), (14, 18));
        assert_eq!((verdict.repeated, verdict.unaccepted), (3, 1));
    }

    #[test]
    fn a_lost_one_is_found() {
        let verdict = ledger(&ALL, &["A", "1", "2", "4", "5", "B"]);
        assert_eq!((verdict.lost, verdict.is_clean()), (1, false));
        assert_eq!(verdict.named, ["Lost: 3 at page"]);
        assert!(
            verdict
                .to_string()
                .contains("LOST                                   1"),
            "{verdict}"
        );
        assert_eq!(
            ledger(&ALL, &["1", "2", "3", "4", "5", "B"]).named,
            ["Lost: A at page"]
        );
    }

    #[test]
    fn a_swapped_pair_is_found() {
        let verdict = ledger(&["A", "B", "1", "3", "2", "4", "5"], &ALL);
        assert_eq!((verdict.out_of_order, verdict.is_clean()), (1, false));
        assert_eq!(verdict.named, ["OutOfOrder: 2 at phone"]);
        assert_eq!(
            ledger(&["B", "A", "1", "2", "3", "4", "5"], &ALL).out_of_order,
            1
        );
    }

    #[test]
    fn a_duplicate_is_found_where_once_is_promised() {
        let twice = ["A", "1", "2", "3", "B", "4", "5", "4"];
        let verdict = ledger(&twice, &twice);
        assert_eq!(
            (verdict.duplicates, verdict.repeated, verdict.is_clean()),
            (1, 1, false)
        );
    }

    #[test]
    fn another_users_notification_is_found() {
        let mut page = ALL.to_vec();
        page.push("bobs");
        let verdict = ledger(&ALL, &page);
        assert_eq!((verdict.misdelivered, verdict.is_clean()), (1, false));
    }

    #[test]
    fn a_device_owes_nothing_from_before_it_was_there() {
        let ledger = Ledger::default();
        ledger.accepted("alice", "1");
        ledger.accepted_broadcast("A");
        ledger.device("phone", "alice", Delivery::Once);
        ledger.accepted("alice", "2");
        let verdict = ledger.verdict();
        assert_eq!((verdict.expected, verdict.lost), (1, 1));
    }

    #[tokio::test]
    async fn settles_when_the_last_one_has_come() {
        let ledger = Ledger::default();
        ledger.device("phone", "alice", Delivery::Once);
        ledger.accepted("alice", "1");
        let late = ledger.settled(Duration::from_millis(50)).await;
        assert_eq!(late.lost, 1);
        let coming = async {
            tokio::task::yield_now().await;
            ledger.received("phone", "1");
        };
        let (verdict, ()) = tokio::join!(ledger.settled(Duration::from_secs(10)), coming);
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[tokio::test]
    async fn follows_what_a_client_has_seen() {
        let ledger = Ledger::default();
        let journal = Journal::default();
        ledger.follow("phone", "alice", Delivery::Once, &journal);
        ledger.accepted("alice", "1");
        assert_eq!(ledger.verdict().lost, 1);
        let frame = serde_json::json!({ "id": "1", "type": "t" });
        let received = crate::client::Received::read(&frame);
        journal.note(|record| record.notifications.extend(received));
        assert!(ledger.verdict().is_clean());
    }
}
