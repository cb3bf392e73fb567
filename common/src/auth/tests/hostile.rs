//! Tokens that somebody made to get in: what the known suites try (RFC 8725 and the CVEs behind it), beyond
//! what `claims.rs` and `keys.rs` hold. Each has the code that its client must get.

#![expect(clippy::too_many_lines, reason = "a table is as long as it is")]

use super::*;

/// The secret of the issuer that demands all that one can.
const STRICT: &str = "fedcba9876543210fedcba9876543210";

/// Everyone that a deployment could know.
fn world() -> Vec<IssuerSettings> {
    vec![
        hs256(),
        asymmetric(RSA, &[TokenAlgorithm::Rs256]),
        asymmetric(P256, &[TokenAlgorithm::Es256]),
        asymmetric(ED25519, &[TokenAlgorithm::EdDsa]),
    ]
}

fn strict() -> IssuerSettings {
    IssuerSettings {
        issuer: Some("https://id.example".into()),
        audience: Some("carillon".into()),
        kid: Some("2026-01".into()),
        max_lifetime: Some(Duration::from_secs(3600)),
        ..IssuerSettings::hs256("strict", STRICT)
    }
}

fn good() -> Value {
    json!({"sub": "alice", "exp": NOW + 60})
}

/// A good payload under this header, signed with the secret whatever the header says.
fn under(header: Value) -> String {
    signed(&header, &good(), SECRET.as_bytes())
}

/// A payload that is signed as it should be.
fn saying(claim: &str, value: Value) -> String {
    let mut payload = good();
    payload[claim] = value;
    hs256_token(&payload)
}

