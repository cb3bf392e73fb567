//! A key set as an issuer publishes it (RFC 7517 §5), as far as it is of use.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::auth::token::is_object;
use crate::json::fault;

/// Most keys of a set. Issuers publish a handful; each is a candidate for a token without `kid`.
pub(super) const MOST_KEYS: usize = 64;
/// Most characters that are told of a set that is none.
const MOST_TOLD: usize = 160;
/// Longest `kid`, in bytes.
const MAX_KID_BYTES: usize = 255;
/// Bits of an RSA modulus (RFC 7518 §3.3 asks for 2048; what is beyond the most costs too much to verify).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longest RSA exponent, in bytes.
const EXPONENT_BYTES: usize = 4;

/// The keys of a set that can verify tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeySet {
    pub(super) keys: Vec<PublicKey>,
    /// How many others there are: of kinds, or for uses, that tokens are not signed with.
    pub(super) passed_over: usize,
}

/// A public key that signatures can be verified with.
pub(crate) struct PublicKey {
    pub(in crate::auth) kid: Option<Box<str>>,
    pub(in crate::auth) key: DecodingKey,
    /// What tells it from every other key.
    pub(in crate::auth) material: Box<[u8]>,
    kind: Kind,
    /// The only algorithm that it says it is for.
    alg: Option<Algorithm>,
}

/// Which algorithms it can serve at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a set is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSet {
    #[error("is no JSON object with `keys` (RFC 7517): {0}")]
    Malformed(String),
    #[error("holds {0} keys, and more than {MOST_KEYS} are not looked at")]
    TooMany(usize),
    #[error("holds no key that can verify tokens, and {0} that cannot")]
    Useless(usize),
}

#[derive(serde::Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<Box<str>>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

impl KeySet {
    /// Reads a set. Keys that cannot be used are passed over, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// When it is none, or would leave nothing to verify with: an issuer that has no key at all does not
    /// publish, it is broken.
    pub(super) fn read(body: &[u8]) -> Result<Self, NoSet> {
        if !is_object(body) {
            return Err(NoSet::Malformed("it begins otherwise".to_owned()));
        }
        let document: Document<'_> = serde_json::from_slice(body).map_err(|error| {
            // It may quote what is there, and that is as long as it likes.
            let told = fault(&error).chars().take(MOST_TOLD).collect();
            NoSet::Malformed(told)
        })?;
        let found = document.keys.len();
        if found > MOST_KEYS {
            return Err(NoSet::TooMany(found));
        }
        let keys: Vec<_> = document.keys.into_iter().filter_map(read).collect();
        match keys.len() {
            0 => Err(NoSet::Useless(found)),
            usable => Ok(Self {
                passed_over: found - usable,
                keys,
            }),
        }
    }

    /// Those that can be used.
    pub(in crate::auth) fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter()
    }

    /// Those with this id: one, where the issuer does as it should.
    pub(in crate::auth) fn named(&self, kid: &str) -> impl Iterator<Item = &PublicKey> {
        self.keys()
            .filter(move |key| key.kid.as_deref() == Some(kid))
    }
}

fn read(text: &RawValue) -> Option<PublicKey> {
    // What cannot be read is a key that cannot be used.
    let jwk: Jwk = serde_json::from_str(text.get()).ok()?;
    PublicKey::of(jwk)
}

impl PublicKey {
    /// None for what tokens are not verified with: secrets, keys that show their private part (whoever
    /// reads the set could sign), those for encryption, and those of other kinds and curves.
    fn of(jwk: Jwk) -> Option<Self> {
        let is_for_signatures = jwk.usage.is_none_or(|usage| usage == "sig");
        let verifies = |operations: Vec<String>| operations.iter().any(|it| it == "verify");
        let may_verify = jwk.key_ops.is_none_or(verifies);
        let kid_fits = (jwk.kid.as_deref()).is_none_or(|kid| kid.len() <= MAX_KID_BYTES);
        if !is_for_signatures || !may_verify || !kid_fits || jwk.d.is_some() {
            return None;
        }
        let (kind, key, material) = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("RSA", _) => rsa(&decoded(jwk.n)?, &decoded(jwk.e)?)?,
            ("EC", Some("P-256")) => elliptic(Kind::P256, &decoded(jwk.x)?, &decoded(jwk.y)?)?,
            ("EC", Some("P-384")) => elliptic(Kind::P384, &decoded(jwk.x)?, &decoded(jwk.y)?)?,
            ("OKP", Some("Ed25519")) => edwards(decoded(jwk.x)?)?,
            _ => return None,
        };
        let alg = match jwk.alg.as_deref() {
            None => None,
            // The name that RFC 9864 gives it.
            Some("Ed25519") => Some(Algorithm::EdDSA),
            Some(name) => Some(name.parse().ok()?),
        };
        let key = Self {
            kid: jwk.kid,
            key,
            material,
            kind,
            alg,
        };
        alg.is_none_or(|alg| key.kind.serves(alg)).then_some(key)
    }

    /// Whether tokens of this algorithm can be signed with it.
    pub(in crate::auth) fn serves(&self, algorithm: Algorithm) -> bool {
        self.kind.serves(algorithm) && self.alg.is_none_or(|alg| alg == algorithm)
    }
}

impl Kind {
    fn serves(self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Rsa => matches!(
                algorithm,
                A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512
            ),
            Self::P256 => algorithm == A::ES256,
            Self::P384 => algorithm == A::ES384,
            Self::Ed25519 => algorithm == A::EdDSA,
        }
    }
}

type Read = (Kind, DecodingKey, Box<[u8]>);

fn decoded(part: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part?).ok()
}

/// RFC 7518 §6.3.1.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Read> {
    let modulus = without_zeros(modulus);
    let exponent = without_zeros(exponent);
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let is_odd = exponent.last()? % 2 == 1;
    let fits = exponent.len() <= EXPONENT_BYTES && is_odd && exponent != [1];
    (RSA_BITS.contains(&bits) && fits).then(|| {
        let material = [b"RSA".as_slice(), modulus, b"/", exponent].concat().into();
        let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
        (Kind::Rsa, key, material)
    })
}

/// RFC 7518 §6.2.1: coordinates are as long as the curve's field.
fn elliptic(kind: Kind, x: &[u8], y: &[u8]) -> Option<Read> {
    let length = if kind == Kind::P384 { 48 } else { 32 };
    if x.len() != length || y.len() != length {
        return None;
    }
    // An uncompressed point (SEC 1 §2.3.3).
    let point = [&[4], x, y].concat();
    Some((kind, DecodingKey::from_ec_der(&point), point.into()))
}

/// RFC 8037 §2.
fn edwards(x: Vec<u8>) -> Option<Read> {
    (x.len() == 32).then(|| (Kind::Ed25519, DecodingKey::from_ed_der(&x), x.into()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.kid, &self.material, self.kind, self.alg)
            == (&other.kid, &other.material, other.kind, other.alg)
    }
}

impl Eq for PublicKey {}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
