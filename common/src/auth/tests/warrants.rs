//! Whether a token that was accepted would still be, without the token.

use super::*;

const ALGORITHMS: [TokenAlgorithm; 2] = [TokenAlgorithm::Hs256, TokenAlgorithm::Hs512];

fn long() -> IssuerSettings {
    IssuerSettings::hs256("long", &SECRET.repeat(2))
}

/// Of a token of alice's with this `iss` and `aud`, that `issuer` accepted.
fn warrant(issuer: &IssuerSettings, iss: Option<&str>, aud: Option<&str>) -> Warrant {
    let mut payload = json!({"sub": "alice", "exp": NOW + 60});
    for (name, value) in [("iss", iss), ("aud", aud)] {
        if let Some(value) = value {
            payload[name] = value.into();
        }
    }
    let secret = issuer.secret.as_ref().unwrap().expose();
    let token = signed(&json!({"alg": "HS256"}), &payload, secret.as_bytes());
    let claims = verifier(std::slice::from_ref(issuer)).verify(&token, NOW * 1000);
    claims.unwrap().warrant.unwrap()
}

#[test]
fn a_token_stands_as_long_as_its_key_does() {
    let (short, long) = (hs256(), long());
    let warrant = |iss| warrant(&long, iss, None);
    let bound = |iss: &str| IssuerSettings {
        issuer: Some(iss.to_owned()),
        ..long.clone()
    };
    let serving = |algorithms: &[TokenAlgorithm]| IssuerSettings {
        algorithms: algorithms.to_vec(),
        ..long.clone()
    };
    let renamed = IssuerSettings {
        name: "renamed".to_owned(),
        kid: Some("2".to_owned()),
        ..long.clone()
    };
    let meant_for_others = IssuerSettings {
        audience: Some("others".to_owned()),
        ..long.clone()
    };
    // The keys that are known now; whether a token without `iss`, and one with `iss` a, stand; whether
    // all do that the old key accepted.
    for (keys, without, with, all) in [
        (vec![long.clone()], true, true, true),
        (vec![short.clone(), long.clone()], true, true, true),
        (vec![renamed], true, true, true),
        (vec![serving(&ALGORITHMS)], true, true, true),
        (vec![serving(&ALGORITHMS[1..])], false, false, false),
        (vec![bound("a")], false, true, false),
        (vec![bound("b")], false, false, false),
        (vec![bound("b"), bound("a")], false, true, false),
        (vec![meant_for_others], false, false, false),
        (vec![short], false, false, false),
        (vec![], false, false, false),
    ] {
        let now = verifier(&keys);
        let stand = [None, Some("a")].map(|iss| now.stands(&warrant(iss)));
        assert_eq!(stand, [without, with], "{keys:?}");
        let before = verifier(std::slice::from_ref(&long));
        assert_eq!(now.covers(&before), all, "{keys:?}");
    }
}

#[test]
fn the_audience_is_part_of_what_a_token_was_accepted_for() {
    let of = |audience: Option<&str>| IssuerSettings {
        audience: audience.map(str::to_owned),
        ..long()
    };
    let push = warrant(&of(Some("push")), None, Some("push"));
    for (audience, stands) in [(Some("push"), true), (Some("mail"), false), (None, false)] {
        assert_eq!(
            verifier(&[of(audience)]).stands(&push),
            stands,
            "{audience:?}"
        );
    }
}

#[test]
fn a_public_key_is_the_same_however_its_file_ends() {
    let rsa = |pem: &str| asymmetric(pem, &[TokenAlgorithm::Rs256]);
    let before = verifier(&[rsa(RSA)]);
    let claims = before.verify(fixture("RS256"), NOW * 1000).unwrap();
    let warrant = claims.warrant.unwrap();
    assert!(verifier(&[rsa(&format!("{RSA}\n"))]).stands(&warrant));
    assert!(!verifier(&[asymmetric(P256, &[TokenAlgorithm::Es256])]).stands(&warrant));
    assert_eq!(format!("{warrant:?}"), "Warrant(…)");
}
