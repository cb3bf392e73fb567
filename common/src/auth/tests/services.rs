//! Services that show a token in the place of an API key, and clients that do.

use axum::http::{HeaderMap, header};

use super::*;
use crate::settings::{AuthSettings, Credentials, Scope, Settings};

const ISSUER: &str = "https://id.example";
/// Of services; `SECRET` is that of clients.
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn services() -> IssuerSettings {
    IssuerSettings {
        issuer: Some(ISSUER.into()),
        audience: Some("carillon-api".into()),
        scopes: Some(vec![Scope::Send, Scope::Broadcast]),
        channels: Some(vec!["orders.*".into(), "news".into()]),
        ..IssuerSettings::hs256("shops", OTHER)
    }
}

fn clients() -> IssuerSettings {
    IssuerSettings {
        audience: Some("carillon".into()),
        ..hs256()
    }
}

fn auth(issuers: Vec<IssuerSettings>) -> AuthSettings {
    AuthSettings {
        issuers,
        ..Settings::default().auth
    }
}

fn credentials() -> Credentials {
    auth(vec![clients(), services()]).credentials().unwrap()
}

fn token(secret: &str, change: Value) -> String {
    let mut payload = json!({
        "sub": "shop-1", "iss": ISSUER, "aud": "carillon-api", "exp": NOW + 60, "scope": "send",
    });
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(payload.as_object_mut().unwrap().remove(name)),
            value => payload[name] = value.clone(),
        }
    }
    signed(
        &json!({"alg": "HS256", "typ": "at+jwt"}),
        &payload,
        secret.as_bytes(),
    )
}

fn shown(credentials: &Credentials, bearer: &str) -> Result<Service, Unproven> {
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {bearer}").parse().unwrap();
    headers.insert(header::AUTHORIZATION, value);
    credentials.service(&headers, NOW * 1000)
}

fn scopes(service: &Service) -> Vec<Scope> {
    let all = [Scope::Send, Scope::Broadcast, Scope::Read, Scope::Admin];
    all.into_iter().filter(|it| service.allows(*it)).collect()
}

#[test]
fn a_service_is_its_issuers_and_may_what_both_say() {
    let credentials = credentials();
    let of = |change| shown(&credentials, &token(OTHER, change)).unwrap();
    let service = of(json!({}));
    assert_eq!(&*service.name, "shops");
    assert_ne!(service.identity, of(json!({"sub": "shop-2"})).identity);
    assert_eq!(service.identity, of(json!({"exp": NOW + 61})).identity);
    for (scope, may) in [
        (json!("send"), vec![Scope::Send]),
        (
            json!("openid send  broadcast"),
            vec![Scope::Send, Scope::Broadcast],
        ),
        (json!("broadcast admin read"), vec![Scope::Broadcast]),
        (json!("carillon:send"), vec![]),
        (json!("Send sends send,broadcast"), vec![]),
        (json!(""), vec![]),
        (Value::Null, vec![]),
    ] {
        assert_eq!(scopes(&of(json!({ "scope": scope }))), may, "{scope}");
    }
}

#[test]
fn a_service_reaches_what_its_issuer_and_its_token_allow() {
    let credentials = credentials();
    let of = |change| shown(&credentials, &token(OTHER, change)).unwrap();
    let service = of(json!({}));
    assert!(service.may_reach_user("anyone") && !service.may_reach_everyone());
    assert!(service.may_reach_channel("orders.eu") && service.may_reach_channel("news"));
    assert!(!service.may_reach_channel("billing"));
    let less = of(json!({"channels": ["orders.eu", "billing"], "users": ["eu-*"]}));
    assert!(less.may_reach_channel("orders.eu"));
    assert!(!less.may_reach_channel("orders.us") && !less.may_reach_channel("news"));
    assert!(
        !less.may_reach_channel("billing"),
        "the issuer does not allow it"
    );
    assert!(less.may_reach_user("eu-7") && !less.may_reach_user("us-7"));
    for wrong in [
        json!({"channels": []}),
        json!({"channels": "orders.eu"}),
        json!({"channels": ["a b"]}),
        json!({"users": []}),
        json!({"users": "eu-*"}),
        json!({"users": [7]}),
        json!({"scope": ["send"]}),
        json!({"scope": 7}),
    ] {
        let refused = shown(&credentials, &token(OTHER, wrong.clone())).unwrap_err();
        let is_claim = matches!(refused, Unproven::Token(TokenError::Claim(_)));
        assert!(is_claim, "{wrong}: {refused:?}");
    }
}

