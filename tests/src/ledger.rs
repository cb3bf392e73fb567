//! The ledger of the load generator, fed from what the tests' clients have seen.
//!
//! It knows the promise alone, nothing of how it is kept: every accepted notification reaches every
//! device of its user, in the order of acceptance, and once where duplicates are removed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

pub use carillon::bench::ledger::Delivery;
use carillon::bench::ledger::{self, Audience, Finding, ReaderId};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::client::Journal;

/// While something is outstanding.
const BETWEEN_VERDICTS: Duration = Duration::from_millis(200);
/// How many faults of a kind a verdict names; it counts all.
const NAMED: usize = 5;

/// Everything accepted and received in one test; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    ledger: ledger::Ledger,
    devices: BTreeMap<String, Device>,
}

#[derive(Debug)]
struct Device {
    reader: ReaderId,
    /// Each with how much of it is in the ledger.
    journals: Vec<(Journal, usize)>,
}

fn personal(user: &str) -> Audience {
    Audience::User(user.to_owned())
}

impl Ledger {
    /// Enters a device; from now on it must receive all that is accepted for its user, and all
    /// broadcasts. Its receipts are those of a client; again with the same name for the client that
    /// takes its place.
    pub fn follow(&self, name: &str, user: &str, delivery: Delivery, journal: &Journal) {
        let books = &mut *self.0.lock();
        let device = books.devices.entry(name.to_owned()).or_insert_with(|| {
            let audiences = [personal(user), Audience::Everyone];
            Device {
                reader: books.ledger.reader(name, delivery, audiences),
                journals: Vec::new(),
            }
        });
        device.journals.push((journal.clone(), 0));
    }

    /// Notes that a notification was accepted. To have an order to check, one sender sends to a
    /// user, one after the other.
    pub fn accepted(&self, user: &str, id: &str) {
        self.0.lock().ledger.accepted(personal(user), id);
    }

    /// Notes that a broadcast was accepted; one sender, one after the other.
    pub fn accepted_broadcast(&self, id: &str) {
        self.0.lock().ledger.accepted(Audience::Everyone, id);
    }

    /// What was accepted for a user, in that order.
    #[must_use]
    pub fn personal_of(&self, user: &str) -> Vec<String> {
        self.0.lock().ledger.accepted_for(&personal(user)).to_vec()
    }

    /// Compares what was accepted with what has been received until now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut books = self.0.lock();
        books.take_in();
        let found = books.ledger.verdict();
        let broadcasts = books.ledger.accepted_for(&Audience::Everyone).len();
        Verdict {
            personal: found.accepted - broadcasts,
            broadcasts,
            devices: books.devices.len(),
            found,
        }
    }

    /// The verdict as soon as nothing is outstanding, or when `within` has passed.
    pub async fn settled(&self, within: Duration) -> Verdict {
        let deadline = Instant::now() + within;
        loop {
            let verdict = self.verdict();
            if verdict.found.lost.is_empty() || Instant::now() >= deadline {
                return verdict;
            }
            // A verdict reads all the books: asking more often would slow down what it waits for.
            sleep(BETWEEN_VERDICTS).await;
        }
    }
}

impl Books {
    /// Enters what the clients have seen since the last time.
    fn take_in(&mut self) {
        for device in self.devices.values_mut() {
            for (journal, taken) in &mut device.journals {
                journal.read(|record| {
                    for id in record.ids().skip(*taken) {
                        self.ledger.received(device.reader, id);
                        *taken += 1;
                    }
                });
            }
        }
    }
}

/// What became of everything accepted. Faults count devices: a broadcast that two devices did not
/// receive is lost twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Personal notifications accepted.
    pub personal: usize,
    /// Broadcasts accepted.
    pub broadcasts: usize,
    /// Devices entered.
    pub devices: usize,
    /// What was found.
    pub found: ledger::Verdict,
}

impl Verdict {
    /// Whether the promise was kept. What was received without being known as accepted is no
    /// fault: its sender had no answer.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.holds(usize::MAX, 1)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        let faults: [(&str, &[Finding]); 4] = [
            ("LOST", &found.lost),
            ("DUPLICATE to the application", &found.duplicates),
            ("OUT OF ORDER", &found.disordered),
            ("at the WRONG USER", &found.misdelivered),
        ];
        let rows = [
            ("accepted, personal", self.personal),
            ("accepted, broadcast", self.broadcasts),
            ("devices", self.devices),
            ("deliveries owed", found.expected),
            ("deliveries made", found.received),
        ];
        let counted = faults.map(|(name, all)| (name, all.len()));
        let no_faults = [
            ("repeated on the wire", found.repeated),
            ("received without an answer", found.unaccounted.len()),
        ];
        for (name, count) in rows.into_iter().chain(counted).chain(no_faults) {
            writeln!(f, "{name:<30} {count:>9}")?;
        }
        for (name, all) in faults {
            for Finding { reader, id } in all.iter().take(NAMED) {
                writeln!(f, "  {name}: {id} at {reader}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Received;

    fn sees(journal: &Journal, id: &str) {
        let frame = serde_json::json!({ "id": id, "type": "t" });
        journal.note(|record| record.notifications.extend(Received::read(&frame)));
    }

    #[test]
    fn follows_what_a_client_has_seen_and_the_client_that_takes_its_place() {
        let (ledger, first, second) = (Ledger::default(), Journal::default(), Journal::default());
        ledger.follow("phone", "alice", Delivery::Once, &first);
        ledger.accepted("alice", "1");
        ledger.accepted_broadcast("A");
        assert_eq!(ledger.verdict().found.lost.len(), 2);
        sees(&first, "1");
        assert_eq!(ledger.verdict().found.lost.len(), 1);
        ledger.follow("phone", "alice", Delivery::Once, &second);
        sees(&second, "A");
        let verdict = ledger.verdict();
        assert!(verdict.is_clean(), "{verdict}");
        assert_eq!((verdict.personal, verdict.broadcasts), (1, 1));
        sees(&second, "1");
        let verdict = ledger.verdict();
        assert!(!verdict.is_clean());
        assert!(
            verdict.to_string().contains("application: 1 at phone"),
            "{verdict}"
        );
    }

    #[tokio::test]
    async fn settles_when_the_last_one_has_come() {
        let (ledger, journal) = (Ledger::default(), Journal::default());
        ledger.follow("phone", "alice", Delivery::Once, &journal);
        ledger.accepted("alice", "1");
        let late = ledger.settled(Duration::from_millis(50)).await;
        assert_eq!(late.found.lost.len(), 1);
        let coming = async {
            tokio::task::yield_now().await;
            sees(&journal, "1");
        };
        let (verdict, ()) = tokio::join!(ledger.settled(Duration::from_secs(10)), coming);
        assert!(verdict.is_clean(), "{verdict}");
    }
}
