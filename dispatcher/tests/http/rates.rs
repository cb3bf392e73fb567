//! How fast services may send and users may be sent to, as callers see it.

use std::{sync::Arc, time::Duration};

use carillon_common::{
    auth::ApiKeys,
    backend::{
        Backend, limits,
        memory::{MemoryBackend, MemoryBounds},
    },
    settings::{ApiKeySettings, Auto, Scope, Settings},
};
use serde_json::json;

use crate::{
    service::{Answer, Service, answer, check},
    store::ToldStore,
};

const SEND: &str = "/api/notifications/send";
const BATCH: &str = "/api/notifications/batch";
const BROADCAST: &str = "/api/notifications/broadcast";

fn memory() -> Arc<dyn Backend> {
    MemoryBackend::new(limits(&Settings::default()), MemoryBounds::default())
}

async fn send(service: &Service, key: &str, user: &str, repeat: Option<&str>) -> Answer {
    let body = json!({"target_user": user, "notification_type": "t", "content": ""});
    let mut request = service.anonymous("POST", SEND).bearer_auth(key).json(&body);
    if let Some(repeat) = repeat {
        request = request.header("idempotency-key", repeat);
    }
    answer(request).await
}

async fn broadcast(service: &Service, key: &str) -> Answer {
    let body = json!({"notification_type": "t", "content": ""});
    let request = service.anonymous("POST", BROADCAST).bearer_auth(key);
    answer(request.json(&body)).await
}

/// `r` and `t` of a limit.
fn left(answer: &Answer, limit: &str) -> (u32, u32) {
    let field = answer.header("ratelimit").unwrap();
    let item = field.split(", ").find_map(|item| {
        let rest = item.strip_prefix(&format!("\"{limit}\";r="))?;
        rest.split_once(";t=")
    });
    let (left, whole_in) = item.unwrap_or_else(|| panic!("no {limit} in {field}"));
    (left.parse().unwrap(), whole_in.parse().unwrap())
}

#[tokio::test]
async fn without_a_limit_nothing_is_told() {
    let service = Service::start(memory()).await;
    for answer in [
        send(&service, &service.key, "alice", None).await,
        broadcast(&service, &service.key).await,
    ] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit"), None);
        assert_eq!(answer.header("ratelimit-policy"), None);
    }
}

#[tokio::test]
async fn one_too_many_is_refused_and_nothing_is_written() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start_with(store.clone(), |settings| {
        settings.dispatcher.sends_per_user = 1;
        settings.dispatcher.sends_per_user_burst = Auto::Value(2);
    })
    .await;
    for expected in [1, 0] {
        let sent = send(&service, &service.key, "alice", None).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        assert_eq!(sent.header("ratelimit-policy"), Some("\"user\";q=2;w=2"));
        assert_eq!(left(&sent, "user").0, expected);
    }
    let written = store.sends().len();
    let refused = send(&service, &service.key, "alice", None).await;
    check("the third", &refused, 429, "rate_limited", &[]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"user\";q=2;w=2"));
    assert_eq!(left(&refused, "user").0, 0);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("1 notifications a second") && detail.contains("\"user\""));
    assert_eq!(store.sends().len(), written);
    // Others are not slowed, and who sends does not count.
    assert_eq!(send(&service, &service.key, "bob", None).await.status, 200);
    let by_other = send(&service, &service.other, "alice", None).await;
    assert_eq!(by_other.status, 429);
    let metrics = reqwest::get(format!("http://{}/metrics", service.admin));
    let metrics = metrics.await.unwrap().text().await.unwrap();
    for line in [
        "carillon_dispatcher_rate_limited_total{limit=\"user\"} 2",
        "carillon_dispatcher_rate_limited_total{limit=\"key\"} 0",
        "carillon_dispatcher_problems_total{code=\"rate_limited\"} 2",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}");
    }
}

