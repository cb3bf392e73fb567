//! The form of a token and what it claims.

use super::*;

#[test]
fn malformed_tokens_are_refused() {
    let payload = encode(&json!({"sub": "alice", "exp": NOW + 60}));
    let good = hs256_token(&json!({"sub": "alice", "exp": NOW + 60}));
    let crit = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let raw = |header: &str, payload: &str| {
        format!(
            "{}.{}.AA",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        )
    };
    for (token, expected) in [
        (String::new(), "token_missing"),
        ("x".into(), "token_malformed"),
        ("a.b".into(), "token_malformed"),
        ("..".into(), "token_malformed"),
        ("....".into(), "token_malformed"),
        (format!("{good}.x"), "token_malformed"),
        (format!(" {good}"), "token_malformed"),
        (format!("{good}="), "token_signature"),
        (good.replace('.', "é."), "token_malformed"),
        (format!("{header}.!!!.AA"), "token_malformed"),
        (raw("[\"HS256\",null,null]", "{}"), "token_malformed"),
        (raw("{}", "{}"), "token_malformed"),
        (raw("{\"alg\":1}", "{}"), "token_malformed"),
        (
            raw("{\"alg\":\"HS256\",\"alg\":\"none\"}", "{}"),
            "token_malformed",
        ),
        (raw("{\"alg\":\"HS256\"}", "{"), "token_malformed"),
        (
            raw("{\"alg\":\"HS256\"}", "[\"alice\",1]"),
            "token_malformed",
        ),
        (raw("{\"alg\":\"HS256\"}", "\u{7f}"), "token_malformed"),
        (
            signed(&crit, &json!({}), SECRET.as_bytes()),
            "token_malformed",
        ),
        (
            format!("{header}.{payload}.{}", "A".repeat(MAX_TOKEN_BYTES)),
            "token_too_large",
        ),
    ] {
        assert_eq!(code(&[hs256()], &token), expected, "{token}");
    }
    // As deep as fits: the parser must not run out of stack.
    let deep = format!("{{\"x\":{}", "[".repeat(5000));
    assert_eq!(
        code(&[hs256()], &raw("{\"alg\":\"HS256\"}", &deep)),
        "token_malformed"
    );
}

#[test]
fn claims_are_checked() {
    let user = |length: usize| "u".repeat(length);
    for (payload, expected) in [
        (json!({"sub": "alice", "exp": NOW + 60}), "ok"),
        (json!({"sub": "alice", "exp": NOW as f64 + 0.5}), "ok"),
        (json!({"sub": "alice", "exp": NOW - 29}), "ok"),
        (json!({"sub": "alice", "exp": NOW - 30}), "token_expired"),
        (json!({"sub": "alice", "exp": -1}), "token_expired"),
        (json!({"sub": "alice", "exp": 253_402_300_799_i64}), "ok"),
        // Milliseconds, by the usual slip.
        (
            json!({"sub": "alice", "exp": (NOW + 60) * 1000}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "iat": NOW * 1000}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "nbf": NOW * 1000}),
            "token_claim",
        ),
        (json!({"sub": "alice", "exp": u64::MAX}), "token_claim"),
        (json!({"sub": "alice", "exp": 1e300}), "token_claim"),
        (
            json!({"sub": "alice", "exp": (NOW + 60).to_string()}),
            "token_claim",
        ),
        (json!({"sub": "alice", "exp": null}), "token_claim"),
        (json!({"sub": "alice"}), "token_claim"),
        (json!({"exp": NOW + 60}), "token_claim"),
        (json!({"sub": 7, "exp": NOW + 60}), "token_claim"),
        (json!({"sub": "", "exp": NOW + 60}), "token_claim"),
        (json!({"sub": user(255), "exp": NOW + 60}), "ok"),
        (json!({"sub": user(256), "exp": NOW + 60}), "token_claim"),
        (
            json!({"sub": "alice", "exp": NOW + 60, "nbf": NOW + 30}),
            "ok",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "nbf": NOW + 31}),
            "token_not_yet_valid",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "iat": NOW + 31}),
            "token_not_yet_valid",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "nbf": "now"}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "jti": ""}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "jti": 1}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "aud": "a"}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "aud": {}}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "iss": "anyone"}),
            "ok",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "channels": ["a", "b.*"]}),
            "ok",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "channels": null}),
            "ok",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "channels": "a"}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "channels": ["a b"]}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "channels": vec!["a"; 257]}),
            "token_claim",
        ),
        (
            json!({"sub": "alice", "exp": NOW + 60, "anything": {"else": [1]}}),
            "ok",
        ),
    ] {
        assert_eq!(
            code(&[hs256()], &hs256_token(&payload)),
            expected,
            "{payload}"
        );
    }
}