#[test]
fn a_clients_token_is_no_services_and_the_other_way_round() {
    let credentials = credentials();
    let client = json!({"aud": "carillon"});
    for (name, secret, change, code) in [
        ("a client's", SECRET, client.clone(), "token_signature"),
        (
            "a client's for services",
            SECRET,
            json!({}),
            "token_signature",
        ),
        ("a service's for clients", OTHER, client, "token_claim"),
        ("for nobody", OTHER, json!({"aud": null}), "token_claim"),
        ("of nobody", OTHER, json!({"iss": null}), "token_key"),
        (
            "of another",
            OTHER,
            json!({"iss": "https://id"}),
            "token_key",
        ),
        ("expired", OTHER, json!({"exp": NOW - 60}), "token_expired"),
        ("without end", OTHER, json!({"exp": null}), "token_claim"),
        ("of no one", OTHER, json!({"sub": null}), "token_claim"),
    ] {
        match shown(&credentials, &token(secret, change)) {
            Err(Unproven::Token(error)) => assert_eq!(error.code(), code, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let services = token(OTHER, json!({}));
    let refused = credentials
        .verifier
        .verify(&services, NOW * 1000)
        .unwrap_err();
    assert_eq!(refused.code(), "token_signature");
    // An issuer that gives both, with the same key: what tells them apart is whom they are for.
    let same = IssuerSettings {
        secret: services_secret(),
        issuer: Some(ISSUER.into()),
        ..clients()
    };
    let one_key = auth(vec![same, self::services()]).credentials().unwrap();
    let client = token(OTHER, json!({"aud": "carillon"}));
    assert!(one_key.verifier.verify(&client, NOW * 1000).is_ok());
    assert!(shown(&one_key, &client).is_err());
    assert!(one_key.verifier.verify(&services, NOW * 1000).is_err());
    assert!(shown(&one_key, &services).is_ok());
}

fn services_secret() -> Option<Secret<String>> {
    services().secret
}

#[test]
fn what_stands_in_the_place_of_a_token_is_told() {
    let credentials = credentials();
    let presented = |text: &str| match shown(&credentials, text) {
        Err(Unproven::Presented(presented)) => presented,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(presented("hunter2"), Presented::Unknown);
    assert_eq!(
        presented(&format!("ck_{}", "A".repeat(43))),
        Presented::Unknown
    );
    assert_eq!(presented(&"a".repeat(64)), Presented::KeyHash);
    let keys = auth(vec![clients()]).credentials().unwrap();
    assert_eq!(
        shown(&keys, &token(SECRET, json!({}))),
        Err(Unproven::Nobody)
    );
}

#[test]
fn issuers_of_services_that_could_be_taken_for_others_are_refused_at_start() {
    let errors = |issuers: Vec<IssuerSettings>| {
        let errors = auth(issuers).credentials().err().map(|errors| errors.0);
        let errors = errors.unwrap_or_default().into_iter();
        errors.map(|error| error.path).collect::<Vec<_>>()
    };
    for (change, path) in [
        (
            IssuerSettings {
                scopes: Some(Vec::new()),
                ..services()
            },
            "scopes",
        ),
        (
            IssuerSettings {
                issuer: None,
                ..services()
            },
            "issuer",
        ),
        (
            IssuerSettings {
                audience: None,
                ..services()
            },
            "audience",
        ),
        (
            IssuerSettings {
                name: String::new(),
                ..services()
            },
            "name",
        ),
        (
            IssuerSettings {
                scopes: None,
                ..services()
            },
            "channels",
        ),
        (
            IssuerSettings {
                users: Some(vec![String::new()]),
                ..services()
            },
            "users",
        ),
        (
            IssuerSettings {
                channels: Some(vec!["a b".into()]),
                ..services()
            },
            "channels",
        ),
    ] {
        assert_eq!(
            errors(vec![clients(), change]),
            [format!("auth.issuers.1.{path}")]
        );
    }
    let both = IssuerSettings {
        audience: Some("carillon".into()),
        ..services()
    };
    assert_eq!(
        errors(vec![clients(), services(), both]),
        ["auth.issuers.0.audience", "auth.issuers.2.audience"]
    );
    assert!(errors(vec![hs256(), services()]).is_empty());
}
