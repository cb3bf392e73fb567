//! Key sets as hosts send them, and what a source makes of one that changes, lies and dies.

#![expect(clippy::too_many_lines, reason = "a table is as long as it is")]

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::fetch::{Fetch, FetchError};
use super::set::{KeySet, MOST_KEYS, NoSet};
use super::source::Fetched;
use super::*;
use crate::auth::{
    NewToken, TokenTimes, Verifier, issuer::Issuer, key::Key, mint, verifier::Issuers,
};
use crate::settings::{IssuerSettings, TokenAlgorithm};

const NOW: i64 = 1_900_000_000;
const ISSUER: &str = "https://id.example";
const URL: &str = "https://id.example/jwks";
/// The public keys of the fixtures: RSA, P-256, P-384 and Ed25519.
const KEYS: &str = include_str!("../fixtures/jwks.json");

fn key(at: usize, kid: &str) -> Value {
    let keys: Value = serde_json::from_str(KEYS).unwrap();
    with(keys["keys"][at].clone(), json!({ "kid": kid }))
}

fn rsa(kid: &str) -> Value {
    key(0, kid)
}

fn p256(kid: &str) -> Value {
    key(1, kid)
}

fn ed25519(kid: &str) -> Value {
    key(3, kid)
}

fn with(mut key: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(key.as_object_mut().unwrap().remove(name)),
            value => key[name] = value.clone(),
        }
    }
    key
}

