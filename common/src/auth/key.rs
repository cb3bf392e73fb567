//! Keys that tokens are verified with, each bound to its algorithms when it is made.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use sha2::{Digest, Sha256};

use super::issuer::{Issuer, mistake};
use super::jwks::PublicKey;
use super::warrant::{Warrant, fingerprint, first_eight};
use crate::settings::{IssuerSettings, SettingsError, TokenAlgorithm};

/// Shortest RSA public key in DER: a modulus of 2048 bits.
const MIN_RSA_BYTES: usize = 256;

/// A key, parsed once, and what it may be used for.
pub(crate) struct Key {
    key: DecodingKey,
    algorithms: Box<[Algorithm]>,
    /// The same for every key of the same secret and audience, whatever else is said of it.
    id: u64,
    pub(super) issuer: Arc<Issuer>,
    pub(super) kid: Option<Box<str>>,
}

impl Key {
    /// Makes a key of `settings`, which stand at `path`.
    pub(super) fn new(
        settings: &IssuerSettings,
        issuer: Arc<Issuer>,
        path: &str,
    ) -> Result<Self, SettingsError> {
        let algorithms: Box<[_]> = settings.algorithms.iter().copied().map(algorithm).collect();
        let error =
            |key: &str, problem: &str, remedy: &str| mistake(settings, path, key, problem, remedy);
        let Some(family) = algorithms.first().map(|first| first.family()) else {
            return Err(error(
                "algorithms",
                "is empty",
                "list what the key signs with",
            ));
        };
        if algorithms
            .iter()
            .any(|algorithm| algorithm.family() != family)
        {
            return Err(error(
                "algorithms",
                "mixes families, and one key cannot serve two",
                "write one [[auth.issuers]] for each key",
            ));
        }
        let (key, material) = match (family, &settings.secret, &settings.public_key) {
            (AlgorithmFamily::Hmac, Some(secret), _) => {
                let secret = secret.expose().as_bytes();
                check_secret(secret, &algorithms)
                    .map_err(|(problem, remedy)| error("secret", &problem, remedy))?;
                (DecodingKey::from_secret(secret), secret)
            }
            (AlgorithmFamily::Hmac, None, _) => {
                let remedy = "set `secret` or `secret_file`, or list the public key's algorithms";
                return Err(error("algorithms", "HS… needs a secret", remedy));
            }
            (_, _, Some(pem)) => {
                let key = public_key(pem, family, &algorithms)
                    .map_err(|(problem, remedy)| error("public_key", problem, remedy))?;
                (key, pem.trim().as_bytes())
            }
            (_, _, None) => {
                let remedy = "set `public_key` or `public_key_file`, or list HS… algorithms";
                return Err(error("algorithms", "these need a public key", remedy));
            }
        };
        Ok(Self {
            key,
            algorithms,
            id: id(material, issuer.audience.as_deref()),
            issuer,
            kid: settings.kid.as_deref().map(Box::from),
        })
    }

    /// One of those that an issuer publishes, for as many of `algorithms` as it can serve; none if it
    /// serves none of them.
    pub(super) fn published(
        public: &PublicKey,
        issuer: Arc<Issuer>,
        algorithms: &[Algorithm],
    ) -> Option<Self> {
        let mut algorithms = algorithms.to_vec();
        algorithms.retain(|it| public.serves(*it));
        (!algorithms.is_empty()).then(|| Self {
            key: public.key.clone(),
            algorithms: algorithms.into(),
            id: id(&public.material, issuer.audience.as_deref()),
            issuer,
            kid: public.kid.clone(),
        })
    }

    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// What it is called in logs.
    pub(super) fn label(&self) -> String {
        let name = &self.issuer.name;
        match &self.kid {
            Some(kid) => format!("issuer {name} (kid {kid})"),
            None => format!("issuer {name}"),
        }
    }

    /// What is kept of a token with this `iss` that it has accepted.
    pub(super) fn warrant(&self, algorithm: Algorithm, iss: Option<&str>) -> Warrant {
        Warrant {
            key: self.id,
            iss: fingerprint(iss),
            algorithm,
        }
    }

