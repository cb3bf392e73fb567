//! By what a token was accepted: enough to tell later whether it still would be, and no part of either.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use jsonwebtoken::Algorithm;

/// What stood for a token when it was verified; kept with its connection instead of the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Warrant {
    /// [`Key::id`](super::key::Key::id) of the key that it is signed with.
    pub(super) key: u64,
    /// Its `iss`, as [`fingerprint`] has it: a key may be bound to one later.
    pub(super) iss: u64,
    pub(super) algorithm: Algorithm,
}

/// A text in eight bytes, the same for the life of the process.
pub(super) fn fingerprint(text: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Debug for Warrant {
    /// A key's id is made of its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warrant(…)")
    }
}