#[test]
fn a_lifetime_may_be_bounded() {
    let hour = TokenTimes {
        max_lifetime: Duration::from_secs(3600),
        ..TIMES
    };
    let verifier = Verifier::new(&[hs256()], hour).unwrap();
    for (payload, right) in [
        (
            json!({"sub": "a", "iat": NOW - 1800, "exp": NOW + 1800}),
            true,
        ),
        (
            json!({"sub": "a", "iat": NOW - 1800, "exp": NOW + 1831}),
            false,
        ),
        (json!({"sub": "a", "exp": NOW + 3630}), true),
        (json!({"sub": "a", "exp": NOW + 3631}), false),
    ] {
        let judged = verifier.verify(&hs256_token(&payload), NOW * 1000);
        let Err(error) = &judged else {
            assert!(right, "{payload}");
            continue;
        };
        assert!(
            !right && error.to_string().contains("auth.max_lifetime"),
            "{payload}: {error}"
        );
    }
}

#[test]
fn an_issuer_may_have_a_bound_of_its_own() {
    let bounds = |all: u64, own: Option<u64>| {
        let issuer = IssuerSettings {
            max_lifetime: own.map(Duration::from_secs),
            ..hs256()
        };
        let times = TokenTimes {
            max_lifetime: Duration::from_secs(all),
            ..TIMES
        };
        let token = hs256_token(&json!({"sub": "a", "iat": NOW, "exp": NOW + 1800}));
        let judged = Verifier::new(&[issuer], times)
            .unwrap()
            .verify(&token, NOW * 1000);
        judged.map_err(|error| error.to_string()).err()
    };
    for (all, own, told) in [
        (0, None, None),
        (3600, None, None),
        (600, None, Some("auth.max_lifetime")),
        (600, Some(3600), None),
        (600, Some(0), None),
        (0, Some(600), Some("the issuer's max_lifetime")),
        (3600, Some(600), Some("the issuer's max_lifetime")),
    ] {
        let error = bounds(all, own);
        let fits = match (&error, told) {
            (None, None) => true,
            (Some(error), Some(told)) => error.contains(told),
            _ => false,
        };
        assert!(fits, "{all} {own:?}: {error:?}");
    }
}

#[test]
fn claims_are_kept() {
    let payload = json!({
        "sub": "älice", "exp": NOW + 60, "iat": NOW as f64 - 1.5, "jti": "j", "channels": ["a.*"],
    });
    let claims = verifier(&[hs256()])
        .verify(&hs256_token(&payload), NOW * 1000)
        .unwrap();
    assert_eq!((&*claims.sub, claims.exp_ms), ("älice", (NOW + 60) * 1000));
    assert_eq!(claims.jti.as_deref(), Some("j"));
    assert!(claims.channels[0].matches("a.b"));
    assert!(
        size_of::<Claims>() <= 88,
        "kept for each connection: {}",
        size_of::<Claims>()
    );
}

#[test]
fn claims_errors_name_the_claim() {
    let payload = json!({"sub": "alice", "exp": "tomorrow"});
    let error = verifier(&[hs256()])
        .verify(&hs256_token(&payload), NOW * 1000)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("exp must be a number of seconds"),
        "{error}"
    );
}
