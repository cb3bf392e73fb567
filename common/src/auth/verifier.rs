//! Verification of tokens: JWTs (RFC 7519) signed by a key of one of the issuers.
//!
//! The rules that keep forgeries out (RFC 8725): a key serves only the algorithms that it was
//! configured with, so the token cannot choose how it is verified; there is no `none`; nothing of the
//! payload is believed before the signature is right. Clients and services have a verifier each, so that
//! no issuer of one is ever asked about a token of the other.

use std::sync::Arc;
use std::time::Duration;

use super::claims::{Claims, Payload, TokenTimes};
use super::issuer::Issuer;
use super::jwks::{Sought, Source, Sources};
use super::key::Key;
use super::remote::Remote;
use super::token::{Compact, TokenError};
use super::warrant::Warrant;
use crate::settings::{IssuerSettings, SettingsError};

/// Verifies tokens against the keys of issuers.
pub struct Verifier {
    /// Those of the configuration.
    keys: Vec<Key>,
    /// Those that issuers publish.
    remotes: Vec<Remote>,
    times: TokenTimes,
}

/// What `[[auth.issuers]]` come to.
#[derive(Default)]
pub(crate) struct Issuers {
    keys: Vec<Key>,
    remotes: Vec<Remote>,
}

impl Issuers {
    /// Parses every issuer, or reports all that are wrong.
    pub(crate) fn parse(
        settings: &[IssuerSettings],
        sources: &Sources,
    ) -> Result<Self, Vec<SettingsError>> {
        let mut issuers = Self::default();
        let mut errors = Vec::new();
        for (index, settings) in settings.iter().enumerate() {
            let path = format!("auth.issuers.{index}");
            errors.extend(issuers.add(settings, &path, sources).err());
        }
        match errors.is_empty() {
            true => Ok(issuers),
            false => Err(errors),
        }
    }

    fn add(
        &mut self,
        settings: &IssuerSettings,
        path: &str,
        sources: &Sources,
    ) -> Result<(), SettingsError> {
        let issuer = Arc::new(Issuer::new(settings, path)?);
        match &settings.jwks_url {
            None => self.keys.push(Key::new(settings, issuer, path)?),
            Some(url) => {
                let remote = Remote::new(settings, url, issuer, path, sources)?;
                self.remotes.push(remote);
            }
        }
        Ok(())
    }

    /// Those whose tokens are clients', and those whose tokens are services'.
    pub(crate) fn apart(self) -> (Self, Self) {
        let mut apart = (Self::default(), Self::default());
        for key in self.keys {
            match key.issuer.is_for_services() {
                false => apart.0.keys.push(key),
                true => apart.1.keys.push(key),
            }
        }
        for remote in self.remotes {
            match remote.issuer.is_for_services() {
                false => apart.0.remotes.push(remote),
                true => apart.1.remotes.push(remote),
            }
        }
        apart
    }
}

impl Verifier {
    /// Parses every key. Reports all keys that are wrong; no key at all is no mistake, it only refuses
    /// every token. Nothing is fetched: of issuers that publish their keys every token is refused.
    pub fn new(issuers: &[IssuerSettings], times: TokenTimes) -> Result<Self, Vec<SettingsError>> {
        let sources = Sources::unfollowed();
        let mut verifier = Self::none(times);
        verifier.add(Issuers::parse(issuers, &sources)?);
        Ok(verifier)
    }

    /// One that knows no key.
    pub(crate) fn none(times: TokenTimes) -> Self {
        Self {
            keys: Vec::new(),
            remotes: Vec::new(),
            times,
        }
    }

    /// Knows these as well.
    pub(crate) fn add(&mut self, issuers: Issuers) {
        self.keys.extend(issuers.keys);
        self.remotes.extend(issuers.remotes);
    }

    /// Whether a token that was accepted by this is signed with a key that is known here. When it
    /// ends is not asked.
    pub fn stands(&self, warrant: &Warrant) -> bool {
        self.all_keys().any(|key| key.stands_for(warrant))
    }

