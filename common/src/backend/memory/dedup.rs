//! Recognising an order that was accepted before.

use std::collections::HashMap;

use super::rules::millis;
use crate::{
    backend::{BackendError, Idempotency},
    ids::{Cursor, Millis},
};

/// What an entry costs besides its texts, in bytes.
const ENTRY_OVERHEAD: u64 = 96;

/// The keys of one user's or channel's orders.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    accepted: HashMap<String, Accepted>,
    bytes: u64,
}

#[derive(Debug)]
struct Accepted {
    cursor: Cursor,
    body_hash: String,
    expires_at: Millis,
}

impl Dedup {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    /// What remembering this key will add to [`bytes`](Self::bytes).
    pub(super) fn weight(idempotency: &Idempotency) -> u64 {
        (idempotency.key.len() + idempotency.body_hash.len()) as u64 + ENTRY_OVERHEAD
    }

    /// The first order's cursor if this repeats one; then the key lives on from now.
    ///
    /// # Errors
    /// [`BackendError::IdempotencyMismatch`] when the key stands for another body.
    pub(super) fn recognise(
        &mut self,
        idempotency: &Idempotency,
        now: Millis,
    ) -> Result<Option<Cursor>, BackendError> {
        let Some(first) = self
            .accepted
            .get_mut(&idempotency.key)
            .filter(|first| first.expires_at > now)
        else {
            return Ok(None);
        };
        if first.body_hash != idempotency.body_hash {
            return Err(BackendError::IdempotencyMismatch);
        }
        first.expires_at = now + millis(idempotency.ttl);
        Ok(Some(first.cursor))
    }

    /// Remembers an accepted order.
    pub(super) fn remember(&mut self, idempotency: &Idempotency, cursor: Cursor, now: Millis) {
        let entry = Accepted {
            cursor,
            body_hash: idempotency.body_hash.clone(),
            expires_at: now + millis(idempotency.ttl),
        };
        self.bytes += Self::weight(idempotency);
        if let Some(lapsed) = self.accepted.insert(idempotency.key.clone(), entry) {
            self.bytes -= (idempotency.key.len() + lapsed.body_hash.len()) as u64 + ENTRY_OVERHEAD;
        }
    }

    /// Forgets what has lapsed.
    pub(super) fn prune(&mut self, now: Millis) {
        let mut freed = 0;
        self.accepted.retain(|key, accepted| {
            let keep = accepted.expires_at > now;
            if !keep {
                freed += (key.len() + accepted.body_hash.len()) as u64 + ENTRY_OVERHEAD;
            }
            keep
        });
        self.bytes -= freed;
    }
}
