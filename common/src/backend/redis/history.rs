//! Which history each partition serves, as far as this process knows.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

/// A history, as far as this process knows it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: Bytes,
    /// What was accepted under it, at least: confirmed as far as sends are.
    pub(super) accepted: u64,
    /// When the last loss was marked, in ms; 0 for none.
    pub(super) lost: u64,
}

/// What this process knows of all partitions.
#[derive(Debug)]
pub(super) struct Histories {
    partitions: Vec<Partition>,
    /// Counts losses that were heard of.
    heard: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Partition {
    known: Mutex<Option<Known>>,
    looking: tokio::sync::Mutex<()>,
}

impl Histories {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            heard: watch::Sender::new(0),
        }
    }

    /// Changes whenever something was lost.
    pub(super) fn losses(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    pub(super) fn known(&self, partition: u16) -> Option<Known> {
        self.partitions[usize::from(partition)].known.lock().clone()
    }

    pub(super) fn adopt(&self, partition: u16, mut now: Known) {
        let mut known = self.partitions[usize::from(partition)].known.lock();
        // Sends may have been accepted while we looked.
        if let Some(before) = known.as_ref().filter(|before| before.id == now.id) {
            now.accepted = now.accepted.max(before.accepted);
        }
        *known = Some(now);
    }

    /// Something was accepted, and is as safe as it is to be.
    pub(super) fn reached(&self, partition: u16, id: &Bytes, accepted: u64) {
        if let Some(known) = &mut *self.partitions[usize::from(partition)].known.lock()
            && known.id == *id
        {
            known.accepted = known.accepted.max(accepted);
        }
    }

    /// One look at a partition at a time.
    pub(super) async fn looking(&self, partition: u16) -> tokio::sync::MutexGuard<'_, ()> {
        let partition = &self.partitions[usize::from(partition)];
        partition.looking.lock().await
    }

    /// Something was lost, or is known to have been.
    pub(super) fn tell_loss(&self) {
        self.heard.send_modify(|heard| *heard += 1);
    }
}