fn read(keys: &[Value]) -> Result<KeySet, NoSet> {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn keys_that_tokens_are_signed_with_are_taken_and_others_passed_over() {
    for (name, key, taken) in [
        ("RSA", rsa("1"), true),
        ("P-256", p256("1"), true),
        ("Ed25519", ed25519("1"), true),
        ("no kid", with(rsa("1"), json!({"kid": null})), true),
        ("its use", with(rsa("1"), json!({"use": "sig"})), true),
        ("its alg", with(rsa("1"), json!({"alg": "PS256"})), true),
        ("EdDSA", with(ed25519("1"), json!({"alg": "EdDSA"})), true),
        (
            "RFC 9864",
            with(ed25519("1"), json!({"alg": "Ed25519"})),
            true,
        ),
        (
            "its operation",
            with(p256("1"), json!({"key_ops": ["verify"]})),
            true,
        ),
        (
            "what is not known",
            with(
                rsa("1"),
                json!({"x5c": ["MII"], "x5t": "a", "extra": {"a": 1}}),
            ),
            true,
        ),
        ("encryption", with(rsa("1"), json!({"use": "enc"})), false),
        (
            "encryption's alg",
            with(rsa("1"), json!({"alg": "RSA-OAEP-256"})),
            false,
        ),
        (
            "another operation",
            with(p256("1"), json!({"key_ops": ["sign"]})),
            false,
        ),
        (
            "a secret",
            json!({"kty": "oct", "kid": "1", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}),
            false,
        ),
        (
            "an alg of secrets",
            with(rsa("1"), json!({"alg": "HS256"})),
            false,
        ),
        (
            "another kind's alg",
            with(rsa("1"), json!({"alg": "ES256"})),
            false,
        ),
        ("alg none", with(rsa("1"), json!({"alg": "none"})), false),
        (
            "another curve's alg",
            with(p256("1"), json!({"alg": "ES384"})),
            false,
        ),
        (
            "a private part",
            with(rsa("1"), json!({"d": "AQAB"})),
            false,
        ),
        (
            "an EC private part",
            with(p256("1"), json!({"d": "AQAB"})),
            false,
        ),
        (
            "a short modulus",
            with(rsa("1"), json!({"n": "v".repeat(171)})),
            false,
        ),
        (
            "a modulus of zeros",
            with(rsa("1"), json!({"n": "A".repeat(342)})),
            false,
        ),
        (
            "a huge modulus",
            with(rsa("1"), json!({"n": "v".repeat(2000)})),
            false,
        ),
        ("exponent 1", with(rsa("1"), json!({"e": "AQ"})), false),
        (
            "an even exponent",
            with(rsa("1"), json!({"e": "AA"})),
            false,
        ),
        (
            "a huge exponent",
            with(rsa("1"), json!({"e": "AQEBAQEB"})),
            false,
        ),
        ("no modulus", with(rsa("1"), json!({"n": null})), false),
        ("not base64url", with(rsa("1"), json!({"n": "!!"})), false),
        ("P-521", with(p256("1"), json!({"crv": "P-521"})), false),
        (
            "secp256k1",
            with(p256("1"), json!({"crv": "secp256k1"})),
            false,
        ),
        ("no curve", with(p256("1"), json!({"crv": null})), false),
        (
            "a curve that is too long for it",
            with(p256("1"), json!({"crv": "P-384"})),
            false,
        ),
        ("no y", with(p256("1"), json!({"y": null})), false),
        ("Ed448", with(ed25519("1"), json!({"crv": "Ed448"})), false),
        (
            "X25519",
            with(ed25519("1"), json!({"crv": "X25519"})),
            false,
        ),
        ("a short x", with(ed25519("1"), json!({"x": "AAAA"})), false),
        (
            "a kid that is no text",
            with(rsa("1"), json!({"kid": 1})),
            false,
        ),
        (
            "a kid of a kilobyte",
            with(rsa("1"), json!({"kid": "k".repeat(1024)})),
            false,
        ),
        ("no kind", with(rsa("1"), json!({"kty": null})), false),
        ("no key at all", json!("key"), false),
        ("an empty one", json!({}), false),
    ] {
        let set = read(&[key, p256("good")]).unwrap();
        let kept: Vec<_> = set.keys().filter_map(|key| key.kid.as_deref()).collect();
        let count = set.keys().count();
        assert_eq!(
            (count, set.passed_over),
            if taken { (2, 0) } else { (1, 1) },
            "{name}: {kept:?}"
        );
    }
}

#[test]
fn every_algorithm_verifies_with_the_key_that_is_published_for_it() {
    let set = KeySet::read(KEYS.as_bytes()).unwrap();
    let issuer = Arc::new(Issuer::new(&published("id", RS), "").unwrap());
    let mut verified = 0;
    for (name, token) in include_str!("../fixtures/tokens.txt")
        .lines()
        .map(|it| it.split_once(' ').unwrap())
    {
        let algorithm: jsonwebtoken::Algorithm = name.parse().unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let keys = set
            .keys()
            .filter_map(|key| Key::published(key, issuer.clone(), &[algorithm]));
        let good = keys
            .filter(|key| key.signed(message, signature, algorithm))
            .count();
        assert_eq!(good, 1, "{name}");
        verified += good;
    }
    assert_eq!(verified, 9);
}

#[test]
fn what_is_no_set_is_told_and_bounded() {
    let many: Vec<_> = (0..2_000).map(|at| ed25519(&at.to_string())).collect();
    assert_eq!(read(&many), Err(NoSet::TooMany(2_000)));
    assert!(read(&many[..MOST_KEYS]).is_ok());
    assert_eq!(read(&[]), Err(NoSet::Useless(0)));
    assert_eq!(
        read(&[json!({"kty": "oct", "k": "AAAA"})]),
        Err(NoSet::Useless(1))
    );
    let deep = format!("{{\"keys\":{}", "[".repeat(100_000));
    let quoted = format!("{{\"keys\":\"{}\"}}", "x".repeat(100_000));
    for body in [
        "",
        "null",
        "[]",
        "[[]]",
        "\"keys\"",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"keys\":[]",
        "{\"keys\":[],\"keys\":[]}",
        "<!doctype html><title>Sign in</title>",
        "{\"error\":\"rate limited\"}",
        "\u{feff}{\"keys\":[]}",
        &deep,
        &quoted,
    ] {
        let error = KeySet::read(body.as_bytes()).unwrap_err();
        assert!(matches!(error, NoSet::Malformed(_)), "{error}");
        assert!(error.to_string().len() < 400, "{}", error.to_string().len());
    }
    assert!(KeySet::read(&[0xff, 0xfe, 0x00]).is_err());
}

/// Answers with what it was given, one for each fetch.
struct Script(Mutex<VecDeque<Result<Vec<Value>, FetchError>>>);

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<Vec<Value>, FetchError>>) -> Self {
        Self(Mutex::new(answers.into_iter().collect()))
    }
}

#[async_trait]
impl Fetch for Script {
    async fn fetch(&self, _: &Place) -> Result<KeySet, FetchError> {
        let next = self.0.lock().pop_front();
        let keys = next.unwrap_or(Err(FetchError::Timeout))?;
        read(&keys).map_err(FetchError::NoSet)
    }
}

