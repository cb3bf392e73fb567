//! An issuer that publishes its keys.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::issuer::{Issuer, mistake};
use super::jwks::{KeySet, Place, PublicKey, Sought, Source, Sources};
use super::key::{Key, algorithm};
use crate::settings::{IssuerSettings, SettingsError};

/// An issuer that publishes its keys, with those that it had published when this was made.
pub(super) struct Remote {
    pub(super) issuer: Arc<Issuer>,
    pub(super) source: Arc<Source>,
    algorithms: Box<[Algorithm]>,
    set: Option<Arc<KeySet>>,
    /// Those of the set that serve one of the algorithms.
    pub(super) keys: Box<[Key]>,
}

impl Remote {
    /// Makes one of `settings`, which stand at `path`, with `url` in them.
    pub(super) fn new(
        settings: &IssuerSettings,
        url: &str,
        issuer: Arc<Issuer>,
        path: &str,
        sources: &Sources,
    ) -> Result<Self, SettingsError> {
        let wrong =
            |key: &str, problem: &str, remedy: &str| mistake(settings, path, key, problem, remedy);
        let error = |key, problem, remedy| Err(wrong(key, problem, remedy));
        let algorithms: Box<[_]> = settings.algorithms.iter().copied().map(algorithm).collect();
        let remedy = "list those of public keys that the issuer signs with, such as \"RS256\"";
        if algorithms.is_empty() {
            return error("algorithms", "is empty", remedy);
        }
        if algorithms
            .iter()
            .any(|it| it.family() == AlgorithmFamily::Hmac)
        {
            let problem = "HS… needs a secret, and what is published is none";
            return error("algorithms", problem, remedy);
        }
        if settings.name.is_empty() {
            return error(
                "name",
                "is empty",
                "name it; the log and metrics tell of its keys",
            );
        }
        if settings.issuer.is_none() {
            let remedy =
                "set the `iss` of its tokens: keys that are published count for one issuer alone";
            return error("issuer", "is missing", remedy);
        }
        if settings.kid.is_some() {
            let remedy = "leave it out: each of the keys says its own";
            return error("kid", "is set beside jwks_url", remedy);
        }
        let place = Place::new(url, settings.jwks_ca_file.clone(), sources.http)
            .map_err(|(problem, remedy)| wrong("jwks_url", problem, remedy))?;
        let source = sources.of(place, &issuer.name);
        let set = source.set();
        let published = set.iter().flat_map(|set| set.keys());
        let keys = published
            .filter_map(|public| Key::published(public, issuer.clone(), &algorithms))
            .collect();
        Ok(Self {
            issuer,
            source,
            algorithms,
            set,
            keys,
        })
    }

    /// Whether tokens of this algorithm may be its.
    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Its keys, and whether each is tried with a token that names none (OpenID Connect Core §10.1: such
    /// a token comes of an issuer with one key).
    pub(super) fn candidates(&self) -> impl Iterator<Item = (&Key, bool)> {
        let is_alone = self.keys.len() == 1;
        self.keys
            .iter()
            .map(move |key| (key, is_alone || key.kid.is_none()))
    }

    /// Whether no keys of its have ever come.
    pub(super) fn is_awaited(&self) -> bool {
        self.source.set().is_none()
    }

    /// What is known of the key that a token of its names, and is not signed with.
    pub(super) fn seek(&self, kid: Option<&str>) -> Sought {
        let Some(set) = self.source.set() else {
            return Sought::Awaited;
        };
        let Some(kid) = kid else {
            return Sought::Absent;
        };
        let mut there = set.named(kid).peekable();
        if there.peek().is_none() {
            return self.source.seek(kid);
        }
        let is_used = self
            .set
            .as_ref()
            .is_some_and(|ours| Arc::ptr_eq(ours, &set));
        let is_ours = |key: &PublicKey| self.algorithms.iter().any(|it| key.serves(*it));
        match !is_used && there.any(is_ours) {
            // It is on its way here.
            true => Sought::Awaited,
            false => Sought::Absent,
        }
    }

    /// Whether the same is said of both; their keys are compared apart.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
            && (&self.issuer, &self.algorithms) == (&other.issuer, &other.algorithms)
    }

    /// What it is called in logs.
    pub(super) fn label(&self) -> String {
        format!(
            "issuer {} (keys of {})",
            self.issuer.name,
            self.source.host()
        )
    }
}
