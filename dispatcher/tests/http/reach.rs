//! Services that may send to some users and channels alone, by key or by token.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use carillon_common::{
    auth::{ApiKeys, NewToken, mint},
    settings::{ApiKeySettings, IssuerSettings, Scope, Settings},
};
use serde_json::{Value, json};

use crate::{
    service::{Answer, Service, answer, check},
    store::ToldStore,
};

const SEND: &str = "/api/notifications/send";
const BROADCAST: &str = "/api/notifications/broadcast";

/// A key that may send to shops and about orders.
fn limited(settings: &mut Settings) -> String {
    let (key, hash) = ApiKeys::generate();
    let globs = |glob: &str| Some(vec![glob.to_owned()]);
    settings.auth.api_keys.push(ApiKeySettings {
        name: "limited".to_owned(),
        hash,
        scopes: vec![Scope::Send, Scope::Broadcast],
        users: globs("shop-*"),
        channels: globs("orders.*"),
        sends_per_second: None,
        sends_burst: None,
    });
    key.expose().clone()
}

async fn post(service: &Service, path: &str, bearer: &str, body: Value) -> Answer {
    let request = service.anonymous("POST", path).bearer_auth(bearer);
    answer(request.json(&body)).await
}

fn to(user: &str, label: Option<&str>) -> Value {
    json!({"target_user": user, "notification_type": "t", "content": "", "channel": label})
}

#[tokio::test]
async fn a_key_sends_to_whom_it_may() {
    let store = Arc::new(ToldStore::default());
    let mut key = String::new();
    let service = Service::start_with(store.clone(), |settings| key = limited(settings)).await;
    let channel =
        |name: Option<&str>| json!({"notification_type": "t", "content": "", "channel": name});
    let everyone = channel(None);
    for (case, path, body, code, pointer) in [
        (
            "another user",
            SEND,
            to("alice", None),
            "user_forbidden",
            "/target_user",
        ),
        (
            "nearly a shop",
            SEND,
            to("shop", None),
            "user_forbidden",
            "/target_user",
        ),
        (
            "another label",
            SEND,
            to("shop-1", Some("billing")),
            "channel_forbidden",
            "/channel",
        ),
        (
            "another channel",
            BROADCAST,
            channel(Some("orders")),
            "channel_forbidden",
            "/channel",
        ),
        (
            "everyone",
            BROADCAST,
            everyone.clone(),
            "channel_forbidden",
            "/channel",
        ),
    ] {
        let refused = post(&service, path, &key, body).await;
        check(case, &refused, 403, code, &[pointer]);
        assert_eq!(refused.header("www-authenticate"), None, "{case}");
    }
    let told = post(&service, SEND, &key, to("alice", None)).await;
    assert!(told.text.contains("alice"), "what is not allowed: {told:?}");
    assert_eq!(store.sends().len() + store.publishes().len(), 0);

    // What is wrong with the fields is told first, as to everybody.
    let wrong = post(&service, SEND, &key, json!({"target_user": "alice"})).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    for (path, body) in [
        (SEND, to("shop-1", None)),
        (SEND, to("shop-1", Some("orders.eu"))),
        (BROADCAST, channel(Some("orders.eu"))),
    ] {
        let sent = post(&service, path, &key, body).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    let all = post(&service, BROADCAST, &service.key, everyone).await;
    assert_eq!(all.status, 200, "{all:?}");
    // In the query, too.
    let query = format!("{BROADCAST}?notification_type=t&content=&channel=billing");
    let refused = answer(service.anonymous("POST", &query).bearer_auth(&key)).await;
    check("a query", &refused, 403, "channel_forbidden", &["/channel"]);
}

#[tokio::test]
async fn a_token_of_an_issuer_of_services_is_a_key() {
    let issuer = IssuerSettings {
        issuer: Some("https://id.example".to_owned()),
        audience: Some("api".to_owned()),
        scopes: Some(vec![Scope::Read]),
        ..IssuerSettings::hs256("readers", "0123456789abcdef0123456789abcdef")
    };
    let service = Service::start_with(Arc::new(ToldStore::default()), |settings| {
        settings.auth.issuers.push(issuer.clone());
    })
    .await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let token = |exp: i64| {
        let token = NewToken {
            sub: "reader",
            exp,
            ..NewToken::default()
        };
        mint(&issuer, &token).unwrap()
    };
    // It says no scope.
    let refused = post(&service, SEND, &token(now + 60), to("alice", None)).await;
    check("no scope", &refused, 403, "insufficient_scope", &[]);
    let expired = post(&service, SEND, &token(now - 3600), to("alice", None)).await;
    check("expired", &expired, 401, "unauthenticated", &[]);
    let challenge = expired.header("www-authenticate").unwrap();
    assert_eq!(challenge, r#"Bearer error="invalid_token""#);
    assert!(expired.text.contains("has expired"), "{expired:?}");
}