/// Any two parts, with a right signature over them.
fn sealed(header: &str, payload: &str) -> String {
    let message = format!("{header}.{payload}");
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let algorithm = jsonwebtoken::Algorithm::HS256;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Any two texts or bytes, likewise.
fn raw(header: &str, payload: &[u8]) -> String {
    sealed(
        &URL_SAFE_NO_PAD.encode(header),
        &URL_SAFE_NO_PAD.encode(payload),
    )
}

/// The token that stands for this algorithm among the fixtures, with another signature.
fn resigned(algorithm: &str, signature: &[u8]) -> String {
    let (message, _) = fixture(algorithm).rsplit_once('.').unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The same with another header.
fn reheaded(algorithm: &str, header: Value) -> String {
    let (_, rest) = fixture(algorithm).split_once('.').unwrap();
    format!("{}.{rest}", encode(&header))
}

#[track_caller]
fn check(issuers: &[IssuerSettings], cases: Vec<(&str, String, &str)>) -> usize {
    let verifier = verifier(issuers);
    let mut wrong = Vec::new();
    let count = cases.len();
    for (name, token, expected) in cases {
        let judged = verifier.verify(&token, NOW * 1000);
        let code = judged.as_ref().map_or_else(TokenError::code, |_| "ok");
        let told = judged.err().map(|error| error.to_string());
        // A part of a token is nothing for a log.
        let quotes = told.is_some_and(|told| token.len() > 8 && told.contains(&token));
        if code != expected || quotes {
            wrong.push(format!("{name}: {code}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    count
}

#[test]
fn algorithms_are_the_keys_to_choose() {
    let alg = |alg: Value| under(json!({ "alg": alg }));
    let count = check(
        &world(),
        vec![
            ("a list", alg(json!(["HS256"])), "token_malformed"),
            ("null", alg(Value::Null), "token_malformed"),
            ("a number", alg(json!(256)), "token_malformed"),
            ("an object", alg(json!({"HS256": 1})), "token_malformed"),
            ("a space before", alg(json!(" HS256")), "token_algorithm"),
            ("a space after", alg(json!("HS256 ")), "token_algorithm"),
            ("other letters", alg(json!("hS256")), "token_algorithm"),
            ("a zero byte", alg(json!("HS256\u{0}")), "token_algorithm"),
            (
                "a Cyrillic letter",
                alg(json!("Н\u{405}256")),
                "token_algorithm",
            ),
            ("none with a space", alg(json!("none ")), "token_algorithm"),
            ("a longer hash", alg(json!("HS512")), "token_algorithm"),
            ("secp256k1", alg(json!("ES256K")), "token_algorithm"),
            ("P-521", alg(json!("ES512")), "token_algorithm"),
            ("RSA encryption", alg(json!("RSA1_5")), "token_algorithm"),
            (
                "a password",
                alg(json!("PBES2-HS256+A128KW")),
                "token_algorithm",
            ),
            ("a JWE's", alg(json!("dir")), "token_algorithm"),
            (
                "a JWE",
                format!(
                    "{}..AAAA.AAAA.AAAA",
                    encode(&json!({"alg": "dir", "enc": "A256GCM"}))
                ),
                "token_algorithm",
            ),
            (
                "a compressed JWE (its bomb is never opened)",
                format!(
                    "{}.{}.AAAA.AAAA.AAAA",
                    encode(&json!({"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"})),
                    "A".repeat(4000)
                ),
                "token_algorithm",
            ),
            (
                "RS256 as PS256",
                reheaded("RS256", json!({"alg": "PS256"})),
                "token_algorithm",
            ),
            (
                "RS256 as RS512",
                reheaded("RS256", json!({"alg": "RS512"})),
                "token_algorithm",
            ),
            (
                "RS256 as HS256",
                reheaded("RS256", json!({"alg": "HS256"})),
                "token_signature",
            ),
            (
                "ES256 as ES384",
                reheaded("ES256", json!({"alg": "ES384"})),
                "token_algorithm",
            ),
            (
                "EdDSA as ES256",
                reheaded("EdDSA", json!({"alg": "ES256"})),
                "token_signature",
            ),
            (
                "another curve's",
                fixture("ES384").to_owned(),
                "token_algorithm",
            ),
            (
                "another curve's as ES256",
                reheaded("ES384", json!({"alg": "ES256"})),
                "token_signature",
            ),
        ],
    );
    assert!(count >= 25);
}

#[test]
fn public_keys_are_no_secrets() {
    let hs = |secret: &[u8]| signed(&json!({"alg": "HS256"}), &good(), secret);
    let body = |pem: &str| {
        pem.lines()
            .filter(|line| !line.starts_with('-'))
            .collect::<String>()
    };
    let der = |pem: &str| {
        base64::engine::general_purpose::STANDARD
            .decode(body(pem))
            .unwrap()
    };
    let set = include_str!("../fixtures/jwks.json");
    let keys: Value = serde_json::from_str(set).unwrap();
    let modulus = keys["keys"][0]["n"].as_str().unwrap();
    let count = check(
        &world(),
        vec![
            ("a PEM's text", hs(RSA.as_bytes()), "token_signature"),
            (
                "without its line break",
                hs(RSA.trim().as_bytes()),
                "token_signature",
            ),
            (
                "with other line breaks",
                hs(RSA.replace('\n', "\r\n").as_bytes()),
                "token_signature",
            ),
            ("a PEM's body", hs(body(RSA).as_bytes()), "token_signature"),
            ("DER", hs(&der(RSA)), "token_signature"),
            ("P-256's PEM", hs(P256.as_bytes()), "token_signature"),
            ("P-256's DER", hs(&der(P256)), "token_signature"),
            ("Ed25519's", hs(&der(ED25519)[12..]), "token_signature"),
            ("a JWK set", hs(set.as_bytes()), "token_signature"),
            (
                "a JWK",
                hs(keys["keys"][0].to_string().as_bytes()),
                "token_signature",
            ),
            (
                "a modulus",
                hs(&URL_SAFE_NO_PAD.decode(modulus).unwrap()),
                "token_signature",
            ),
            (
                "a modulus as text",
                hs(modulus.as_bytes()),
                "token_signature",
            ),
            ("a zero byte", hs(&[0]), "token_signature"),
            ("zeros", hs(&[0; 32]), "token_signature"),
            ("a word", hs(b"secret"), "token_signature"),
            (
                "half of the secret",
                hs(&SECRET.as_bytes()[..16]),
                "token_signature",
            ),
            (
                "the secret and a line break",
                hs(format!("{SECRET}\n").as_bytes()),
                "token_signature",
            ),
        ],
    );
    assert!(count >= 17);
}

#[test]
fn headers_choose_nothing() {
    let with = |name: &str, value: Value| {
        let mut header = json!({"alg": "HS256"});
        header[name] = value;
        under(header)
    };
    let own_key = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let count = check(
        &world(),
        vec![
            ("a key of its own", with("jwk", own_key), "token_malformed"),
            (
                "a set of its own",
                with("jku", json!("https://evil.example/jwks")),
                "token_malformed",
            ),
            (
                "one within",
                with("jku", json!("http://169.254.169.254/")),
                "token_malformed",
            ),
            (
                "certificates elsewhere",
                with("x5u", json!("https://evil.example/c")),
                "token_malformed",
            ),
            (
                "a file",
                with("x5u", json!("file:///dev/null")),
                "token_malformed",
            ),
            (
                "crit of nothing",
                with("crit", json!([])),
                "token_malformed",
            ),
            (
                "crit as text",
                with("crit", json!("exp")),
                "token_malformed",
            ),
            (
                "crit of what is known",
                with("crit", json!(["alg"])),
                "token_malformed",
            ),
            (
                "crit of a URL",
                with("crit", json!(["http://example.com/ext"])),
                "token_malformed",
            ),
            (
                "a logout token",
                with("typ", json!("logout+jwt")),
                "token_malformed",
            ),
            (
                "a DPoP proof",
                with("typ", json!("dpop+jwt")),
                "token_malformed",
            ),
            (
                "a security event",
                with("typ", json!("application/secevent+jwt")),
                "token_malformed",
            ),
            (
                "another type",
                with("typ", json!("JOSE+JSON")),
                "token_malformed",
            ),
            (
                "a type that is none",
                with("typ", json!(7)),
                "token_malformed",
            ),
            (
                "a kid that is none",
                with("kid", json!(1)),
                "token_malformed",
            ),
            ("kids", with("kid", json!(["a", "b"])), "token_malformed"),
            (
                "two kids",
                raw(
                    r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
                    good().to_string().as_bytes(),
                ),
                "token_malformed",
            ),
            (
                "two types",
                raw(
                    r#"{"alg":"HS256","typ":"JWT","typ":"logout+jwt"}"#,
                    good().to_string().as_bytes(),
                ),
                "token_malformed",
            ),
            (
                "a kid that is a path",
                signed(
                    &json!({"alg": "HS256", "kid": "../../../dev/null"}),
                    &good(),
                    &[0],
                ),
                "token_signature",
            ),
            (
                "a kid that is SQL",
                signed(
                    &json!({"alg": "HS256", "kid": "x' UNION SELECT 'k' --"}),
                    &good(),
                    b"k",
                ),
                "token_signature",
            ),
            (
                "a kid that is a command",
                signed(&json!({"alg": "HS256", "kid": "|/bin/true"}), &good(), b"k"),
                "token_signature",
            ),
            (
                "an unencoded payload (RFC 7797)",
                sealed(
                    &encode(&json!({"alg": "HS256", "b64": false})),
                    &good().to_string(),
                ),
                "token_malformed",
            ),
        ],
    );
    assert!(count >= 22);
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
        assert_eq!(code(&world(), &with("typ", json!(typ))), "ok", "{typ}");
    }
    let harmless =
        under(json!({"alg": "HS256", "x5t": "a", "x5c": ["MII"], "cty": "JWT", "nonce": "n"}));
    assert_eq!(code(&world(), &harmless), "ok");
}

#[test]
fn encodings_are_strict() {
    let header = encode(&json!({"alg": "HS256"}));
    let payload = encode(&good());
    let token = hs256_token(&good());
    let nested = URL_SAFE_NO_PAD.encode(&token);
    let utf16: Vec<u8> = good()
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let bom = format!("\u{feff}{}", good());
    let end = |text: &str| raw(r#"{"alg":"HS256"}"#, text.as_bytes());
    let count = check(
        &world(),
        vec![
            (
                "padding in the header",
                sealed(&format!("{header}="), &payload),
                "token_malformed",
            ),
            (
                "padding in the payload",
                sealed(&header, &format!("{payload}=")),
                "token_malformed",
            ),
            (
                "the other alphabet",
                sealed(&header, &format!("{payload}+/")),
                "token_malformed",
            ),
            (
                "a line break",
                sealed(&header, &format!("{payload}\n")),
                "token_malformed",
            ),
            (
                "a space",
                sealed(&header, &format!("{payload} ")),
                "token_malformed",
            ),
            (
                "a zero byte",
                sealed(&header, &format!("{payload}\0")),
                "token_malformed",
            ),
            (
                "bits that count for nothing",
                sealed(&header, "e31"),
                "token_malformed",
            ),
            (
                "dots that are encoded",
                token.replace('.', "%2E"),
                "token_malformed",
            ),
            (
                "other dots",
                token.replace('.', "\u{2024}"),
                "token_malformed",
            ),
            ("a dot at its end", format!("{token}."), "token_malformed"),
            ("a dot before", format!(".{token}"), "token_malformed"),
            (
                "as JSON",
                json!({"protected": header, "payload": payload, "signature": "AA"}).to_string(),
                "token_malformed",
            ),
            (
                "a token in a token",
                sealed(&header, &nested),
                "token_malformed",
            ),
            (
                "UTF-16",
                raw(r#"{"alg":"HS256"}"#, &utf16),
                "token_malformed",
            ),
            (
                "a byte order mark",
                raw(r#"{"alg":"HS256"}"#, bom.as_bytes()),
                "token_malformed",
            ),
            (
                "no UTF-8",
                raw(r#"{"alg":"HS256"}"#, b"{\"sub\":\"\xff\"}"),
                "token_malformed",
            ),
            (
                "half a surrogate",
                end(r#"{"sub":"\ud800","exp":1900000060}"#),
                "token_malformed",
            ),
            (
                "a number beyond all",
                end(r#"{"sub":"a","exp":1e400}"#),
                "token_claim",
            ),
            (
                "something after it",
                end(r#"{"sub":"a","exp":1900000060}{}"#),
                "token_malformed",
            ),
            (
                "something after the header",
                raw(r#"{"alg":"HS256"}x"#, b"{}"),
                "token_malformed",
            ),
            ("null", end("null"), "token_malformed"),
            ("a text", end("\"alice\""), "token_malformed"),
            (
                "two subs",
                end(r#"{"sub":"a","sub":"b","exp":1900000060}"#),
                "token_claim",
            ),
            (
                "two ends",
                end(r#"{"sub":"a","exp":1,"exp":1900000060}"#),
                "token_claim",
            ),
            (
                "two audiences",
                end(r#"{"sub":"a","exp":1900000060,"aud":"a","aud":"b"}"#),
                "token_claim",
            ),
        ],
    );
    assert!(count >= 25);
}

#[test]
fn signatures_are_whole() {
    let token = hs256_token(&good());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let resealed = |bytes: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
    // Its last letter says two bits more than it has bytes.
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = signature.bytes().last().unwrap();
    let at = letters.iter().position(|it| *it == last).unwrap();
    let twisted = format!("{}{}", &token[..token.len() - 1], letters[at + 1] as char);
    let ecdsa = URL_SAFE_NO_PAD
        .decode(fixture("ES256").rsplit_once('.').unwrap().1)
        .unwrap();
    let (r, s) = ecdsa.split_at(32);
    let der = [
        &[0x30, 0x46, 0x02, 0x21, 0x00][..],
        r,
        &[0x02, 0x21, 0x00],
        s,
    ]
    .concat();
    let mut one = vec![0; 256];
    one[255] = 1;
    // The identity, and a zero: good under keys of small order, where nobody looks.
    let identity = [&[1][..], &[0; 63]].concat();
    let order = URL_SAFE_NO_PAD
        .decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE")
        .unwrap();
    let count = check(
        &world(),
        vec![
            ("half a MAC", resealed(&bytes[..16]), "token_signature"),
            (
                "a MAC and a byte",
                resealed(&[&bytes[..], &[0]].concat()),
                "token_signature",
            ),
            ("a MAC of zeros", resealed(&[0; 32]), "token_signature"),
            ("bits that count for nothing", twisted, "token_signature"),
            ("padding", format!("{token}="), "token_signature"),
            ("a space after it", format!("{token} "), "token_signature"),
            (
                "ECDSA of zeros (CVE-2022-21449)",
                resigned("ES256", &[0; 64]),
                "token_signature",
            ),
            (
                "ECDSA of the order",
                resigned("ES256", &[&order[..], &order].concat()),
                "token_signature",
            ),
            (
                "ECDSA with s of zero",
                resigned("ES256", &[r, &[0; 32]].concat()),
                "token_signature",
            ),
            ("ECDSA in DER", resigned("ES256", &der), "token_signature"),
            ("half an ECDSA", resigned("ES256", r), "token_signature"),
            (
                "ECDSA the other way round",
                resigned("ES256", &[s, r].concat()),
                "token_signature",
            ),
            (
                "RSA of zeros",
                resigned("RS256", &[0; 256]),
                "token_signature",
            ),
            ("RSA of one", resigned("RS256", &one), "token_signature"),
            (
                "RSA of the most",
                resigned("RS256", &[0xff; 256]),
                "token_signature",
            ),
            (
                "a short RSA",
                resigned("RS256", &one[1..]),
                "token_signature",
            ),
            (
                "EdDSA of zeros",
                resigned("EdDSA", &[0; 64]),
                "token_signature",
            ),
            (
                "EdDSA of the identity",
                resigned("EdDSA", &identity),
                "token_signature",
            ),
            (
                "no signature at all",
                resigned("RS256", &[]),
                "token_signature",
            ),
        ],
    );
    assert!(count >= 19);
}

#[test]
fn claims_have_their_types() {
    let count = check(
        &world(),
        vec![
            ("sub null", saying("sub", Value::Null), "token_claim"),
            ("sub true", saying("sub", json!(true)), "token_claim"),
            ("subs", saying("sub", json!(["alice"])), "token_claim"),
            (
                "sub an object",
                saying("sub", json!({"$ne": ""})),
                "token_claim",
            ),
            ("exp true", saying("exp", json!(true)), "token_claim"),
            ("exps", saying("exp", json!([NOW + 60])), "token_claim"),
            (
                "exp an object",
                saying("exp", json!({"$gt": 0})),
                "token_claim",
            ),
            (
                "exp a text",
                saying("exp", json!("9999999999")),
                "token_claim",
            ),
            (
                "exp of the year 30000",
                saying("exp", json!(884_541_351_600_i64)),
                "token_claim",
            ),
            ("exp of nothing", saying("exp", json!(0)), "token_expired"),
            (
                "exp before all",
                saying("exp", json!(i64::MIN)),
                "token_expired",
            ),
            (
                "exp a little before",
                saying("exp", json!(-0.5)),
                "token_expired",
            ),
            ("nbf a text", saying("nbf", json!("0")), "token_claim"),
            (
                "nbf at the end of time",
                saying("nbf", json!(253_402_300_799_i64)),
                "token_not_yet_valid",
            ),
            (
                "iat ahead",
                saying("iat", json!(NOW + 3600)),
                "token_not_yet_valid",
            ),
            ("iat a list", saying("iat", json!([])), "token_claim"),
            ("jti a list", saying("jti", json!([])), "token_claim"),
            (
                "jti too long",
                saying("jti", json!("j".repeat(256))),
                "token_claim",
            ),
            (
                "iss a list",
                saying("iss", json!(["https://id.example"])),
                "token_claim",
            ),
            ("iss a number", saying("iss", json!(7)), "token_claim"),
            ("aud a number", saying("aud", json!(7)), "token_claim"),
            ("aud of numbers", saying("aud", json!([7])), "token_claim"),
            ("aud empty", saying("aud", json!("")), "token_claim"),
            (
                "channels an object",
                saying("channels", json!({})),
                "token_claim",
            ),
            (
                "channels of numbers",
                saying("channels", json!([1])),
                "token_claim",
            ),
            (
                "channels of nothing",
                saying("channels", json!([""])),
                "token_claim",
            ),
            (
                "channels of other letters",
                saying("channels", json!(["é"])),
                "token_claim",
            ),
        ],
    );
    assert!(count >= 27);
}

#[test]
fn an_issuer_is_held_to_what_it_demands() {
    let token = |change: Value| {
        let mut payload = json!({
            "sub": "alice", "iss": "https://id.example", "aud": "carillon",
            "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "jti": "1",
        });
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => drop(payload.as_object_mut().unwrap().remove(name)),
                value => payload[name] = value.clone(),
            }
        }
        signed(
            &json!({"alg": "HS256", "kid": "2026-01"}),
            &payload,
            STRICT.as_bytes(),
        )
    };
    let issuer = [strict()];
    assert_eq!(code(&issuer, &token(json!({}))), "ok");
    let count = check(
        &issuer,
        vec![
            ("no iss", token(json!({"iss": null})), "token_key"),
            ("an empty iss", token(json!({"iss": ""})), "token_key"),
            (
                "a slash more",
                token(json!({"iss": "https://id.example/"})),
                "token_key",
            ),
            (
                "other letters",
                token(json!({"iss": "https://ID.example"})),
                "token_key",
            ),
            (
                "a longer host",
                token(json!({"iss": "https://id.example.evil.example"})),
                "token_key",
            ),
            (
                "without TLS",
                token(json!({"iss": "http://id.example"})),
                "token_key",
            ),
            ("no aud", token(json!({"aud": null})), "token_claim"),
            ("another aud", token(json!({"aud": "mail"})), "token_claim"),
            (
                "a longer aud",
                token(json!({"aud": "carillon2"})),
                "token_claim",
            ),
            (
                "a shorter aud",
                token(json!({"aud": "carillo"})),
                "token_claim",
            ),
            (
                "other letters of aud",
                token(json!({"aud": "Carillon"})),
                "token_claim",
            ),
            (
                "a list in a text",
                token(json!({"aud": "mail,carillon"})),
                "token_claim",
            ),
            (
                "others' audiences",
                token(json!({"aud": ["mail", "chat"]})),
                "token_claim",
            ),
            (
                "no audience of a list",
                token(json!({"aud": []})),
                "token_claim",
            ),
            ("expired", token(json!({"exp": NOW - 30})), "token_expired"),
            ("too long", token(json!({"exp": NOW + 3631})), "token_claim"),
            (
                "too long from now",
                token(json!({"iat": null, "exp": NOW + 3631})),
                "token_claim",
            ),
            (
                "too long, from long ago",
                token(json!({"iat": 0, "exp": NOW + 1})),
                "token_claim",
            ),
            (
                "not yet",
                token(json!({"nbf": NOW + 31})),
                "token_not_yet_valid",
            ),
            (
                "issued ahead",
                token(json!({"iat": NOW + 31})),
                "token_not_yet_valid",
            ),
            (
                "another's secret",
                signed(
                    &json!({"alg": "HS256", "kid": "2026-01"}),
                    &json!({"sub": "a", "iss": "https://id.example", "aud": "carillon", "exp": NOW + 60}),
                    SECRET.as_bytes(),
                ),
                "token_signature",
            ),
            (
                "another kid",
                signed(
                    &json!({"alg": "HS256", "kid": "2026-1"}),
                    &json!({"sub": "a", "iss": "https://id.example", "aud": "carillon", "exp": NOW + 60}),
                    STRICT.as_bytes(),
                ),
                "token_key",
            ),
        ],
    );
    assert!(count >= 22);
}
