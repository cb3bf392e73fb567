//! What callers are answered, and what the store was asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_common::backend::{BackendError, Fault, FaultKind, Sent};
use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    service::{Service, answer, exchange},
    store::{Answer, SENT, ToldStore},
};

const SEND: &str = "/api/notifications/send";
const BROADCAST: &str = "/api/notifications/broadcast";
const BODY: &str = r#"{"target_user":"alice","notification_type":"t","content":"hi"}"#;

fn unavailable() -> Answer {
    Answer::Fails(BackendError::Unavailable(
        "redis-0.internal:6379 refused".to_owned(),
    ))
}

fn unknown() -> Answer {
    Answer::Fails(BackendError::Unknown(
        "redis-0.internal:6379 timed out".to_owned(),
    ))
}

async fn started() -> (Arc<ToldStore>, Service) {
    let store = Arc::new(ToldStore::default());
    let service = Service::start_with(store.clone(), |settings| {
        settings.dispatcher.request_timeout = Duration::from_millis(300);
    })
    .await;
    (store, service)
}

#[tokio::test]
async fn a_send_says_what_became_of_it() {
    let (store, service) = started().await;
    let sent = |devices, user_seen| Sent {
        devices,
        user_seen,
        ..SENT
    };
    let fleeting = |devices| Sent {
        cursor: None,
        ..sent(devices, true)
    };
    let stored = json!("7-9");
    let nowhere = json!(null);
    for (told, outcome, cursor) in [
        (sent(2, true), "routed", &stored),
        (sent(1, true), "routed", &stored),
        (sent(0, true), "queued", &stored),
        (sent(0, false), "queued", &stored),
        (fleeting(1), "routed", &nowhere),
        (fleeting(0), "dropped", &nowhere),
    ] {
        store.answer([Answer::Is(told.clone())]);
        let accepted = answer(service.post(SEND, BODY)).await;
        let read = accepted.json();
        assert_eq!(accepted.status, 200, "{accepted:?}");
        assert_eq!(accepted.header("content-type"), Some("application/json"));
        assert_eq!(read["status"], "ok");
        assert!(read["message"].is_string());
        assert_eq!(
            (&read["outcome"], &read["cursor"]),
            (&json!(outcome), cursor)
        );
        assert_eq!(read["devices"], told.devices);
        assert_eq!(read["user_seen"], told.user_seen);
        let order = store.sends().pop().unwrap();
        assert_eq!(read["id"], order.id.to_string());
        assert_eq!(order.id.get_version_num(), 7);
    }
}