fn published(name: &str, algorithms: &[TokenAlgorithm]) -> IssuerSettings {
    IssuerSettings {
        secret: None,
        jwks_url: Some(URL.to_owned()),
        issuer: Some(ISSUER.to_owned()),
        algorithms: algorithms.to_vec(),
        ..IssuerSettings::hs256(name, "")
    }
}

fn sources() -> Sources {
    let pace = Pace {
        refresh: std::time::Duration::from_secs(600),
        interval: std::time::Duration::from_secs(30),
    };
    Sources::new(pace, false)
}

fn verifier(issuers: &[IssuerSettings], sources: &Sources) -> Verifier {
    let mut verifier = Verifier::none(TokenTimes::default());
    let issuers = Issuers::parse(issuers, sources);
    verifier.add(issuers.unwrap_or_else(|errors| panic!("{errors:?}")));
    verifier
}

/// A token of the issuer's with any signature.
fn unsigned(alg: &str, kid: Option<&str>) -> String {
    use base64::Engine;
    let part =
        |json: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
    let header = match kid {
        Some(kid) => json!({"alg": alg, "kid": kid}),
        None => json!({"alg": alg}),
    };
    let claims = json!({"iss": ISSUER, "sub": "alice", "exp": NOW + 60});
    format!("{}.{}.AAAA", part(header), part(claims))
}

fn code(verifier: &Verifier, token: &str) -> &'static str {
    let verified = verifier.verify(token, NOW * 1000);
    verified.map_or_else(|error| error.code(), |_| "ok")
}

const RS: &[TokenAlgorithm] = &[TokenAlgorithm::Rs256];

#[tokio::test]
async fn a_source_keeps_its_last_good_set() {
    let sources = sources();
    let source = verifier(&[published("id", RS)], &sources);
    let source: Arc<Source> = source.sources().next().unwrap().clone();
    let script = Script::of([
        Err(FetchError::Timeout),
        Ok(vec![rsa("1")]),
        Ok(vec![rsa("1")]),
        Ok(vec![]),
        Err(FetchError::Redirect(302)),
        Err(FetchError::TooLarge),
        Ok(vec![rsa("1"), rsa("2")]),
    ]);
    let mut seen = Vec::new();
    for _ in 0..7 {
        let outcome = match source.fetch(&script).await {
            Ok(Fetched::First) => "first",
            Ok(Fetched::Changed) => "changed",
            Ok(Fetched::Same) => "same",
            Err(error) => error.kind(),
        };
        let keys = source.set().map_or(0, |set| set.keys().count());
        seen.push((outcome, keys));
    }
    assert_eq!(
        seen,
        [
            ("timeout", 0),
            ("first", 1),
            ("same", 1),
            ("no_keys", 1),
            ("redirect", 1),
            ("too_large", 1),
            ("changed", 2),
        ]
    );
}

#[tokio::test]
async fn tokens_wait_for_keys_and_for_nothing_else() {
    let sources = sources();
    let secret = "0123456789abcdef0123456789abcdef";
    let both = [
        IssuerSettings::hs256("local", secret),
        published("id", &[TokenAlgorithm::Rs256, TokenAlgorithm::Es256]),
    ];
    let before = verifier(&both, &sources);
    let token = NewToken {
        sub: "alice",
        exp: NOW + 60,
        ..NewToken::default()
    };
    let local = mint(&both[0], &token).unwrap();
    assert_eq!(code(&before, &local), "ok", "whatever the host does");
    let awaited = "token_keys_awaited";
    for token in [
        unsigned("RS256", Some("1")),
        unsigned("ES256", Some("2")),
        unsigned("RS256", None),
    ] {
        assert_eq!(code(&before, &token), awaited);
    }
    assert_eq!(
        code(&before, &unsigned("PS256", Some("1"))),
        "token_algorithm"
    );

    // They come, and are put in force.
    let source = before.sources().next().unwrap().clone();
    let script = Script::of([
        Ok(vec![rsa("1"), p256("2")]),
        Ok(vec![rsa("1"), p256("2"), ed25519("4")]),
    ]);
    source.fetch(&script).await.unwrap();
    assert_eq!(
        code(&before, &unsigned("RS256", Some("1"))),
        awaited,
        "on its way"
    );
    let now = verifier(&both, &sources);
    assert!(
        Arc::ptr_eq(now.sources().next().unwrap(), &source),
        "the same"
    );
    assert_eq!(code(&now, &local), "ok");
    assert_eq!(code(&now, &unsigned("RS256", Some("1"))), "token_signature");
    assert_eq!(code(&now, &unsigned("ES256", Some("2"))), "token_signature");
    // A key that is there, and signs nothing of this kind, is not looked for.
    assert_eq!(code(&now, &unsigned("ES256", Some("1"))), "token_key");
    assert_eq!(
        code(&now, &unsigned("RS256", None)),
        "token_key",
        "which of them?"
    );
    // One that is not is, once.
    assert_eq!(code(&now, &unsigned("RS256", Some("3"))), awaited);
    source.fetch(&script).await.unwrap();
    let then = verifier(&both, &sources);
    assert_eq!(code(&then, &unsigned("RS256", Some("3"))), "token_key");
    assert_eq!(code(&then, &unsigned("RS256", Some("5"))), awaited);
    // Those of another issuer are nobody's business here.
    let others = unsigned("RS256", Some("9")).replace(
        &unsigned("RS256", Some("9"))
            .split('.')
            .nth(1)
            .unwrap()
            .to_owned(),
        "eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUiLCJzdWIiOiJhIiwiZXhwIjoxOTAwMDAwMDYwfQ",
    );
    assert_eq!(code(&then, &others), "token_key");
}

