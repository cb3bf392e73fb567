//! A user's inbox over REST, over the in-memory store: what is listed, what became of it, taking it back.

use std::time::Duration;

use carillon_common::{
    auth::ApiKeys,
    backend::{
        Limits,
        memory::{MemoryBackend, MemoryBounds},
    },
    settings::{ApiKeySettings, Scope},
};
use serde_json::{Value, json};

use crate::service::{Answer, Service, answer, check};

const INBOX: &str = "/api/users/alice/notifications";
const DEVICES: &str = "/api/users/alice/devices";

async fn start() -> Service {
    start_with(|_| ()).await
}

pub async fn start_with(change: impl FnOnce(&mut carillon_common::settings::Settings)) -> Service {
    let limits = Limits {
        inbox_ttl: Duration::from_secs(3600),
        inbox_max: 1_000,
        scheduled: 10,
        inbox_keep: 50,
        page: 100,
        devices: 16,
        device_ttl: Duration::from_secs(3600),
        connections: 100,
        kept: 100,
        assigned: 100,
        restore: Duration::from_secs(60),
        lease_ttl: Duration::from_secs(15),
        lease_renew: Duration::from_secs(5),
        isolation_deadline: Duration::ZERO,
    };
    let backend = MemoryBackend::new(limits, MemoryBounds::default());
    Service::start_with(backend, change).await
}

async fn get(service: &Service, path: &str) -> Answer {
    answer(service.request("GET", path)).await
}

async fn delete(service: &Service, path: &str) -> Answer {
    answer(service.request("DELETE", path)).await
}

async fn send(service: &Service, kind: &str, more: Value) -> (String, String) {
    let mut body = json!({"target_user": "alice", "notification_type": kind, "content": kind});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let sent = answer(service.post("/api/notifications/send", body.to_string())).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let text = |name: &str| sent.json()[name].as_str().unwrap().to_owned();
    (text("id"), text("cursor"))
}

