//! The credentials that are in force, read by every request and replaced while the process runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::settings::Credentials;

/// What tokens and keys are judged by at this moment. Clones are handles to the same one.
///
/// A reader neither locks nor allocates, and is not held up by who replaces it.
#[derive(Clone)]
pub struct Keyring(Arc<Shared>);

struct Shared {
    current: ArcSwap<Credentials>,
    changed: watch::Sender<()>,
    revoked: watch::Sender<()>,
}

impl Keyring {
    /// With these, until they are replaced.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(credentials),
            changed: watch::Sender::new(()),
            revoked: watch::Sender::new(()),
        }))
    }

    /// What is in force. For the judgement at hand: whoever keeps it does not see what comes later.
    pub fn current(&self) -> Guard<Arc<Credentials>> {
        self.0.current.load()
    }

    /// Puts others in force, and tells whoever waits for it.
    pub fn replace(&self, credentials: Credentials) {
        let before = self.0.current.swap(Arc::new(credentials));
        let revokes = !self.current().verifier.covers(&before.verifier);
        self.0.changed.send_replace(());
        if revokes {
            self.0.revoked.send_replace(());
        }
    }

    /// Tells of each replacement.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Tells of each replacement after which there may be tokens that were accepted and would not be
    /// any more ([`Verifier::stands`](super::Verifier::stands)).
    pub fn revocations(&self) -> watch::Receiver<()> {
        self.0.revoked.subscribe()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}
