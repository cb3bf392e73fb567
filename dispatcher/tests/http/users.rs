//! Where users are, and having their connections closed.

use std::sync::Arc;

use carillon_common::{
    auth::ApiKeys,
    backend::{BackendError, Control, Device, Disconnection, Presence},
    settings::{ApiKeySettings, Scope, Settings},
};
use serde_json::json;

use crate::{
    service::{Service, answer, check},
    store::{Answer, ToldStore},
};

fn connection(device: Option<&str>, session: &str, gateway: &str, since: i64) -> Presence {
    Presence {
        device: device.map_or(Device::Anonymous, |name| {
            Device::Named(name.parse().unwrap())
        }),
        session: session.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
        generation: 7,
        since,
    }
}

/// A key that may do everything with shops alone.
fn limited(settings: &mut Settings) -> String {
    let (key, hash) = ApiKeys::generate();
    settings.auth.api_keys.push(ApiKeySettings {
        name: "limited".to_owned(),
        hash,
        scopes: vec![Scope::Read, Scope::Admin],
        users: Some(vec!["shop-*".to_owned()]),
        channels: None,
        sends_per_second: None,
        sends_burst: None,
    });
    key.expose().clone()
}

async fn started() -> (Arc<ToldStore>, Service, String) {
    let store = Arc::new(ToldStore::default());
    store.has_gateways(&[("g1", 1, 1), ("g2", 2, 1)]);
    store.has_present(vec![
        connection(Some("phone"), "s2", "g2", 1_767_225_601_000),
        connection(None, "s1", "g1", 1_767_225_600_000),
    ]);
    let mut key = String::new();
    let service = Service::start_with(store.clone(), |settings| key = limited(settings)).await;
    (store, service, key)
}

#[tokio::test]
async fn a_users_connections_are_told_the_oldest_first() {
    let (store, service, _) = started().await;
    let path = "/api/users/a%2Fb%20%C3%A5/presence";
    let told = answer(service.anonymous("GET", path).bearer_auth(&service.reader)).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(
        told.json(),
        json!({"user": "a/b å", "online": true, "connections": [
            {"device": null, "session": "s1", "gateway": "g1", "since": "2026-01-01T00:00:00.000Z"},
            {"device": "phone", "session": "s2", "gateway": "g2", "since": "2026-01-01T00:00:01.000Z"},
        ]})
    );
    store.has_present(Vec::new());
    let told = answer(service.request("GET", "/api/users/bob/presence")).await;
    let nobody = json!({"user": "bob", "online": false, "connections": []});
    assert_eq!((told.status, told.json()), (200, nobody));
}

#[tokio::test]
async fn what_a_path_names_is_checked() {
    let (_, service, _) = started().await;
    let long = format!("/api/users/{}/presence", "x".repeat(256));
    for path in [&*long, "/api/users/%ff/presence"] {
        let refused = answer(service.request("GET", path)).await;
        check(path, &refused, 400, "invalid_path", &[]);
        assert!(refused.text.contains("the user in the path"), "{refused:?}");
    }
    let query = answer(service.request("GET", "/api/users/a/presence?x=1")).await;
    check("query", &query, 400, "unexpected_query", &[]);
    let nobody = answer(service.request("GET", "/api/users//presence")).await;
    assert!(matches!(nobody.status, 400 | 404), "{nobody:?}");
    let long = long.replace("presence", "disconnect");
    let refused = answer(service.post(&long, "{}")).await;
    check("disconnect", &refused, 400, "invalid_path", &[]);
}

#[tokio::test]
async fn every_gateway_is_told_to_close_what_is_meant() {
    let (store, service, _) = started().await;
    let path = "/api/users/alice/disconnect";
    for (body, which, connections) in [
        ("{}", Disconnection::of("alice".parse().unwrap()), 2),
        (
            r#"{"device":"phone","code":4001,"reason":"logged_out"}"#,
            Disconnection {
                device: Some("phone".parse().unwrap()),
                code: Some(4001),
                reason: Some("logged_out".into()),
                ..Disconnection::of("alice".parse().unwrap())
            },
            1,
        ),
        (
            r#"{"session":"s9","code":null}"#,
            Disconnection {
                session: Some("s9".parse().unwrap()),
                ..Disconnection::of("alice".parse().unwrap())
            },
            0,
        ),
    ] {
        let before = store.words().len();
        let told = answer(service.post(path, body)).await;
        assert_eq!(told.status, 202, "{told:?}");
        let read = told.json();
        assert_eq!(
            (&read["status"], &read["user"], &read["connections"]),
            (&json!("ok"), &json!("alice"), &json!(connections))
        );
        let word = Control::Disconnect(which);
        let words = ["g1", "g2"].map(|gateway| (gateway.parse().unwrap(), word.clone()));
        assert_eq!(store.words()[before..], words);
    }
}

#[tokio::test]
async fn nobody_is_told_where_the_call_is_wrong() {
    let (store, service, key) = started().await;
    let path = "/api/users/alice/disconnect";
    for (body, code, pointers) in [
        (r#"{"code":4009}"#, "invalid_field", &["/code"][..]),
        (
            r#"{"device":7,"reason":""}"#,
            "invalid_field",
            &["/device", "/reason"],
        ),
        (r#"{"user":"bob"}"#, "unknown_field", &["/user"]),
    ] {
        let refused = answer(service.post(path, body)).await;
        check(body, &refused, 422, code, pointers);
    }
    let refused = answer(service.post(path, "")).await;
    check("empty", &refused, 400, "malformed_json", &[]);
    let refused = answer(service.request("POST", path)).await;
    check("no body", &refused, 415, "unsupported_media_type", &[]);
    let refused = answer(service.post(&format!("{path}?all=1"), "{}")).await;
    check("query", &refused, 400, "unexpected_query", &[]);
    let by = |key: &str| {
        let call = service.anonymous("POST", path).bearer_auth(key);
        answer(call.header("content-type", "application/json").body("{}"))
    };
    check(
        "scope",
        &by(&service.reader).await,
        403,
        "insufficient_scope",
        &[],
    );
    check(
        "another's",
        &by(&key).await,
        403,
        "user_forbidden",
        &["/user"],
    );
    assert!(store.words().is_empty());

    // Its own it may.
    let shop = service
        .anonymous("POST", "/api/users/shop-1/disconnect")
        .bearer_auth(&key);
    let shop = answer(shop.header("content-type", "application/json").body("{}")).await;
    assert_eq!(shop.status, 202, "{shop:?}");
    for (user, status) in [("alice", 403), ("shop-1", 200)] {
        let path = format!("/api/users/{user}/presence");
        let told = answer(service.anonymous("GET", &path).bearer_auth(&key)).await;
        assert_eq!(told.status, status, "{told:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_nobody_away() {
    let (store, service, _) = started().await;
    store.answer([Answer::Fails(BackendError::StoreFull("words"))]);
    let refused = answer(service.post("/api/users/alice/disconnect", "{}")).await;
    check("full", &refused, 507, "store_full", &[]);
    store.answer([Answer::Fails(BackendError::StoreFull("users"))]);
    let refused = answer(service.request("GET", "/api/users/alice/presence")).await;
    check("full", &refused, 507, "store_full", &[]);
}