    /// Whether it is the key that stands for this token, and is still good for it.
    pub(super) fn stands_for(&self, warrant: &Warrant) -> bool {
        let iss_fits = || {
            let iss = self.issuer.iss.as_deref();
            iss.is_none() || fingerprint(iss) == warrant.iss
        };
        self.id == warrant.key && self.serves(warrant.algorithm) && iss_fits()
    }

    /// Whether it is good for every token that `other` was good for.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let (iss, others) = (&self.issuer.iss, &other.issuer.iss);
        let iss_fits = iss.is_none() || iss == others;
        let serves_all = other.algorithms.iter().all(|it| self.serves(*it));
        self.id == other.id && iss_fits && serves_all
    }

    /// Whether the same is said of both.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.covers(other)
            && other.covers(self)
            && (&self.issuer, &self.kid) == (&other.issuer, &other.kid)
    }

    /// Whether `signature` (base64url) is this key's over `message`; false, too, for an algorithm that
    /// it does not serve.
    pub(super) fn signed(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.serves(algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm)
                .unwrap_or(false)
    }
}

fn id(material: &[u8], audience: Option<&str>) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(fingerprint(audience).to_be_bytes());
    hasher.update(material);
    first_eight(hasher.finalize().into())
}

/// RFC 7518 §3.2: a secret is at least as long as the hash.
fn check_secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<(), (String, &'static str)> {
    let needed = algorithms.iter().map(|algorithm| match algorithm {
        Algorithm::HS512 => 64,
        Algorithm::HS384 => 48,
        _ => 32,
    });
    let needed = needed.max().unwrap_or(32);
    if secret.starts_with(b"-----BEGIN") {
        let remedy = "name it as public_key_file, with RS…, PS…, ES… or EdDSA";
        return Err(("is a key in PEM, which is no secret".into(), remedy));
    }
    if secret.len() < needed {
        let problem = format!("has {} bytes, {needed} are needed", secret.len());
        return Err((
            problem,
            "make one with `openssl rand -hex 32` (-hex 64 for HS512)",
        ));
    }
    Ok(())
}

fn public_key(
    pem: &str,
    family: AlgorithmFamily,
    algorithms: &[Algorithm],
) -> Result<DecodingKey, (&'static str, &'static str)> {
    let public = [
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN RSA PUBLIC KEY-----",
    ];
    if !public
        .iter()
        .any(|header| pem.trim_start().starts_with(header))
    {
        let remedy = "make it with `openssl pkey -in private.pem -pubout`";
        return Err(("is not a public key in PEM", remedy));
    }
    let other = (
        "does not belong to the algorithms",
        "list those of the key's own kind",
    );
    let key = match family {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
        AlgorithmFamily::Hmac => return Err(other),
    };
    let key = key.map_err(|_| other)?;
    let DecodingKeyKind::SecretOrDer(bytes) = key.kind() else {
        return Err(other);
    };
    match family {
        AlgorithmFamily::Rsa if bytes.len() < MIN_RSA_BYTES => {
            Err(("is too short", "use a key of 2048 bits or more"))
        }
        // An uncompressed point: its length tells the curve, and each curve has its one algorithm.
        AlgorithmFamily::Ec if algorithms.iter().any(|it| bytes.len() != point_bytes(*it)) => {
            Err((
                "is on another curve",
                "list ES256 for P-256, ES384 for P-384",
            ))
        }
        _ => Ok(key),
    }
}

fn point_bytes(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::ES384 {
        97
    } else {
        65
    }
}

pub(super) fn algorithm(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::Hs256 => Algorithm::HS256,
        TokenAlgorithm::Hs384 => Algorithm::HS384,
        TokenAlgorithm::Hs512 => Algorithm::HS512,
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Rs384 => Algorithm::RS384,
        TokenAlgorithm::Rs512 => Algorithm::RS512,
        TokenAlgorithm::Ps256 => Algorithm::PS256,
        TokenAlgorithm::Ps384 => Algorithm::PS384,
        TokenAlgorithm::Ps512 => Algorithm::PS512,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::Es384 => Algorithm::ES384,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
