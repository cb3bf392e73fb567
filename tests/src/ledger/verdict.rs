//! What became of everything accepted.

use std::fmt;

/// How many faults a verdict names; it counts all.
const NAMED: usize = 10;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Lost,
    Duplicate,
    OutOfOrder,
    Misdelivered,
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
    /// Deliveries owed.
    pub expected: usize,
    /// Deliveries made, repeated ones included.
    pub received: usize,
    /// Accepted, and not received by a device that should have.
    pub lost: usize,
    /// Given to the application again.
    pub duplicates: usize,
    /// Received after a later one of the same user, or a later broadcast.
    pub out_of_order: usize,
    /// Received by a device of another user.
    pub misdelivered: usize,
    /// On the wire again, which is no fault where at least once is promised.
    pub repeated: usize,
    /// Received, but never known to be accepted: the sender had no answer. No fault.
    pub unaccepted: usize,
    /// The first faults: what, which device, which id.
    pub named: Vec<String>,
}

impl Verdict {
    /// Whether the promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicates + self.out_of_order + self.misdelivered == 0
    }

    pub(super) fn fault(&mut self, fault: Fault, device: &str, id: &str) {
        let count = match fault {
            Fault::Lost => &mut self.lost,
            Fault::Duplicate => &mut self.duplicates,
            Fault::OutOfOrder => &mut self.out_of_order,
            Fault::Misdelivered => &mut self.misdelivered,
        };
        *count += 1;
        if self.named.len() < NAMED {
            self.named.push(format!("{fault:?}: {id} at {device}"));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("accepted, personal", self.personal),
            ("accepted, broadcast", self.broadcasts),
            ("devices", self.devices),
            ("deliveries owed", self.expected),
            ("deliveries made", self.received),
            ("LOST", self.lost),
            ("DUPLICATE to the application", self.duplicates),
            ("OUT OF ORDER", self.out_of_order),
            ("at the WRONG USER", self.misdelivered),
            ("repeated on the wire", self.repeated),
            ("received without an answer", self.unaccepted),
        ];
        for (name, count) in rows {
            writeln!(f, "{name:<30} {count:>9}")?;
        }
        self.named
            .iter()
            .try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}
