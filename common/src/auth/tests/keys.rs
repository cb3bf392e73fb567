//! Which key verifies what, and which keys are none.

use super::*;

#[test]
fn every_algorithm_verifies_with_its_key_and_no_other() {
    use TokenAlgorithm::*;
    let keys = [
        (
            RSA,
            vec![(Rs256, "RS256"), (Rs384, "RS384"), (Rs512, "RS512")],
        ),
        (
            RSA,
            vec![(Ps256, "PS256"), (Ps384, "PS384"), (Ps512, "PS512")],
        ),
        (P256, vec![(Es256, "ES256")]),
        (P384, vec![(Es384, "ES384")]),
        (ED25519, vec![(EdDsa, "EdDSA")]),
    ];
    let mut verified = 0;
    for (pem, algorithms) in &keys {
        let of_key: Vec<_> = algorithms.iter().map(|(algorithm, _)| *algorithm).collect();
        for (_, name) in keys.iter().flat_map(|(_, algorithms)| algorithms) {
            let own = algorithms.iter().any(|(_, own)| own == name);
            let expected = if own { "ok" } else { "token_algorithm" };
            assert_eq!(
                code(&[asymmetric(pem, &of_key)], fixture(name)),
                expected,
                "{name}"
            );
            verified += usize::from(own);
        }
    }
    assert_eq!(verified, TOKENS.lines().count());

    // A changed payload under a true signature.
    let changed = encode(&json!({"sub": "mallory", "exp": 2_000_000_000}));
    for line in TOKENS.lines() {
        let (name, token) = line.split_once(' ').unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let forged = [parts[0], &changed, parts[2]].join(".");
        let (pem, algorithms) = keys
            .iter()
            .find(|(_, its)| its.iter().any(|(_, own)| *own == name))
            .unwrap();
        let algorithms: Vec<_> = algorithms.iter().map(|(algorithm, _)| *algorithm).collect();
        assert_eq!(
            code(&[asymmetric(pem, &algorithms)], &forged),
            "token_signature",
            "{name}"
        );
    }
}

#[test]
fn hmac_algorithms_are_bound_too() {
    for (algorithm, length) in [
        (TokenAlgorithm::Hs256, 32),
        (TokenAlgorithm::Hs384, 48),
        (TokenAlgorithm::Hs512, 64),
    ] {
        let secret = "s".repeat(length);
        let issuer = IssuerSettings {
            algorithms: vec![algorithm],
            ..IssuerSettings::hs256("x", &secret)
        };
        let token = mint(
            &issuer,
            &NewToken {
                sub: "alice",
                exp: NOW,
                ..Default::default()
            },
        );
        assert_eq!(code(&[issuer], &token.unwrap()), "ok", "{algorithm:?}");
    }
    let long = "s".repeat(64);
    let issuer = |algorithm| IssuerSettings {
        algorithms: vec![algorithm],
        ..IssuerSettings::hs256("x", &long)
    };
    let token = NewToken {
        sub: "alice",
        exp: NOW,
        ..Default::default()
    };
    let token = mint(&issuer(TokenAlgorithm::Hs512), &token).unwrap();
    assert_eq!(
        code(&[issuer(TokenAlgorithm::Hs256)], &token),
        "token_algorithm"
    );
}

#[test]
fn forgeries_are_refused() {
    let payload = json!({"sub": "alice", "exp": NOW + 60});
    let rsa = asymmetric(RSA, &[TokenAlgorithm::Rs256]);
    // The classic confusion: the public key's text as an HMAC secret.
    let confused = signed(&json!({"alg": "HS256"}), &payload, RSA.as_bytes());
    assert_eq!(
        code(std::slice::from_ref(&rsa), &confused),
        "token_algorithm"
    );
    assert_eq!(code(&[rsa.clone(), hs256()], &confused), "token_signature");
    let claims_rsa = signed(&json!({"alg": "RS256"}), &payload, RSA.as_bytes());
    assert_eq!(code(&[rsa, hs256()], &claims_rsa), "token_signature");

    for none in ["none", "None", "NONE", "nOnE", "", "HS257", "hs256"] {
        let unsigned = format!("{}.{}.", encode(&json!({"alg": none})), encode(&payload));
        assert_eq!(code(&[hs256()], &unsigned), "token_algorithm", "{none:?}");
    }
    let stripped = hs256_token(&payload);
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert_eq!(code(&[hs256()], stripped), "token_signature");
    let other = signed(&json!({"alg": "HS256"}), &payload, &[b'x'; 32]);
    assert_eq!(code(&[hs256()], &other), "token_signature");
    assert_eq!(code(&[], &hs256_token(&payload)), "token_algorithm");
}

