//! Keys of services: random, shown once, kept as hashes.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::issuer::GLOBS;
use super::{CredentialKind, Reach, Secret, SendRate};
use crate::settings::{ApiKeySettings, Scope, SettingsError};

/// Start of every key, so that people and secret scanners recognise one.
pub(super) const PREFIX: &str = "ck_";
/// Random bytes of a key.
const KEY_BYTES: usize = 32;
/// Length of a key: the prefix, and 32 bytes in base64url without padding.
const KEY_LENGTH: usize = PREFIX.len() + 43;

/// A service that has shown its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The service's name, for logs and metrics.
    pub name: Arc<str>,
    pub(super) scopes: Arc<[Scope]>,
    pub(super) reach: Arc<Reach>,
    pub(super) send_rate: SendRate,
    hash: [u8; 32],
}

impl ApiKey {
    /// Whether the key was given `scope`.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// All scopes of the key.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }
}

/// The keys that are accepted.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// Reports all keys that are wrong. Two keys may have one name: that is how one replaces the other.
    pub fn new(settings: &[ApiKeySettings]) -> Result<Self, Vec<SettingsError>> {
        Self::default().parse(settings).map(Self)
    }

    /// The keys that `settings` would add to these, or all that is wrong with them.
    pub(crate) fn parse(
        &self,
        settings: &[ApiKeySettings],
    ) -> Result<Vec<ApiKey>, Vec<SettingsError>> {
        let mut keys: Vec<ApiKey> = Vec::with_capacity(settings.len());
        let mut errors = Vec::new();
        for (index, key) in settings.iter().enumerate() {
            let mut error = |field: &str, problem: &str, remedy: &str| {
                let path = format!("auth.api_keys.{index}.{field}");
                errors.push(SettingsError::new(path, problem, remedy));
            };
            if key.name.is_empty() {
                error("name", "is empty", "name the service that holds the key");
            }
            if key.scopes.is_empty() {
                error(
                    "scopes",
                    "is empty",
                    "list some of send, broadcast, read, admin, tickets",
                );
            }
            let reach = Reach::new(key.users.as_deref(), key.channels.as_deref());
            let reach = reach.unwrap_or_else(|(field, wrong)| {
                error(field, &wrong.to_string(), GLOBS);
                Reach::default()
            });
            let send_rate = SendRate::new(key).unwrap_or_else(|(field, problem)| {
                let remedy = "write sends_per_second and sends_burst as 1 or more, the first alone, or neither";
                error(field, problem, remedy);
                SendRate::Usual
            });
            let Some(hash) = parse_hash(&key.hash) else {
                let remedy = "write the 64 hex digits that `carillon apikey new` prints";
                // Never what stands there: it may be a key.
                let problem = match CredentialKind::of(&key.hash) {
                    Some(CredentialKind::ApiKey) => "is the key itself, not its hash",
                    _ => "is not a SHA-256 hash",
                };
                error("hash", problem, remedy);
                continue;
            };
            let mut there = self.0.iter().chain(&keys);
            if let Some(other) = there.find(|other| other.hash == hash) {
                let problem = format!("is there twice: `{}` has the same key", other.name);
                let remedy = "remove one, or make another key with `carillon apikey new`";
                error("hash", &problem, remedy);
            }
            let name = key.name.as_str().into();
            keys.push(ApiKey {
                name,
                scopes: key.scopes.as_slice().into(),
                reach: Arc::new(reach),
                send_rate,
                hash,
            });
        }
        match errors.is_empty() {
            true => Ok(keys),
            false => Err(errors),
        }
    }

    /// Accepts these as well.
    pub(crate) fn add(&mut self, keys: Vec<ApiKey>) {
        self.0.extend(keys);
    }

    /// Whether the key with this hash is accepted.
    pub(crate) fn knows(&self, key: &ApiKeySettings) -> bool {
        let hash = parse_hash(&key.hash);
        self.0.iter().any(|it| Some(it.hash) == hash)
    }

    /// What the keys are called that `other` does not know, or knows otherwise.
    pub(crate) fn beyond(&self, other: &Self) -> impl Iterator<Item = String> {
        let missing = self.0.iter().filter(|key| !other.0.contains(key));
        missing.map(|key| format!("API key {}", key.name))
    }

    /// The service whose key is `presented`. The time it takes depends on the number of keys alone: not
    /// on which one matches, nor on how nearly.
    pub fn authenticate(&self, presented: &str) -> Option<&ApiKey> {
        if presented.len() != KEY_LENGTH || !presented.starts_with(PREFIX) {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(presented).into();
        let mut found = Choice::from(0);
        let mut position = 0_u64;
        for (index, key) in (0_u64..).zip(&self.0) {
            let equal = hash.ct_eq(&key.hash);
            position.conditional_assign(&index, equal);
            found |= equal;
        }
        bool::from(found)
            .then(|| self.0.get(usize::try_from(position).ok()?))
            .flatten()
    }

    /// Whether any of them has a rate of its own.
    pub fn limits_any(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|key| matches!(key.send_rate, SendRate::Limited(_)))
    }

    /// Whether there is none, so that every request will be refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A new key and its hash for the configuration.
    pub fn generate() -> (Secret<String>, String) {
        let mut bytes = [0; KEY_BYTES];
        rand::fill(&mut bytes);
        let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let hash = hex(&Sha256::digest(&key));
        (Secret::new(key), hash)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hash(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, hash: &str, scopes: &[Scope]) -> ApiKeySettings {
        ApiKeySettings {
            name: name.into(),
            hash: hash.into(),
            scopes: scopes.to_vec(),
            users: None,
            channels: None,
            sends_per_second: None,
            sends_burst: None,
        }
    }

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let made: Vec<_> = (0..3).map(|_| ApiKeys::generate()).collect();
        let keys = ApiKeys::new(&[
            settings("orders", &made[0].1, &[Scope::Send]),
            settings(
                "orders",
                &made[1].1.to_uppercase(),
                &[Scope::Send, Scope::Read],
            ),
        ])
        .unwrap();
        let first = keys.authenticate(made[0].0.expose()).unwrap();
        assert_eq!(
            (&*first.name, first.scopes()),
            ("orders", &[Scope::Send][..])
        );
        let second = keys.authenticate(made[1].0.expose()).unwrap();
        assert!(second.allows(Scope::Read) && !second.allows(Scope::Admin));
        assert_eq!(keys.authenticate(made[2].0.expose()), None);

        let key = made[0].0.expose();
        assert!(key.starts_with("ck_") && key.len() == KEY_LENGTH, "shape");
        let upper = key.to_uppercase();
        for wrong in [
            "",
            "ck_",
            &key[3..],
            &key[..45],
            &upper,
            &format!("{key}="),
            &made[0].1,
        ] {
            assert_eq!(keys.authenticate(wrong), None, "{wrong}");
        }
        assert_eq!(ApiKeys::default().authenticate(key), None);
    }

    /// What the documentation says about making a hash by hand: `printf %s KEY | sha256sum`.
    #[test]
    fn the_hash_is_sha_256_of_the_whole_key() {
        let key = format!("ck_{}", "A".repeat(43));
        let hash = "670704c98c73f39e873ec8683357fa5ed42db7c901e4287f6b1dabecb72d5222";
        let keys = ApiKeys::new(&[settings("a", hash, &[Scope::Send])]).unwrap();
        assert!(
            keys.authenticate(&key).is_some(),
            "{}",
            hex(&Sha256::digest(&key))
        );
    }

    #[test]
    fn every_wrong_key_is_reported() {
        let good = "a".repeat(64);
        let wrong = [
            settings("a", &good, &[Scope::Send]),
            settings("b", &good, &[Scope::Send]),
            settings("", &"b".repeat(64), &[]),
            settings("c", &"g".repeat(64), &[Scope::Send]),
            settings("d", "ck_plain", &[Scope::Send]),
            ApiKeySettings {
                users: Some(Vec::new()),
                ..settings("e", &"e".repeat(64), &[Scope::Send])
            },
            ApiKeySettings {
                channels: Some(vec!["orders.*".into(), "a b".into()]),
                ..settings("f", &"f".repeat(64), &[Scope::Send])
            },
        ];
        let errors = ApiKeys::new(&wrong).unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "auth.api_keys.1.hash",
                "auth.api_keys.2.name",
                "auth.api_keys.2.scopes",
                "auth.api_keys.3.hash",
                "auth.api_keys.4.hash",
                "auth.api_keys.5.users",
                "auth.api_keys.6.channels"
            ]
        );
        assert!(
            !format!("{errors:?}").contains("ck_plain"),
            "a key put in the wrong place"
        );
    }
}
