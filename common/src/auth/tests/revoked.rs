//! Tokens that are refused though their key is good, by whoever they are shown to.

use axum::http::{HeaderMap, header};

use super::*;
use crate::ids::{TokenId, UserId};
use crate::settings::{AuthSettings, Scope, Settings};

const ISSUER: &str = "https://id.example";
/// Of services; `SECRET` is that of clients.
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const NOW_MS: i64 = NOW * 1000;

fn keyring() -> Keyring {
    let services = IssuerSettings {
        issuer: Some(ISSUER.into()),
        audience: Some("carillon-api".into()),
        scopes: Some(vec![Scope::Send]),
        ..IssuerSettings::hs256("shops", OTHER)
    };
    let auth = AuthSettings {
        issuers: vec![hs256(), services],
        ..Settings::default().auth
    };
    let keyring = Keyring::new(auth.credentials().unwrap());
    keyring.follow(Revocations::default());
    keyring
}

fn client(user: &str, jti: &str, iat: i64) -> String {
    hs256_token(&json!({ "sub": user, "jti": jti, "iat": iat, "exp": NOW + 60 }))
}

fn service(sub: &str, jti: &str) -> String {
    let payload = json!({
        "sub": sub, "jti": jti, "iat": NOW - 5, "exp": NOW + 60, "scope": "send",
        "iss": ISSUER, "aud": "carillon-api",
    });
    signed(&json!({"alg": "HS256"}), &payload, OTHER.as_bytes())
}

fn headers(bearer: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {bearer}").parse().unwrap();
    headers.insert(header::AUTHORIZATION, value);
    headers
}

fn revoke(keyring: &Keyring, user: Option<&str>, jti: Option<&str>, before: Option<i64>) {
    let user = user.map(|it| UserId::new(it).unwrap());
    let jti = jti.map(|it| TokenId::new(it).unwrap());
    keyring.revocations().unwrap().learn([Revocation {
        what: Revoked::of(user, jti).unwrap(),
        issued_before: before,
        until: NOW_MS + 60_000,
    }]);
}

#[test]
fn a_revoked_token_of_a_client_is_refused_and_what_it_opened_falls() {
    let keyring = keyring();
    let verify = |token: &str| keyring.verify(token, NOW_MS);
    let old = verify(&client("alice", "1", NOW - 5)).unwrap();
    let new = verify(&client("alice", "2", NOW)).unwrap();
    assert_eq!((old.iat_ms, new.iat_ms), (NOW_MS - 5_000, NOW_MS));
    for claims in [&old, &new] {
        assert_eq!(keyring.stands(claims, NOW_MS), Ok(()));
    }
    revoke(&keyring, Some("alice"), None, Some(NOW_MS));
    let refused = verify(&client("alice", "1", NOW - 5)).unwrap_err();
    assert_eq!(
        (refused, refused.code()),
        (TokenError::Revoked, "token_revoked")
    );
    assert_eq!(keyring.stands(&old, NOW_MS), Err(TokenError::Revoked));
    assert_eq!(keyring.stands(&new, NOW_MS), Ok(()));
    assert!(verify(&client("bob", "1", NOW - 5)).is_ok());
    // Neither whoever has no `iat`, nor a key that went, is passed over.
    let undated = hs256_token(&json!({ "sub": "alice", "exp": NOW + 60 }));
    assert_eq!(verify(&undated), Err(TokenError::Revoked));
    revoke(&keyring, None, Some("2"), None);
    assert_eq!(keyring.stands(&new, NOW_MS), Err(TokenError::Revoked));
    // A bad token is told to be bad first.
    let forged = signed(
        &json!({"alg": "HS256"}),
        &json!({ "sub": "alice", "exp": NOW + 60 }),
        b"x",
    );
    assert_eq!(verify(&forged), Err(TokenError::Signature));
}

#[test]
fn a_revoked_token_of_a_service_is_refused() {
    let keyring = keyring();
    let shown = |token: &str| keyring.service(&headers(token), NOW_MS);
    assert!(shown(&service("shop", "1")).is_ok());
    revoke(&keyring, Some("shop"), Some("1"), None);
    let refused = shown(&service("shop", "1")).unwrap_err();
    assert_eq!(refused, Unproven::Token(TokenError::Revoked));
    for (sub, jti) in [("shop", "2"), ("cafe", "1")] {
        assert!(shown(&service(sub, jti)).is_ok(), "{sub} {jti}");
    }
}

#[test]
fn where_both_may_call_each_is_known() {
    let keyring = keyring();
    let known = |token: &str| keyring.caller(&headers(token), NOW_MS);
    let alice = client("alice", "1", NOW - 5);
    assert!(matches!(known(&alice), Ok(Caller::Client(claims)) if &*claims.sub == "alice"));
    let shop = service("shop", "1");
    assert!(matches!(known(&shop), Ok(Caller::Service(service)) if &*service.name == "shops"));
    for user in ["alice", "shop"] {
        revoke(&keyring, Some(user), None, None);
    }
    for token in [&alice, &shop] {
        let refused = known(token).err();
        assert_eq!(refused, Some(Unproven::Token(TokenError::Revoked)));
    }
    let expired = hs256_token(&json!({ "sub": "alice", "exp": NOW - 60 }));
    assert_eq!(
        known(&expired).err(),
        Some(Unproven::Token(TokenError::Expired))
    );
    let nothing = keyring.caller(&HeaderMap::new(), NOW_MS).err();
    assert_eq!(nothing, Some(Unproven::Presented(Presented::Nothing)));
    let key = known("ck_unknown").err();
    assert_eq!(key, Some(Unproven::Presented(Presented::Unknown)));
}

#[test]
fn what_a_ticket_stands_for_is_judged_as_the_token() {
    let keyring = keyring();
    let claims = keyring
        .verify(&client("alice", "1", NOW - 5), NOW_MS)
        .unwrap();
    let redeemed = Claims::from_kept(&claims.to_kept()).unwrap();
    assert_eq!(keyring.stands(&redeemed, NOW_MS), Ok(()));
    // Of a service, no key vouches for it.
    let of_service = Claims {
        warrant: None,
        ..redeemed.clone()
    };
    keyring.replace(
        AuthSettings {
            issuers: vec![],
            ..Settings::default().auth
        }
        .credentials()
        .unwrap(),
    );
    assert_eq!(keyring.stands(&redeemed, NOW_MS), Err(TokenError::Key));
    assert_eq!(keyring.stands(&of_service, NOW_MS), Ok(()));
    revoke(&keyring, Some("alice"), None, None);
    assert_eq!(
        keyring.stands(&of_service, NOW_MS),
        Err(TokenError::Revoked)
    );
}
