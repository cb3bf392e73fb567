//! Several notifications in one request: to several users, and as a batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_common::{
    auth::ApiKeys,
    backend::{BackendError, Sent},
    settings::{ApiKeySettings, Scope},
};
use serde_json::{Value, json};

use crate::{
    service::{Answer as Read, Service, answer, check},
    store::{Answer, SENT, ToldStore},
};

const SEND: &str = "/api/notifications/send";
const BATCH: &str = "/api/notifications/batch";

async fn started() -> (Arc<ToldStore>, Service) {
    let store = Arc::new(ToldStore::default());
    let service = Service::start_with(store.clone(), |settings| {
        settings.dispatcher.request_timeout = Duration::from_millis(300);
    })
    .await;
    (store, service)
}

fn to(user: &str, key: Option<&str>) -> Value {
    json!({"target_user": user, "notification_type": "t", "content": user, "idempotency_key": key})
}

fn batch(notifications: &[Value]) -> String {
    json!({"notifications": notifications}).to_string()
}

fn to_all(users: &[&str]) -> String {
    json!({"target_users": users, "notification_type": "t", "content": "c"}).to_string()
}

/// `status` of each result, with the code of its problem.
fn statuses(answer: &Read) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let read = answer.json();
    let results = read["results"].as_array().unwrap();
    let counted = |status: &str| results.iter().filter(|it| it["status"] == status).count();
    for (field, status) in [
        ("accepted", "ok"),
        ("failed", "failed"),
        ("unknown", "unknown"),
    ] {
        assert_eq!(read[field], counted(status), "{read}");
    }
    let told = |result: &Value| match result["problem"]["code"].as_str() {
        None => result["status"].as_str().unwrap().to_owned(),
        Some(code) => format!("{} {code}", result["status"].as_str().unwrap()),
    };
    results.iter().map(told).collect()
}

fn repeated() -> Answer {
    Answer::Is(Sent {
        repeated: true,
        ..SENT
    })
}

#[tokio::test]
async fn each_of_a_batch_is_a_send_with_a_key_of_its_own() {
    let (store, service) = started().await;
    let both = batch(&[to("alice", Some("k1")), to("bob", None)]);
    let sent = answer(service.post(BATCH, both)).await;
    assert_eq!(statuses(&sent), ["ok", "ok"]);
    let orders = store.sends();
    let users: Vec<_> = orders.iter().map(|order| order.user.as_str()).collect();
    assert_eq!(users, ["alice", "bob"]);
    assert_eq!(orders[0].idempotency.key, "all\tk1");
    let results = &sent.json()["results"];
    for (at, order) in orders.iter().enumerate() {
        let result = &results[at];
        assert_eq!(result["id"], order.id.to_string());
        assert_eq!(result["target_user"], order.user.as_str());
        assert_eq!(
            (&result["cursor"], &result["outcome"]),
            (&json!("7-9"), &json!("routed"))
        );
        assert_eq!(
            (&result["devices"], &result["user_seen"]),
            (&json!(2), &json!(true))
        );
        assert_eq!(result["idempotent_replayed"], false);
    }

    // What is sent again alone is the same, whatever is beside it.
    store.answer([Answer::Is(SENT), repeated()]);
    let again = batch(&[to("carol", None), to("alice", Some("k1"))]);
    let again = answer(service.post(BATCH, again)).await;
    assert_eq!(again.json()["results"][1]["idempotent_replayed"], true);
    let last = store.sends().pop().unwrap();
    assert_eq!(
        (last.id, &last.idempotency.body_hash),
        (orders[0].id, &orders[0].idempotency.body_hash)
    );
}