#[test]
fn issuer_audience_and_kid_select_the_key() {
    let demanding = IssuerSettings {
        issuer: Some("https://id.example".into()),
        audience: Some("carillon".into()),
        kid: Some("2026-01".into()),
        ..hs256()
    };
    let with = |header: Value, iss: Value, aud: Value| {
        let payload = json!({"sub": "alice", "exp": NOW + 60, "iss": iss, "aud": aud});
        code(
            std::slice::from_ref(&demanding),
            &signed(&header, &payload, SECRET.as_bytes()),
        )
    };
    let kid = || json!({"alg": "HS256", "kid": "2026-01"});
    let iss = || json!("https://id.example");
    assert_eq!(with(kid(), iss(), json!("carillon")), "ok");
    assert_eq!(with(kid(), iss(), json!(["other", "carillon"])), "ok");
    assert_eq!(
        with(json!({"alg": "HS256"}), iss(), json!("carillon")),
        "ok"
    );
    assert_eq!(
        with(
            json!({"alg": "HS256", "kid": "x"}),
            iss(),
            json!("carillon")
        ),
        "token_key"
    );
    assert_eq!(
        with(kid(), json!("https://evil.example"), json!("carillon")),
        "token_key"
    );
    assert_eq!(with(kid(), Value::Null, json!("carillon")), "token_key");
    assert_eq!(with(kid(), iss(), json!("other")), "token_claim");
    assert_eq!(with(kid(), iss(), json!([])), "token_claim");
    assert_eq!(with(kid(), iss(), Value::Null), "token_claim");

    // What we mint for an issuer is accepted by it.
    let token = NewToken {
        sub: "alice",
        exp: NOW + 60,
        channels: &["a.*"],
        ..Default::default()
    };
    assert_eq!(
        code(
            std::slice::from_ref(&demanding),
            &mint(&demanding, &token).unwrap()
        ),
        "ok"
    );
}

#[test]
fn keys_rotate() {
    let key = |kid: Option<&str>, secret: &str| IssuerSettings {
        kid: kid.map(str::to_owned),
        ..IssuerSettings::hs256("x", secret)
    };
    let (old, new, plain) = ("o".repeat(32), "n".repeat(32), "p".repeat(32));
    let keys = [
        key(Some("old"), &old),
        key(Some("new"), &new),
        key(None, &plain),
    ];
    let payload = json!({"sub": "alice", "exp": NOW + 60});
    let token = |kid: Option<&str>, secret: &str| {
        code(
            &keys,
            &signed(
                &json!({"alg": "HS256", "kid": kid}),
                &payload,
                secret.as_bytes(),
            ),
        )
    };
    assert_eq!(token(Some("old"), &old), "ok");
    assert_eq!(token(Some("new"), &new), "ok");
    assert_eq!(token(None, &old), "ok", "without a kid every key is tried");
    assert_eq!(
        token(Some("unknown"), &plain),
        "ok",
        "a key without a kid serves any"
    );
    assert_eq!(token(Some("old"), &new), "token_signature", "a kid binds");
    assert_eq!(token(Some("old"), &plain), "token_signature", "a kid binds");
}

#[test]
fn keys_that_cannot_serve_are_refused_at_start() {
    use TokenAlgorithm::*;
    let hmac = |secret: &str, algorithms: &[TokenAlgorithm]| IssuerSettings {
        algorithms: algorithms.to_vec(),
        ..IssuerSettings::hs256("x", secret)
    };
    let cases = [
        (hmac(SECRET, &[]), "algorithms"),
        (hmac(SECRET, &[Hs256, Rs256]), "algorithms"),
        (hmac(SECRET, &[Rs256]), "algorithms"),
        (hmac("short", &[Hs256]), "secret"),
        (hmac(SECRET, &[Hs256, Hs512]), "secret"),
        (hmac(RSA, &[Hs256]), "secret"),
        (asymmetric(RSA, &[Hs256]), "algorithms"),
        (asymmetric(RSA, &[Es256]), "public_key"),
        (asymmetric(RSA_1024, &[Rs256]), "public_key"),
        (asymmetric(P256, &[Es384]), "public_key"),
        (asymmetric(P384, &[Es256, Es384]), "public_key"),
        (asymmetric(P256, &[EdDsa]), "public_key"),
        (
            asymmetric(&RSA.replace("PUBLIC", "PRIVATE"), &[Rs256]),
            "public_key",
        ),
        (asymmetric(&RSA.replace('A', "!"), &[Rs256]), "public_key"),
        (asymmetric("", &[Rs256]), "public_key"),
    ];
    for (index, (issuer, key)) in cases.iter().enumerate() {
        let errors = Verifier::new(&[hs256(), issuer.clone()], TIMES)
            .err()
            .unwrap_or_default();
        let paths: Vec<_> = errors.iter().map(|error| error.path.clone()).collect();
        assert_eq!(paths, [format!("auth.issuers.1.{key}")], "case {index}");
        assert!(!format!("{errors:?}").contains(SECRET), "case {index}");
    }
    let all: Vec<_> = cases.iter().map(|(issuer, _)| issuer.clone()).collect();
    let errors = Verifier::new(&all, TIMES).err().unwrap_or_default();
    assert_eq!(errors.len(), cases.len(), "all at once");
}

#[test]
fn minting_needs_a_secret() {
    let token = NewToken {
        sub: "alice",
        exp: NOW,
        ..Default::default()
    };
    let issuer = asymmetric(RSA, &[TokenAlgorithm::Rs256]);
    assert_eq!(mint(&issuer, &token), Err(MintError::NoSecret));
}