#[tokio::test]
async fn a_request_for_several_tells_what_is_left_of_its_services_limit() {
    let service = Service::start_with(memory(), |settings| {
        settings.dispatcher.sends_per_key = 1;
        settings.dispatcher.sends_per_key_burst = Auto::Value(8);
        settings.dispatcher.sends_per_user = 1;
        settings.dispatcher.sends_per_user_burst = Auto::Value(100);
    })
    .await;
    let several = json!({"target_users": ["a", "b", "c"], "notification_type": "t", "content": ""});
    let one = json!({"target_user": "a", "notification_type": "t", "content": ""});
    let batch = json!({"notifications": [one, one]});
    for (path, body, expected) in [(SEND, several, 5), (BATCH, batch, 3)] {
        let told = answer(service.post(path, body.to_string())).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.header("ratelimit-policy"), Some("\"key\";q=8;w=8"));
        assert_eq!(left(&told, "key").0, expected, "{path}");
    }
}

#[tokio::test]
async fn a_service_is_limited_by_its_name() {
    let (first, first_hash) = ApiKeys::generate();
    let (second, second_hash) = ApiKeys::generate();
    let (free, free_hash) = ApiKeys::generate();
    let service = Service::start_with(memory(), |settings| {
        settings.dispatcher.sends_per_key = 1;
        settings.dispatcher.sends_per_key_burst = Auto::Value(4);
        let key = |name: &str, hash: String, rate| ApiKeySettings {
            name: name.into(),
            hash,
            scopes: vec![Scope::Send, Scope::Broadcast],
            users: None,
            channels: None,
            sends_per_second: rate,
            sends_burst: None,
        };
        settings.auth.api_keys.extend([
            key("shop", first_hash, None),
            key("shop", second_hash, None),
            key("free", free_hash, Some(0)),
        ]);
    })
    .await;
    let (first, second) = (first.expose(), second.expose());
    // A repetition costs as well, and so does a broadcast.
    for expected in [3, 2] {
        let sent = send(&service, first, "alice", Some("once")).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        assert_eq!(left(&sent, "key").0, expected);
    }
    assert_eq!(left(&broadcast(&service, second).await, "key").0, 1);
    assert_eq!(left(&send(&service, second, "bob", None).await, "key").0, 0);
    for key in [first, second] {
        let refused = send(&service, key, "carol", None).await;
        check("beyond it", &refused, 429, "rate_limited", &[]);
        let refused = broadcast(&service, key).await;
        check("beyond it", &refused, 429, "rate_limited", &[]);
    }
    assert_eq!(
        send(&service, &service.key, "carol", None).await.status,
        200
    );
    for _ in 0..20 {
        let sent = send(&service, free.expose(), "carol", None).await;
        assert_eq!((sent.status, sent.header("ratelimit")), (200, None));
    }
    // What is not a send at all costs nothing, and what comes later goes through.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let invalid = service.anonymous("POST", SEND).bearer_auth(first);
    let invalid = answer(invalid.json(&json!({"target_user": "alice"}))).await;
    assert_eq!(invalid.status, 422);
    assert_eq!(send(&service, first, "alice", None).await.status, 200);
}

#[tokio::test]
async fn both_limits_are_told_and_a_refusal_by_one_costs_nothing_of_the_other() {
    let service = Service::start_with(memory(), |settings| {
        settings.dispatcher.sends_per_key = 10;
        settings.dispatcher.sends_per_key_burst = Auto::Value(100);
        settings.dispatcher.sends_per_user = 1;
    })
    .await;
    let sent = send(&service, &service.key, "alice", None).await;
    assert_eq!(
        sent.header("ratelimit-policy"),
        Some("\"key\";q=100;w=10, \"user\";q=1;w=1")
    );
    let (before, _) = left(&sent, "key");
    for _ in 0..10 {
        let refused = send(&service, &service.key, "alice", None).await;
        assert_eq!(refused.status, 429);
        assert!(left(&refused, "key").0 >= before);
        assert_eq!(left(&refused, "user").0, 0);
    }
}