#[tokio::test]
async fn what_is_wrong_with_one_leaves_the_others() {
    let (store, service) = started().await;
    let mut wrong = to("alice", Some("k\u{e5}"));
    wrong["colour"] = "red".into();
    let all = [
        to("alice", None),
        wrong,
        json!("alice"),
        json!({"target_users": ["alice"], "notification_type": "t", "content": ""}),
        to("bob", None),
    ];
    let sent = answer(service.post(BATCH, batch(&all))).await;
    let invalid = "failed invalid_field";
    assert_eq!(statuses(&sent), ["ok", invalid, invalid, invalid, "ok"]);
    let read = sent.json();
    let pointers = |at: usize| -> Vec<String> {
        let errors = read["results"][at]["problem"]["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|it| it["pointer"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        pointers(1),
        [
            "/notifications/1/idempotency_key",
            "/notifications/1/colour"
        ]
    );
    assert_eq!(pointers(2), ["/notifications/2"]);
    assert_eq!(
        pointers(3),
        [
            "/notifications/3/target_user",
            "/notifications/3/target_users"
        ]
    );
    let problem = &read["results"][2]["problem"];
    assert_eq!(problem["request_id"], sent.header("x-request-id").unwrap());
    assert_eq!(store.sends().len(), 2);
}

#[tokio::test]
async fn the_stores_word_on_each_is_told() {
    let (store, service) = started().await;
    store.answer([
        Answer::Is(SENT),
        Answer::Fails(BackendError::InboxFull),
        Answer::Fails(BackendError::IdempotencyMismatch),
        repeated(),
        Answer::Is(Sent {
            cursor: None,
            devices: 0,
            ..SENT
        }),
    ]);
    let all = ["a", "b", "c", "d", "e"].map(|user| to(user, Some("k")));
    let sent = answer(service.post(BATCH, batch(&all))).await;
    let expected = [
        "ok",
        "failed inbox_full",
        "failed idempotency_mismatch",
        "ok",
        "ok",
    ];
    assert_eq!(statuses(&sent), expected);
    let results = &sent.json()["results"];
    assert_eq!(results[3]["idempotent_replayed"], true);
    assert_eq!(
        (&results[4]["cursor"], &results[4]["outcome"]),
        (&Value::Null, &json!("dropped"))
    );
}

#[tokio::test]
async fn after_a_doubt_a_users_next_ones_are_not_tried() {
    let (store, service) = started().await;
    // The first one's answer never comes; the other user's do.
    store.answer([Answer::Silence]);
    let all = [
        to("alice", None),
        to("alice", None),
        to("bob", None),
        to("bob", None),
    ];
    let began = Instant::now();
    let sent = answer(service.post(BATCH, batch(&all))).await;
    let expected = ["unknown outcome_unknown", "failed unavailable", "ok", "ok"];
    assert_eq!(statuses(&sent), expected);
    let problem = &sent.json()["results"][0]["problem"];
    assert_eq!(
        (&problem["status"], &problem["retryable"]),
        (&json!(503), &json!(true))
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let of = |user: &str| {
        store
            .sends()
            .iter()
            .filter(|it| it.user.as_str() == user)
            .count()
    };
    assert_eq!((of("alice"), of("bob")), (1, 2));
}

#[tokio::test]
async fn those_to_one_user_stay_in_order_and_those_to_others_go_at_once() {
    let (store, service) = started().await;
    let all: Vec<_> = (0..100)
        .map(|number| {
            let mut one = to(["alice", "bob", "carol"][number % 3], None);
            one["content"] = number.to_string().into();
            one
        })
        .collect();
    let sent = answer(service.post(BATCH, batch(&all))).await;
    assert_eq!(statuses(&sent).len(), 100);
    let orders = store.sends();
    for user in ["alice", "bob", "carol"] {
        let own = orders.iter().filter(|order| order.user.as_str() == user);
        let numbers = own.map(|order| {
            let body: Value = serde_json::from_slice(&order.body).unwrap();
            body["content"].as_str().unwrap().parse::<u32>().unwrap()
        });
        assert!(numbers.is_sorted(), "{user}");
    }
}

#[tokio::test]
async fn bad_batches() {
    let (store, service) = started().await;
    let many: Vec<_> = (0..101).map(|_| to("alice", None)).collect();
    for (body, code, pointers) in [
        ("{}".to_owned(), "missing_field", &["/notifications"][..]),
        (
            r#"{"notifications":null}"#.to_owned(),
            "missing_field",
            &["/notifications"],
        ),
        (
            r#"{"notifications":{}}"#.to_owned(),
            "invalid_field",
            &["/notifications"],
        ),
        (
            r#"{"notifications":[]}"#.to_owned(),
            "invalid_field",
            &["/notifications"],
        ),
        (
            r#"{"notifications":[{}],"ttl":1}"#.to_owned(),
            "unknown_field",
            &["/ttl"],
        ),
        (batch(&many), "invalid_field", &["/notifications"]),
        ("[]".to_owned(), "invalid_field", &[""]),
    ] {
        let refused = answer(service.post(BATCH, body.clone())).await;
        check(&body, &refused, 422, code, pointers);
    }
    let keyed = service
        .post(BATCH, batch(&many[..1]))
        .header("idempotency-key", "k");
    let refused = answer(keyed).await;
    check("a key", &refused, 400, "invalid_idempotency_key", &[]);
    assert!(refused.text.contains("idempotency_key"), "{refused:?}");
    let refused = answer(service.request("POST", BATCH).body("{}")).await;
    check("no type", &refused, 415, "unsupported_media_type", &[]);
    let reader = service
        .anonymous("POST", BATCH)
        .bearer_auth(&service.reader);
    check(
        "scope",
        &answer(reader).await,
        403,
        "insufficient_scope",
        &[],
    );
    assert_eq!(store.sends().len(), 0);

    // Larger than one notification may be, and than a batch.
    let large = |bytes: usize| {
        let mut one = to("alice", None);
        one["content"] = "x".repeat(bytes).into();
        batch(&[one.clone(), one])
    };
    let sent = answer(service.post(BATCH, large(60_000))).await;
    assert_eq!(statuses(&sent), ["ok", "ok"]);
    let refused = answer(service.post(BATCH, large(300_000))).await;
    check("large", &refused, 413, "body_too_large", &[]);
}

#[tokio::test]
async fn several_users_are_sent_the_same_each_by_itself() {
    let (store, service) = started().await;
    store.answer([Answer::Is(SENT), Answer::Fails(BackendError::InboxFull)]);
    let keyed = |users: &[&str]| {
        service
            .post(SEND, to_all(users))
            .header("idempotency-key", "k")
    };
    let sent = answer(keyed(&["alice", "bob", "carol"])).await;
    assert_eq!(statuses(&sent), ["ok", "failed inbox_full", "ok"]);
    let orders = store.sends();
    let users: Vec<_> = orders.iter().map(|order| order.user.as_str()).collect();
    assert_eq!(users, ["alice", "bob", "carol"]);
    assert_ne!(orders[0].id, orders[2].id);
    for order in &orders {
        let body: Value = serde_json::from_slice(&order.body).unwrap();
        assert_eq!(body["target_user"], order.user.as_str());
        assert_eq!(order.idempotency.key, "all\tk");
    }
    let results = &sent.json()["results"];
    assert_eq!(
        (&results[1]["target_user"], &results[2]["id"]),
        (&json!("bob"), &json!(orders[2].id))
    );

    // The key holds for each user: the same to fewer of them is the same.
    answer(keyed(&["bob"])).await;
    let again = store.sends().pop().unwrap();
    let (first, again) = (&orders[1], &again);
    assert_eq!(
        (first.id, &first.idempotency.body_hash),
        (again.id, &again.idempotency.body_hash)
    );
    let other = to_all(&["bob"]).replace(r#""c""#, r#""d""#);
    answer(service.post(SEND, other).header("idempotency-key", "k")).await;
    let other = store.sends().pop().unwrap();
    assert_ne!(first.idempotency.body_hash, other.idempotency.body_hash);
}

#[tokio::test]
async fn bad_lists_of_users() {
    let (store, service) = started().await;
    let many: Vec<_> = (0..1_001).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let long = "u".repeat(256);
    for (case, body, code, pointers) in [
        ("none", to_all(&[]), "invalid_field", &["/target_users"][..]),
        ("many", to_all(&many), "invalid_field", &["/target_users"]),
        (
            "twice",
            to_all(&["a", "b", "a"]),
            "invalid_field",
            &["/target_users/2"],
        ),
        (
            "wrong",
            to_all(&["", "a", &long]),
            "invalid_field",
            &["/target_users/0", "/target_users/2"],
        ),
        (
            "no list",
            r#"{"target_users":"a","notification_type":"t","content":""}"#.to_owned(),
            "invalid_field",
            &["/target_users"],
        ),
        (
            "no texts",
            r#"{"target_users":["a",7],"notification_type":"t","content":""}"#.to_owned(),
            "invalid_field",
            &["/target_users/1"],
        ),
        (
            "both",
            r#"{"target_user":"b","target_users":["a"],"notification_type":"t","content":""}"#
                .to_owned(),
            "invalid_field",
            &["/target_users"],
        ),
        (
            "neither",
            r#"{"target_users":null,"notification_type":"t","content":""}"#.to_owned(),
            "missing_field",
            &["/target_user"],
        ),
    ] {
        let refused = answer(service.post(SEND, body)).await;
        check(case, &refused, 422, code, pointers);
    }
    assert_eq!(store.sends().len(), 0);
    let thousand = answer(service.post(SEND, to_all(&many[..1_000]))).await;
    assert_eq!(statuses(&thousand).len(), 1_000);
    assert_eq!(store.sends().len(), 1_000);
}

#[tokio::test]
async fn a_key_sends_to_those_whom_it_may() {
    let store = Arc::new(ToldStore::default());
    let (key, hash) = ApiKeys::generate();
    let service = Service::start_with(store.clone(), |settings| {
        let globs = |glob: &str| Some(vec![glob.to_owned()]);
        settings.auth.api_keys.push(ApiKeySettings {
            name: "limited".to_owned(),
            hash,
            scopes: vec![Scope::Send],
            users: globs("shop-*"),
            channels: globs("orders.*"),
            sends_per_second: None,
            sends_burst: None,
        });
    })
    .await;
    let post = async |path: &str, body: String| {
        let call = service.anonymous("POST", path).bearer_auth(key.expose());
        answer(call.header("content-type", "application/json").body(body)).await
    };
    let sent = post(SEND, to_all(&["shop-1", "alice", "shop-2"])).await;
    let forbidden = "failed user_forbidden";
    assert_eq!(statuses(&sent), ["ok", forbidden, "ok"]);
    let pointer = &sent.json()["results"][1]["problem"]["errors"][0]["pointer"];
    assert_eq!(pointer, "/target_users/1");
    let labelled = to_all(&["shop-1"]).replace('{', r#"{"channel":"billing","#);
    check(
        "label",
        &post(SEND, labelled).await,
        403,
        "channel_forbidden",
        &["/channel"],
    );

    let mut labelled = to("shop-1", None);
    labelled["channel"] = "billing".into();
    let all = [to("alice", None), to("shop-1", None), labelled];
    let sent = post(BATCH, batch(&all)).await;
    assert_eq!(
        statuses(&sent),
        [forbidden, "ok", "failed channel_forbidden"]
    );
    let read = sent.json();
    let pointer = |at: usize| read["results"][at]["problem"]["errors"][0]["pointer"].clone();
    assert_eq!(pointer(0), "/notifications/0/target_user");
    assert_eq!(pointer(2), "/notifications/2/channel");
    assert_eq!(store.sends().len(), 3);
}
