//! By what a token was accepted: enough to tell later whether it still would be, and no part of either.

use std::fmt;

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What stood for a token when it was verified; kept with its connection instead of the token, and with a ticket, which
/// another process redeems.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warrant {
    /// [`Key::id`](super::key::Key::id) of the key that it is signed with.
    pub(super) key: u64,
    /// Its `iss`, as [`fingerprint`] has it: a key may be bound to one later.
    pub(super) iss: u64,
    pub(super) algorithm: Algorithm,
}

/// A text in eight bytes, the same in every process.
pub(super) fn fingerprint(text: Option<&str>) -> u64 {
    let mut hasher = Sha256::new();
    // None is not the empty text.
    hasher.update([u8::from(text.is_some())]);
    hasher.update(text.unwrap_or_default());
    let hash: [u8; 32] = hasher.finalize().into();
    first_eight(hash)
}

/// The first eight bytes of a hash.
pub(super) fn first_eight(hash: [u8; 32]) -> u64 {
    let bytes = hash.iter().take(8);
    bytes.fold(0, |id, byte| id << 8 | u64::from(*byte))
}

impl fmt::Debug for Warrant {
    /// A key's id is made of its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warrant(…)")
    }
}