    /// Whether every token that `other` accepted by its key stands here, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let is_covered = |key: &Key| self.all_keys().any(|ours| ours.covers(key));
        other.all_keys().all(is_covered)
    }

    /// What the keys are called that `other` does not know, or knows otherwise.
    pub(crate) fn beyond(&self, other: &Self) -> impl Iterator<Item = String> {
        let is_there = |key: &Key| other.all_keys().any(|it| it.is_same(key));
        let missing = self.all_keys().filter(move |key| !is_there(key));
        // An issuer may be new though it has no key yet.
        let is_named = |remote: &Remote| other.remotes.iter().any(|it| it.is_same(remote));
        let new = self.remotes.iter().filter(move |it| !is_named(it));
        missing.map(Key::label).chain(new.map(Remote::label))
    }

    /// Whether it knows no issuer, so that every token will be refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many issuers it knows, by their tables.
    pub fn len(&self) -> usize {
        self.keys.len() + self.remotes.len()
    }

    /// The audiences that its issuers demand.
    pub(crate) fn audiences(&self) -> impl Iterator<Item = &str> {
        let configured = self.keys.iter().map(|key| &key.issuer);
        let issuers = configured.chain(self.remotes.iter().map(|it| &it.issuer));
        issuers.filter_map(|issuer| issuer.audience.as_deref())
    }

    /// The names of issuers whose keys have never come.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = &str> {
        let awaited = self.remotes.iter().filter(|it| it.is_awaited());
        awaited.map(|it| &*it.issuer.name)
    }

    /// Where the keys come from that are published.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.remotes.iter().map(|remote| &remote.source)
    }

    /// The claims of a client's `token`, if it is signed by a known key and valid at `now_ms` (Unix
    /// time in ms, in the backend's time, so that all gateways agree).
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Claims, TokenError> {
        let token = Compact::parse(token)?;
        let (key, payload) = self.signed_payload(&token)?;
        payload.check(&key.issuer, now_ms, self.times)?;
        let warrant = key.warrant(token.algorithm, payload.iss.as_deref());
        payload.into_claims(warrant)
    }

    /// The payload of a token whose signature is right, and the key that it is signed with.
    pub(super) fn signed_payload(
        &self,
        token: &Compact<'_>,
    ) -> Result<(&Key, Payload), TokenError> {
        let payload = Payload::parse(&token.payload)?;
        let key = self.signing_key(token, payload.iss.as_deref());
        let key = key.map_err(|error| self.reason(token, payload.iss.as_deref(), error))?;
        Ok((key, payload))
    }

    /// What the times of its tokens are judged by.
    pub(crate) fn times(&self) -> TokenTimes {
        self.times
    }

    /// The longest that a token may last that it accepts, however it was issued; `None` where one may last for ever, and
    /// where it knows no issuer.
    pub fn longest_lifetime(&self) -> Option<Duration> {
        let configured = self.keys.iter().map(|key| &key.issuer);
        let issuers = configured.chain(self.remotes.iter().map(|it| &it.issuer));
        let each = issuers.map(|it| it.max_lifetime.unwrap_or(self.times.max_lifetime));
        let bounded = each.map(|most| (!most.is_zero()).then_some(most));
        bounded.reduce(|one, two| Some(one?.max(two?))).flatten()
    }

    fn all_keys(&self) -> impl Iterator<Item = &Key> {
        let published = self.remotes.iter().flat_map(|remote| &remote.keys);
        self.keys.iter().chain(published)
    }

    /// The key that the token is signed with. Keys with the token's `kid` are tried alone; where none
    /// has it, those without one of their own are. A token without `kid` is tried with all that are
    /// configured, and with one that is published alone.
    fn signing_key(&self, token: &Compact<'_>, iss: Option<&str>) -> Result<&Key, TokenError> {
        let mut serves = self.keys.iter().any(|key| key.serves(token.algorithm));
        serves |= self.remotes.iter().any(|it| it.serves(token.algorithm));
        let mut error = match serves {
            true => TokenError::Key,
            false => TokenError::Algorithm,
        };
        let kid = token.kid.as_deref();
        let named = |key: &Key| kid.is_some() && key.kid.as_deref() == kid;
        let fitting = || {
            let configured = self.keys.iter().map(|key| (key, true));
            let published = self.remotes.iter().flat_map(Remote::candidates);
            let all = configured.chain(published);
            all.filter(|(key, _)| key.serves(token.algorithm) && key.issuer.issues(iss))
        };
        let known = fitting().any(|(key, _)| named(key));
        for (key, without_kid) in fitting() {
            let candidate = match (known, kid) {
                (true, _) => named(key),
                (false, Some(_)) => key.kid.is_none(),
                (false, None) => without_kid,
            };
            if candidate && key.signed(token.message, token.signature, token.algorithm) {
                return Ok(key);
            }
            if candidate {
                error = TokenError::Signature;
            }
        }
        Err(error)
    }

    /// Why no key fits the token: perhaps because its issuer's are still to come. Has them looked for.
    fn reason(&self, token: &Compact<'_>, iss: Option<&str>, error: TokenError) -> TokenError {
        let its = |it: &&Remote| it.issuer.issues(iss) && it.serves(token.algorithm);
        let mut remotes = self.remotes.iter().filter(its);
        match remotes.any(|it| it.seek(token.kid.as_deref()) == Sought::Awaited) {
            true => TokenError::KeysAwaited,
            false => error,
        }
    }
}