#[tokio::test]
async fn only_the_one_key_of_an_issuer_is_tried_without_a_kid() {
    let sources = sources();
    let settings = [published("id", RS)];
    let first = verifier(&settings, &sources);
    let script = Script::of([Ok(vec![rsa("1")]), Ok(vec![rsa("1"), rsa("2")])]);
    let source = first.sources().next().unwrap().clone();
    for expected in ["token_signature", "token_key"] {
        source.fetch(&script).await.unwrap();
        let verifier = verifier(&settings, &sources);
        assert_eq!(code(&verifier, &unsigned("RS256", None)), expected);
    }
}

#[tokio::test]
async fn what_an_issuer_takes_away_stands_no_longer() {
    let sources = sources();
    let settings = [published("id", RS)];
    let source = verifier(&settings, &sources)
        .sources()
        .next()
        .unwrap()
        .clone();
    let other = with(rsa("2"), json!({"e": "Aw"}));
    let script = Script::of([
        Ok(vec![rsa("1"), other.clone()]),
        Ok(vec![rsa("1")]),
        Ok(vec![other]),
    ]);
    let mut all = Vec::new();
    for _ in 0..3 {
        source.fetch(&script).await.unwrap();
        all.push(verifier(&settings, &sources));
    }
    let [both, one, none] = &all[..] else {
        panic!("three of them")
    };
    assert!(both.covers(one) && !one.covers(both) && !none.covers(one));
    let went: Vec<_> = both.beyond(one).collect();
    assert_eq!(went, ["issuer id (kid 2)"]);
    assert_eq!(one.beyond(both).count(), 0);
}

#[test]
fn one_place_is_one_source_whoever_names_it() {
    let sources = sources();
    let mut other = published("other", RS);
    let one = verifier(&[published("id", RS), other.clone()], &sources);
    let found: Vec<_> = one.sources().collect();
    assert!(Arc::ptr_eq(found[0], found[1]));
    assert_eq!(found[0].issuer(), "id");
    other.jwks_url = Some(format!("{URL}?2"));
    let two = verifier(&[other], &sources);
    assert!(!Arc::ptr_eq(found[0], two.sources().next().unwrap()));
}

#[test]
fn settings_that_cannot_serve_are_refused_at_start() {
    use TokenAlgorithm::*;
    let good = || published("id", RS);
    for (issuer, key) in [
        (published("id", &[]), "algorithms"),
        (published("id", &[Rs256, Hs256]), "algorithms"),
        (published("", RS), "name"),
        (
            IssuerSettings {
                issuer: None,
                ..good()
            },
            "issuer",
        ),
        (
            IssuerSettings {
                kid: Some("1".into()),
                ..good()
            },
            "kid",
        ),
        (
            IssuerSettings {
                jwks_url: Some("http://id.example/jwks".into()),
                ..good()
            },
            "jwks_url",
        ),
        (
            IssuerSettings {
                jwks_url: Some("jwks.json".into()),
                ..good()
            },
            "jwks_url",
        ),
    ] {
        let errors = Issuers::parse(&[good(), issuer], &sources())
            .err()
            .unwrap_or_default();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, [format!("auth.issuers.1.{key}")]);
    }
    let families = published("id", &[Rs256, Ps256, Es256, Es384, EdDsa]);
    assert!(Issuers::parse(&[families], &sources()).is_ok());
}
