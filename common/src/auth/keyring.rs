//! The credentials that are in force, read by every request and replaced while the process runs.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use axum::http::HeaderMap;
use tokio::sync::watch;

use super::{Caller, Claims, Revocations, Service, TokenError, Unproven};
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
    /// Those of the store, once the process has one.
    revocations: OnceLock<Revocations>,
}

impl Keyring {
    /// With these, until they are replaced.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(credentials),
            changed: watch::Sender::new(()),
            revoked: watch::Sender::new(()),
            revocations: OnceLock::new(),
        }))
    }

    /// Judges tokens by the revocations of this store as well. A process has one store: the first one stays.
    pub fn follow(&self, revocations: Revocations) {
        self.0.revocations.get_or_init(|| revocations);
    }

    /// The claims of a client's token that is good at `now_ms` (Unix time in ms).
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Claims, TokenError> {
        let claims = self.current().verifier.verify(token, now_ms)?;
        match self.revokes(&claims, now_ms) {
            true => Err(TokenError::Revoked),
            false => Ok(claims),
        }
    }

    /// Whether what was accepted once still would be; when it ends is not asked.
    ///
    /// # Errors
    /// Why it would not.
    pub fn stands(&self, claims: &Claims, now_ms: i64) -> Result<(), TokenError> {
        if self.revokes(claims, now_ms) {
            return Err(TokenError::Revoked);
        }
        match &claims.warrant {
            Some(warrant) if !self.current().verifier.stands(warrant) => Err(TokenError::Key),
            _ => Ok(()),
        }
    }

    /// Whether a client's token was revoked.
    pub fn revokes(&self, claims: &Claims, now_ms: i64) -> bool {
        self.0.revocations.get().is_some_and(|known| {
            known.include(&claims.sub, claims.jti.as_deref(), claims.iat_ms, now_ms)
        })
    }

    /// The service that a request comes from, by a key or token that is good at `now_ms`.
    ///
    /// # Errors
    /// What stood in the place of either, or why the token is refused.
    pub fn service(&self, headers: &HeaderMap, now_ms: i64) -> Result<Service, Unproven> {
        let service = self.current().service(headers, now_ms)?;
        let revocations = self.0.revocations.get();
        match revocations.is_some_and(|known| service.is_revoked(known, now_ms)) {
            true => Err(Unproven::Token(TokenError::Revoked)),
            false => Ok(service),
        }
    }

    /// Who a request comes from, where both services and clients may make it.
    ///
    /// # Errors
    /// As for [`service`](Self::service).
    pub fn caller(&self, headers: &HeaderMap, now_ms: i64) -> Result<Caller, Unproven> {
        match self.current().client(headers, now_ms)? {
            None => self.service(headers, now_ms).map(Caller::Service),
            Some(claims) if self.revokes(&claims, now_ms) => {
                Err(Unproven::Token(TokenError::Revoked))
            }
            Some(claims) => Ok(Caller::Client(claims)),
        }
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
    /// any more ([`Verifier::stands`](super::Verifier::stands)), because their keys went.
    pub fn keys_gone(&self) -> watch::Receiver<()> {
        self.0.revoked.subscribe()
    }

    /// The revocations that tokens are judged by; none before the process has a store.
    pub fn revocations(&self) -> Option<&Revocations> {
        self.0.revocations.get()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}