fn kinds(page: &Value) -> Vec<&str> {
    let all = page["notifications"].as_array().unwrap().iter();
    all.map(|it| it["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_inbox_is_listed_page_by_page() {
    let service = start().await;
    assert_eq!(
        get(&service, INBOX).await.json(),
        json!({"notifications": [], "next": null})
    );
    for kind in ["a", "b", "a", "c"] {
        send(&service, kind, json!({"data": {"n": 1}})).await;
    }
    let all = get(&service, INBOX).await.json();
    assert_eq!(
        (kinds(&all), &all["next"]),
        (vec!["a", "b", "a", "c"], &Value::Null)
    );
    let first = &all["notifications"][0];
    for name in ["id", "cursor", "stored_at", "expires_at", "timestamp"] {
        assert!(first[name].is_string(), "{first}");
    }
    assert_eq!(
        (&first["target_user"], &first["data"]["n"]),
        (&json!("alice"), &json!(1))
    );

    let page = get(&service, &format!("{INBOX}?limit=3&order=newest"))
        .await
        .json();
    assert_eq!(kinds(&page), ["c", "a", "b"]);
    let next = page["next"].as_str().unwrap();
    let rest = get(
        &service,
        &format!("{INBOX}?limit=3&order=newest&after={next}"),
    )
    .await
    .json();
    assert_eq!((kinds(&rest), &rest["next"]), (vec!["a"], &Value::Null));
    let of_type = get(&service, &format!("{INBOX}?type=a")).await.json();
    assert_eq!(kinds(&of_type), ["a", "a"]);
}

#[tokio::test]
async fn what_became_of_a_notification_is_told_and_it_can_be_taken_back() {
    let service = start().await;
    let (id, cursor) = send(&service, "a", json!({})).await;
    let (_, other) = send(&service, "b", json!({})).await;
    for which in [&id, &cursor] {
        let receipt = get(&service, &format!("{INBOX}/{which}")).await;
        let told = receipt.json();
        assert_eq!((&told["id"], &told["cursor"]), (&json!(id), &json!(cursor)));
        assert_eq!(
            (&told["status"], &told["devices"]),
            (&json!("queued"), &json!([]))
        );
        assert!(told["accepted_at"].is_string() && told["expires_at"].is_string());
    }
    for (which, outcome) in [(&id, "retracted"), (&id, "left"), (&cursor, "left")] {
        let retracted = delete(&service, &format!("{INBOX}/{which}")).await.json();
        let expected = json!({"status": "ok", "cursor": cursor, "outcome": outcome, "devices": 0});
        assert_eq!(retracted, expected);
    }
    let told = get(&service, &format!("{INBOX}/{cursor}")).await.json();
    assert_eq!(told["status"], "retracted");
    assert_eq!(kinds(&get(&service, INBOX).await.json()), ["b"]);
    assert_eq!(
        get(&service, &format!("{INBOX}/{other}")).await.json()["status"],
        "queued"
    );
}

/// Over a store that knows nobody; what it knows is tested where there are gateways.
#[tokio::test]
async fn devices_are_told_with_the_end_of_the_inbox() {
    let service = start().await;
    let nobody = json!({"user": "alice", "last": null, "devices": []});
    assert_eq!(get(&service, DEVICES).await.json(), nobody);
    let (_, cursor) = send(&service, "a", json!({})).await;
    let told = json!({"user": "alice", "last": cursor, "devices": []});
    assert_eq!(get(&service, DEVICES).await.json(), told);
    let query = get(&service, &format!("{DEVICES}?limit=1")).await;
    check("query", &query, 400, "unexpected_query", &[]);
}

#[tokio::test]
async fn the_last_one_of_a_collapse_key_stays() {
    let service = start().await;
    let key = || json!({"collapse_key": "order-1"});
    let (_, first) = send(&service, "packed", key()).await;
    send(&service, "other", json!({})).await;
    send(&service, "shipped", key()).await;
    assert_eq!(
        kinds(&get(&service, INBOX).await.json()),
        ["other", "shipped"]
    );
    let told = get(&service, &format!("{INBOX}/{first}")).await.json();
    assert_eq!(told["status"], "replaced");
    for (key, ttl) in [("a b", "1m"), ("", "1m"), ("k", "0s")] {
        let body = json!({
            "target_user": "alice", "notification_type": "t", "content": "", "collapse_key": key, "ttl": ttl,
        });
        let refused = answer(service.post("/api/notifications/send", body.to_string())).await;
        check(key, &refused, 422, "invalid_field", &["/collapse_key"]);
    }
}

#[tokio::test]
async fn a_user_is_forgotten() {
    let service = start().await;
    let (id, _) = send(&service, "a", json!({})).await;
    let erased = delete(&service, "/api/users/alice").await.json();
    assert_eq!(
        erased,
        json!({"status": "ok", "erased": true, "connections": 0})
    );
    let again = delete(&service, "/api/users/alice").await.json();
    assert_eq!(again["erased"], false);
    assert_eq!(kinds(&get(&service, INBOX).await.json()), [""; 0]);
    let gone = get(&service, &format!("{INBOX}/{id}")).await;
    check("erased", &gone, 404, "receipt_gone", &[]);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let service = start().await;
    let (id, _) = send(&service, "a", json!({})).await;
    for (query, pointer) in [
        ("after=x", "/after"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("order=any", "/order"),
    ] {
        let refused = get(&service, &format!("{INBOX}?{query}")).await;
        check(query, &refused, 422, "invalid_field", &[pointer]);
    }
    let unknown = get(&service, &format!("{INBOX}?before=1-1")).await;
    check("before", &unknown, 422, "unknown_field", &["/before"]);
    let foreign = get(&service, &format!("{INBOX}?after=9007199254740991-7")).await;
    check("foreign", &foreign, 410, "cursor_gone", &[]);

    let long = "u".repeat(256);
    for (case, path) in [
        ("a long name", format!("/api/users/{long}/notifications")),
        ("not UTF-8", "/api/users/%ff/notifications".to_owned()),
        ("no id", format!("{INBOX}/latest")),
        ("not UTF-8 either", format!("{INBOX}/%ff")),
    ] {
        check(case, &get(&service, &path).await, 400, "invalid_path", &[]);
    }
    let other = "0199d2c4-7f3a-7000-8000-000000000000";
    for which in [other, "9007199254740991-7"] {
        let path = format!("{INBOX}/{which}");
        check(which, &get(&service, &path).await, 404, "receipt_gone", &[]);
        check(
            which,
            &delete(&service, &path).await,
            404,
            "receipt_gone",
            &[],
        );
    }
    let query = get(&service, &format!("{INBOX}/{id}?verbose=1")).await;
    check("a query", &query, 400, "unexpected_query", &[]);
    let query = delete(&service, "/api/users/alice?really=1").await;
    check("a query", &query, 400, "unexpected_query", &[]);
    assert_eq!(kinds(&get(&service, INBOX).await.json()), ["a"]);
}

#[tokio::test]
async fn each_route_needs_its_scope_and_its_reach() {
    let mut limited = String::new();
    let service = start_with(|settings| {
        let (key, hash) = ApiKeys::generate();
        limited = key.expose().clone();
        settings.auth.api_keys.push(ApiKeySettings {
            name: "limited".to_owned(),
            hash,
            scopes: vec![Scope::Send, Scope::Read, Scope::Admin],
            users: Some(vec!["bob*".to_owned()]),
            channels: None,
            sends_per_second: None,
            sends_burst: None,
        });
    })
    .await;
    let (id, _) = send(&service, "a", json!({})).await;
    let one = format!("{INBOX}/{id}");
    for (method, path, key, code) in [
        ("GET", INBOX, &service.other, "insufficient_scope"),
        ("GET", DEVICES, &service.other, "insufficient_scope"),
        ("GET", DEVICES, &limited, "user_forbidden"),
        ("GET", &one, &service.other, "insufficient_scope"),
        ("DELETE", &one, &service.reader, "insufficient_scope"),
        (
            "DELETE",
            "/api/users/alice",
            &service.other,
            "insufficient_scope",
        ),
        ("GET", INBOX, &limited, "user_forbidden"),
        ("GET", &one, &limited, "user_forbidden"),
        ("DELETE", &one, &limited, "user_forbidden"),
        ("DELETE", "/api/users/alice", &limited, "user_forbidden"),
    ] {
        let refused = answer(service.anonymous(method, path).bearer_auth(key)).await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, code),
            "{method} {path}"
        );
    }
    // Nothing of names is told to strangers.
    let stranger = answer(service.anonymous("GET", "/api/users/%ff/notifications")).await;
    assert_eq!(stranger.status, 401);
    let bob = service.anonymous("GET", "/api/users/bobby/notifications");
    assert_eq!(answer(bob.bearer_auth(&limited)).await.status, 200);
    assert_eq!(kinds(&get(&service, INBOX).await.json()), ["a"]);
}
