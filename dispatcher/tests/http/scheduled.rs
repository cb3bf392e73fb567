//! Sends for later over REST, over the in-memory store: taken, listed, cancelled, delivered.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carillon_common::notification::rfc3339;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    inboxes,
    service::{Answer, Service, answer, check},
};

const SEND: &str = "/api/notifications/send";
const SCHEDULED: &str = "/api/users/alice/scheduled";
const INBOX: &str = "/api/users/alice/notifications";
const SOON: Duration = Duration::from_secs(10);

/// So many milliseconds from now.
fn after(ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    rfc3339(i64::try_from(now.as_millis()).unwrap() + ms)
}

fn body(content: &str, more: &Value) -> Value {
    let mut body = json!({"target_user": "alice", "notification_type": "t", "content": content});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn send(service: &Service, content: &str, more: Value, key: Option<&str>) -> Answer {
    let mut request = service.post(SEND, body(content, &more).to_string());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    answer(request).await
}

/// Accepted for later: its id.
async fn schedule(service: &Service, content: &str, ms: i64) -> String {
    let sent = send(service, content, json!({"deliver_at": after(ms)}), None).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    sent.json()["id"].as_str().unwrap().to_owned()
}

async fn get(service: &Service, path: &str) -> Answer {
    answer(service.request("GET", path)).await
}

async fn cancel(service: &Service, id: &str) -> Answer {
    answer(service.request("DELETE", &format!("{SCHEDULED}/{id}"))).await
}

fn contents(page: &Value) -> Vec<&str> {
    let all = page["notifications"].as_array().unwrap().iter();
    all.map(|it| it["content"].as_str().unwrap()).collect()
}

/// Waits until so many are in the inbox.
async fn delivered(service: &Service, count: usize) -> Value {
    let start = Instant::now();
    loop {
        let inbox = get(service, INBOX).await.json();
        if contents(&inbox).len() >= count {
            return inbox;
        }
        assert!(start.elapsed() < SOON, "{inbox}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_for_later_waits_and_then_is_in_the_inbox() {
    let service = inboxes::start_with(|_| ()).await;
    let at = after(1_200);
    let more = json!({"deliver_at": at, "ttl": "1m", "data": {"n": 1.50}, "collapse_key": "k"});
    let sent = send(&service, "later", more, None).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    let sent = sent.json();
    assert_eq!(
        (&sent["status"], &sent["outcome"], &sent["cursor"]),
        (&json!("ok"), &json!("scheduled"), &Value::Null)
    );
    assert_eq!(
        (&sent["deliver_at"], &sent["devices"]),
        (&json!(at), &json!(0))
    );
    let id = sent["id"].as_str().unwrap();

    let page = get(&service, SCHEDULED).await.json();
    let waiting = &page["notifications"][0];
    assert_eq!(
        (&waiting["id"], &waiting["deliver_at"]),
        (&json!(id), &json!(at))
    );
    assert_eq!(
        (&waiting["timestamp"], &waiting["collapse_key"]),
        (&json!(at), &json!("k"))
    );
    assert!(
        waiting["accepted_at"].as_str().unwrap() < at.as_str(),
        "{waiting}"
    );
    let receipt = get(&service, &format!("{INBOX}/{id}")).await.json();
    assert_eq!(
        (
            &receipt["status"],
            &receipt["cursor"],
            &receipt["deliver_at"]
        ),
        (&json!("scheduled"), &Value::Null, &json!(at))
    );
    assert_eq!(receipt["expires_at"], waiting["expires_at"]);
    assert_eq!(contents(&get(&service, INBOX).await.json()), [""; 0]);

    let inbox = delivered(&service, 1).await;
    let came = &inbox["notifications"][0];
    assert_eq!((&came["id"], &came["timestamp"]), (&json!(id), &json!(at)));
    assert!(
        came["stored_at"].as_str().unwrap() >= at.as_str(),
        "early: {came}"
    );
    assert_eq!(came["expires_at"], waiting["expires_at"]);
    assert_eq!(contents(&get(&service, SCHEDULED).await.json()), [""; 0]);
    let receipt = get(&service, &format!("{INBOX}/{id}")).await.json();
    assert_eq!(
        (&receipt["status"], &receipt["cursor"]),
        (&json!("queued"), &came["cursor"])
    );
    assert!(receipt.get("deliver_at").is_none(), "{receipt}");
    let late = cancel(&service, id).await;
    check("it came", &late, 404, "delivered_already", &[]);
    let cursor = came["cursor"].as_str().unwrap();
    assert!(late.text.contains(cursor), "{}", late.text);
}

#[tokio::test]
async fn a_repeated_key_is_answered_alike_before_and_after() {
    let service = inboxes::start_with(|_| ()).await;
    let more = json!({"deliver_at": after(500)});
    let first = send(&service, "once", more.clone(), Some("k")).await;
    let again = send(&service, "once", more.clone(), Some("k")).await;
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (202, None)
    );
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (202, Some("true"))
    );
    assert_eq!(first.json(), again.json());
    let other = send(&service, "other", more.clone(), Some("k")).await;
    check("another", &other, 422, "idempotency_mismatch", &[]);
    delivered(&service, 1).await;
    let after = send(&service, "once", more, Some("k")).await;
    assert_eq!((after.status, after.json()), (202, first.json()));
    assert_eq!(contents(&delivered(&service, 1).await), ["once"]);
}

#[tokio::test]
async fn what_waits_is_listed_page_by_page() {
    let service = inboxes::start_with(|_| ()).await;
    for (content, ms) in [("c", 90_000), ("a", 60_000), ("b", 70_000)] {
        schedule(&service, content, ms).await;
    }
    let first = get(&service, &format!("{SCHEDULED}?limit=2")).await.json();
    assert_eq!(contents(&first), ["a", "b"]);
    let next = first["next"].as_str().unwrap();
    let last = get(&service, &format!("{SCHEDULED}?limit=2&after={next}"))
        .await
        .json();
    assert_eq!((contents(&last), &last["next"]), (vec!["c"], &Value::Null));
    for (query, code, pointer) in [
        ("after=1-2", "invalid_field", "/after"),
        ("limit=0", "invalid_field", "/limit"),
        ("limit=201", "invalid_field", "/limit"),
        ("order=newest", "unknown_field", "/order"),
    ] {
        let refused = get(&service, &format!("{SCHEDULED}?{query}")).await;
        check(query, &refused, 422, code, &[pointer]);
    }
}

#[tokio::test]
async fn what_waits_is_cancelled() {
    let service = inboxes::start_with(|_| ()).await;
    let id = schedule(&service, "never", 60_000).await;
    for outcome in ["cancelled", "left"] {
        let cancelled = cancel(&service, &id).await;
        let expected = json!({"status": "ok", "id": id, "outcome": outcome});
        assert_eq!((cancelled.status, cancelled.json()), (200, expected));
    }
    let receipt = get(&service, &format!("{INBOX}/{id}")).await.json();
    let expected = json!({
        "id": id, "cursor": null, "status": "retracted", "accepted_at": null, "expires_at": null, "devices": [],
    });
    assert_eq!(receipt, expected);
    let unknown = cancel(&service, "0199d2c4-7f3a-7000-8000-000000000000").await;
    check("unknown", &unknown, 404, "scheduled_gone", &[]);
    check(
        "a cursor",
        &cancel(&service, "5-9").await,
        400,
        "invalid_path",
        &[],
    );
    // Who may only read may not.
    let request = service.anonymous("DELETE", &format!("{SCHEDULED}/{id}"));
    let refused = answer(request.bearer_auth(&service.reader)).await;
    check("a reader", &refused, 403, "insufficient_scope", &[]);
}

#[tokio::test]
async fn what_cannot_wait_is_refused_and_changes_nothing() {
    let service = inboxes::start_with(|_| ()).await;
    let minute = 60_000;
    let month = 30 * 1_440 * minute;
    for (case, more, code, pointer) in [
        (
            "past",
            json!({"deliver_at": after(-2 * minute)}),
            "invalid_deliver_at",
            "/deliver_at",
        ),
        (
            "far",
            json!({"deliver_at": after(month + minute)}),
            "invalid_deliver_at",
            "/deliver_at",
        ),
        (
            "no time",
            json!({"deliver_at": "tomorrow"}),
            "invalid_field",
            "/deliver_at",
        ),
        (
            "no zone",
            json!({"deliver_at": "2026-01-01T00:00:00"}),
            "invalid_field",
            "/deliver_at",
        ),
        (
            "a list",
            json!({"deliver_at": []}),
            "invalid_field",
            "/deliver_at",
        ),
        (
            "ttl 0",
            json!({"deliver_at": after(minute), "ttl": 0}),
            "invalid_field",
            "/deliver_at",
        ),
    ] {
        let refused = send(&service, case, more, Some(case)).await;
        check(case, &refused, 422, code, &[pointer]);
    }
    let broadcast = json!({"notification_type": "t", "content": "", "deliver_at": after(minute)});
    let refused = answer(service.post("/api/notifications/broadcast", broadcast.to_string())).await;
    check(
        "a broadcast",
        &refused,
        422,
        "unknown_field",
        &["/deliver_at"],
    );
    assert!(
        refused.text.contains("only what is sent to users"),
        "{}",
        refused.text
    );

    // Ten are as many as may be.
    for number in 0..10 {
        schedule(&service, &number.to_string(), minute).await;
    }
    let more = json!({"deliver_at": after(minute)});
    let refused = send(&service, "one more", more, None).await;
    check("one more", &refused, 409, "too_many_scheduled", &[]);
    let listed = get(&service, SCHEDULED).await.json();
    assert_eq!(contents(&listed).len(), 10);
    assert_eq!(contents(&get(&service, INBOX).await.json()), [""; 0]);
}

#[tokio::test]
async fn several_at_once_may_be_for_later() {
    let service = inboxes::start_with(|_| ()).await;
    let at = after(60_000);
    let several = json!({
        "target_users": ["alice", "bob"], "notification_type": "t", "content": "c", "deliver_at": at,
    });
    let sent = answer(service.post(SEND, several.to_string())).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let results = sent.json()["results"].clone();
    for (result, user) in results.as_array().unwrap().iter().zip(["alice", "bob"]) {
        assert_eq!(
            (&result["outcome"], &result["deliver_at"]),
            (&json!("scheduled"), &json!(at))
        );
        let listed = get(&service, &format!("/api/users/{user}/scheduled"))
            .await
            .json();
        assert_eq!(listed["notifications"][0]["id"], result["id"]);
    }
    let batch = json!({"notifications": [
        body("later", &json!({"deliver_at": at})),
        body("now", &json!({})),
        body("past", &json!({"deliver_at": after(-3_600_000)})),
    ]});
    let sent = answer(service.post("/api/notifications/batch", batch.to_string()))
        .await
        .json();
    let outcomes: Vec<_> = sent["results"].as_array().unwrap().iter().collect();
    assert_eq!(outcomes[0]["outcome"], "scheduled", "{sent}");
    assert_eq!(outcomes[1]["outcome"], "queued", "{sent}");
    let problem = &outcomes[2]["problem"];
    assert_eq!(
        (&problem["code"], &problem["errors"][0]["pointer"]),
        (
            &json!("invalid_deliver_at"),
            &json!("/notifications/2/deliver_at")
        )
    );
}

#[tokio::test]
async fn nothing_comes_to_who_was_forgotten() {
    let service = inboxes::start_with(|_| ()).await;
    schedule(&service, "never", 300).await;
    let erased = answer(service.request("DELETE", "/api/users/alice"))
        .await
        .json();
    assert_eq!(erased["erased"], true);
    // Of others what is due comes, so that it would have come to her as well.
    let bob = json!({"target_user": "bob", "notification_type": "t", "content": "", "deliver_at": after(300)});
    answer(service.post(SEND, bob.to_string())).await;
    let start = Instant::now();
    loop {
        let inbox = get(&service, "/api/users/bob/notifications").await.json();
        if contents(&inbox).len() == 1 {
            break;
        }
        assert!(start.elapsed() < SOON);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(contents(&get(&service, INBOX).await.json()), [""; 0]);
}
