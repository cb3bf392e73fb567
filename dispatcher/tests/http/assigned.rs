//! Putting users on channels, and taking them off.

use std::sync::Arc;

use carillon_common::{
    auth::ApiKeys,
    backend::BackendError,
    ids::{ChannelName, UserId},
    settings::{ApiKeySettings, Scope, Settings},
};
use serde_json::{Value, json};

use crate::{
    service::{Service, answer, check},
    store::{Answer, SENT, ToldStore},
};

/// A key for the shops' users and channels.
fn limited(settings: &mut Settings) -> String {
    let (key, hash) = ApiKeys::generate();
    settings.auth.api_keys.push(ApiKeySettings {
        name: "limited".to_owned(),
        hash,
        scopes: vec![Scope::Read, Scope::Broadcast],
        users: Some(vec!["shop-*".to_owned()]),
        channels: Some(vec!["shops.*".to_owned()]),
        sends_per_second: None,
        sends_burst: None,
    });
    key.expose().clone()
}

async fn started() -> (Arc<ToldStore>, Service, String) {
    let store = Arc::new(ToldStore::default());
    let mut key = String::new();
    let service = Service::start_with(store.clone(), |settings| key = limited(settings)).await;
    (store, service, key)
}

fn assigned(user: &str, channel: &str, is_on: bool) -> (UserId, ChannelName, bool) {
    (user.parse().unwrap(), channel.parse().unwrap(), is_on)
}

#[tokio::test]
async fn one_user_is_put_on_a_channel_and_taken_off_it() {
    let (store, service, _) = started().await;
    let path = "/api/users/a%2Fb/channels/orders.eu";
    for (method, repeated, changed) in [
        ("PUT", false, true),
        ("PUT", true, false),
        ("DELETE", false, true),
    ] {
        store.answer([Answer::Is(carillon_common::backend::Sent {
            repeated,
            ..SENT
        })]);
        let told = answer(service.request(method, path)).await;
        let expected =
            json!({"status": "ok", "user": "a/b", "channel": "orders.eu", "changed": changed});
        assert_eq!((told.status, told.json()), (200, expected));
    }
    let on = assigned("a/b", "orders.eu", true);
    assert_eq!(
        store.assigned(),
        [on.clone(), on, assigned("a/b", "orders.eu", false)]
    );
    let told = answer(service.request("GET", "/api/users/nobody/channels")).await;
    assert_eq!(
        (told.status, told.json()),
        (200, json!({"user": "nobody", "channels": []}))
    );
}

#[tokio::test]
async fn names_rights_and_limits_are_told_and_nothing_is_changed() {
    let (store, service, key) = started().await;
    for path in [
        "/api/users/%ff/channels/orders",
        "/api/users/a/channels/no%20channel",
        "/api/users/a/channels/*",
    ] {
        let refused = answer(service.request("PUT", path)).await;
        check(path, &refused, 400, "invalid_path", &[]);
    }
    let path = "/api/users/shop-1/channels/shops.eu?x=1";
    check(
        "query",
        &answer(service.request("PUT", path)).await,
        400,
        "unexpected_query",
        &[],
    );
    let reader = service
        .anonymous("PUT", "/api/users/a/channels/b")
        .bearer_auth(&service.reader);
    check(
        "scope",
        &answer(reader).await,
        403,
        "insufficient_scope",
        &[],
    );
    for (path, code) in [
        ("/api/users/alice/channels/shops.eu", "user_forbidden"),
        ("/api/users/shop-1/channels/orders", "channel_forbidden"),
    ] {
        for method in ["PUT", "DELETE"] {
            let refused = answer(service.anonymous(method, path).bearer_auth(&key)).await;
            assert_eq!(refused.status, 403, "{refused:?}");
            assert_eq!(refused.json()["code"], code);
        }
    }
    assert!(store.assigned().is_empty());
    store.answer([Answer::Fails(BackendError::TooManyChannels)]);
    let refused = answer(service.request("PUT", "/api/users/a/channels/b")).await;
    check("full", &refused, 409, "too_many_channels", &[]);
}

#[tokio::test]
async fn of_many_users_each_has_what_became_of_it() {
    let (store, service, key) = started().await;
    let path = "/api/channels/shops.eu/users";
    let post = |body: Value| {
        let request = service.anonymous("POST", path).bearer_auth(&key);
        request
            .header("content-type", "application/json")
            .body(body.to_string())
    };
    store.answer([
        Answer::Is(SENT),
        Answer::Fails(BackendError::TooManyChannels),
    ]);
    let body = json!({"action": "add", "users": ["shop-1", "alice", "shop-2", "shop-3"]});
    let told = answer(post(body)).await;
    assert_eq!(told.status, 200, "{told:?}");
    let told = told.json();
    assert_eq!(
        (
            &told["channel"],
            &told["done"],
            &told["failed"],
            &told["unknown"]
        ),
        (&json!("shops.eu"), &json!(2), &json!(2), &json!(0))
    );
    let results = told["results"].as_array().unwrap();
    let users: Vec<_> = results
        .iter()
        .map(|it| it["user"].as_str().unwrap())
        .collect();
    assert_eq!(users, ["shop-1", "alice", "shop-2", "shop-3"]);
    assert_eq!(results[1]["problem"]["code"], "user_forbidden");
    let full = results
        .iter()
        .filter(|it| it["problem"]["code"] == "too_many_channels");
    assert_eq!(full.count(), 1);
    assert_eq!(store.assigned().len(), 2);

    let told = answer(post(json!({"action": "remove", "users": ["shop-1"]}))).await;
    assert_eq!(
        told.json()["results"][0],
        json!({"user": "shop-1", "status": "ok", "changed": true})
    );
    for (body, code, pointers) in [
        (json!({"action": "add"}), "missing_field", &["/users"][..]),
        (
            json!({"action": "put", "users": ["shop-1"]}),
            "invalid_field",
            &["/action"],
        ),
    ] {
        check("body", &answer(post(body)).await, 422, code, pointers);
    }
    let many: Vec<String> = (0..1_001).map(|at| format!("shop-{at}")).collect();
    let refused = answer(post(json!({"action": "add", "users": many}))).await;
    check("too many", &refused, 422, "invalid_field", &["/users"]);
    let path = "/api/channels/orders/users";
    let other = service.anonymous("POST", path).bearer_auth(&key);
    let other = other
        .header("content-type", "application/json")
        .body(r#"{"action":"add","users":["shop-1"]}"#);
    let refused = answer(other).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (403, &json!("channel_forbidden"))
    );
}