#[tokio::test]
async fn a_broadcast_goes_to_everyone_or_to_a_channel_by_body_or_query() {
    let (store, service) = started().await;
    let path =
        format!("{BROADCAST}?notification_type=t&content=hi+%C3%A5&data=%7B%22n%22%3A1.0%7D");
    let everyone = answer(service.request("POST", &path)).await;
    let body = r#"{"notification_type":"t","content":"hi å","channel":"orders","data":{"n":1.0}}"#;
    let channel = answer(service.post(BROADCAST, body)).await;
    for accepted in [&everyone, &channel] {
        let read = accepted.json();
        assert_eq!(
            (accepted.status, &read["status"]),
            (200, &json!("ok")),
            "{accepted:?}"
        );
        assert_eq!(read["cursor"], "7-9");
    }
    let orders = store.publishes();
    assert!(orders[0].channel.is_broadcast());
    assert_eq!(orders[1].channel.as_str(), "orders");
    assert_eq!(channel.json()["id"], orders[1].id.to_string());
    for order in &orders {
        let body = std::str::from_utf8(&order.body).unwrap();
        assert!(
            body.contains(r#""content":"hi å","data":{"n":1.0},"#),
            "{body}"
        );
    }
}

#[tokio::test]
async fn online_users_are_counted() {
    let (_, service) = started().await;
    let path = "/api/notifications/online-count";
    let counted = answer(service.anonymous("GET", path).bearer_auth(&service.reader)).await;
    assert_eq!(
        (counted.status, &*counted.text),
        (200, r#"{"online_count":2}"#)
    );
}

#[tokio::test]
async fn a_repetition_is_the_same_order_and_said_to_be_one() {
    let (store, service) = started().await;
    let keyed = || {
        service
            .post(SEND, BODY)
            .header("idempotency-key", "order-7")
    };
    let first = answer(keyed()).await;
    store.answer([Answer::Is(Sent {
        repeated: true,
        ..SENT
    })]);
    let second = answer(keyed()).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.json(), second.json());
    let other = service
        .post(SEND, BODY.replace("hi", "ho"))
        .header("idempotency-key", "order-7");
    answer(other).await;
    let orders = store.sends();
    let of = |n: usize| (&orders[n].id, &orders[n].idempotency.body_hash);
    assert_eq!(of(0), of(1));
    assert_eq!(of(0).0, of(2).0);
    assert_ne!(of(0).1, of(2).1);
    assert_eq!(orders[0].idempotency.key, "all\torder-7");
}

#[tokio::test]
async fn the_stores_refusals_have_their_problems() {
    let (store, service) = started().await;
    for (error, status, code, retry) in [
        (BackendError::InboxFull, 409, "inbox_full", false),
        (
            BackendError::IdempotencyMismatch,
            422,
            "idempotency_mismatch",
            false,
        ),
        (BackendError::StoreFull("inboxes"), 507, "store_full", true),
        (
            BackendError::Unexpected("secret".to_owned()),
            500,
            "internal",
            false,
        ),
        (BackendError::Replaced, 500, "internal", false),
    ] {
        store.answer([Answer::Fails(error)]);
        let refused = answer(service.post(SEND, BODY)).await;
        assert_eq!(
            (refused.status, &*refused.problem()),
            (status, code),
            "{refused:?}"
        );
        assert_eq!(refused.json()["retryable"], retry);
        assert!(!refused.text.contains("secret"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_store_that_refuses_is_told_apart_from_one_that_is_away() {
    let (store, service) = started().await;
    for (kind, words, after) in [
        (FaultKind::OutOfMemory, "memory is full", "10"),
        (FaultKind::Disk, "disk", "10"),
        (FaultKind::Auth, "log-in", "10"),
        (FaultKind::Permission, "does not allow", "10"),
        (FaultKind::Tls, "encrypted", "10"),
        (FaultKind::WrongServer, "configured", "10"),
    ] {
        let fault = Fault::new(kind, "redis-0.internal:6379 refused");
        store.answer([Answer::Fails(BackendError::Refused(fault))]);
        let refused = answer(service.post(SEND, BODY)).await;
        let problem = (refused.status, &*refused.problem());
        assert_eq!(problem, (503, "unavailable"), "{refused:?}");
        assert_eq!(refused.headers["retry-after"], after);
        assert_eq!(refused.json()["title"], "The store refuses");
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(words), "{detail}");
        assert!(detail.contains("nothing was accepted"), "{detail}");
        assert!(!refused.text.contains("internal:"), "{refused:?}");
    }
    // What passes is waited for.
    let replica = Fault::new(FaultKind::Replica, "READONLY");
    store.answer([Answer::Fails(BackendError::Refused(replica))]);
    let accepted = answer(service.post(SEND, BODY)).await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
}

#[tokio::test]
async fn a_store_that_comes_back_in_time_is_not_noticed() {
    let (store, service) = started().await;
    store.answer([unavailable(), unknown()]);
    let accepted = answer(service.post(SEND, BODY)).await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
    let orders = store.sends();
    assert_eq!(orders.len(), 3);
    assert!(orders.iter().all(|order| {
        (order.id, &order.body, &order.idempotency.key)
            == (orders[0].id, &orders[0].body, &orders[0].idempotency.key)
    }));
}

#[tokio::test]
async fn our_own_repetition_is_not_said_to_be_the_callers() {
    let (store, service) = started().await;
    let repeated = Answer::Is(Sent {
        repeated: true,
        ..SENT
    });
    store.answer([unknown(), repeated]);
    let accepted = answer(service.post(SEND, BODY).header("idempotency-key", "k")).await;
    assert_eq!(
        (accepted.status, accepted.header("idempotent-replayed")),
        (200, None)
    );
}

#[tokio::test]
async fn a_store_that_stays_away_is_told_within_the_request_timeout() {
    let (store, service) = started().await;
    for (answers, code) in [
        (vec![], "unavailable"),
        (vec![unknown()], "outcome_unknown"),
        (vec![Answer::Silence], "outcome_unknown"),
    ] {
        let rest = std::iter::repeat_with(unavailable).take(50);
        store.answer(answers.into_iter().chain(rest));
        let start = Instant::now();
        let refused = answer(service.post(SEND, BODY)).await;
        assert_eq!(
            (refused.status, &*refused.problem()),
            (503, code),
            "{refused:?}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        assert!(!refused.text.contains("redis-0"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let (_, service) = started().await;
    let own = answer(service.post(SEND, BODY).header("x-request-id", "trace-1")).await;
    assert_eq!(own.header("x-request-id"), Some("trace-1"));
    let bad = answer(service.post(SEND, "{").header("x-request-id", "trace-2")).await;
    assert_eq!(bad.json()["request_id"], "trace-2");
    let made = answer(service.post(SEND, BODY).header("x-request-id", "a b")).await;
    assert_eq!(made.header("x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (store, service) = started().await;
    let request = format!(
        "POST {SEND} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        service.key
    );
    let answer = exchange(service.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#""code":"body_timeout""#), "{answer}");
    assert_eq!(store.sends().len(), 0);
}

#[tokio::test]
async fn at_shutdown_the_request_under_way_is_finished_and_nothing_more_accepted() {
    let (store, service) = started().await;
    store.answer([unavailable(), unavailable()]);
    let request = tokio::spawn(answer(service.post(SEND, BODY)));
    let asked = async {
        while store.sends().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), asked)
        .await
        .unwrap();
    service.shutdown.begin();
    assert_eq!(request.await.unwrap().status, 200);
    tokio::time::timeout(Duration::from_secs(5), service.running)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(service.address).await.is_err());
}
