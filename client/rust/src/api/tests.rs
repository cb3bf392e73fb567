//! Against a dispatcher that is played here.

mod dispatcher;

use tokio::net::TcpListener;

use super::*;
use dispatcher::{Asked, play};

async fn dispatcher(answers: &'static [(u16, &'static str)]) -> (Api, Asked) {
    let (base, asked) = play(answers).await;
    let key = Secret::new("ck_test".to_owned());
    (
        Api::new(&base, key, Duration::from_secs(20)).unwrap(),
        asked,
    )
}

const ACCEPTED: (u16, &str) = (
    200,
    r#"{"status":"ok","id":"n1","cursor":"1-1","message":"queued"}"#,
);

const FULL: (u16, &str) = (
    409,
    r#"{"title":"Full","status":409,"code":"inbox_full","detail":"d"}"#,
);

fn message(user: Option<&str>) -> Message<'_> {
    Message {
        target_user: user,
        notification_type: "t",
        content: "c",
        ..Message::default()
    }
}

#[tokio::test]
async fn tries_again_under_the_same_key_until_it_is_accepted() {
    let (api, asked) = dispatcher(&[(503, ""), (502, "<html>"), ACCEPTED]).await;
    let accepted = api.accept(&message(Some("alice")), "k1").await.unwrap();
    assert_eq!(
        (accepted.id.as_str(), accepted.cursor.as_deref()),
        ("n1", Some("1-1"))
    );
    assert_eq!(accepted.answer["status"], "ok");
    let retried = api.retried();
    assert_eq!(retried["502 unexpected_answer"], 1, "{retried:?}");
    let attempt = ["/api/notifications/send", "k1", "Bearer ck_test"].map(str::to_owned);
    assert_eq!(*asked.lock(), [attempt.clone(), attempt.clone(), attempt]);
}

#[tokio::test]
async fn names_in_paths_are_encoded_and_a_page_is_read() {
    const PAGE: (u16, &str) = (200, r#"{"notifications":[{"id":"n1"}],"next":"5-9"}"#);
    let (api, asked) = dispatcher(&[PAGE]).await;
    let query = InboxQuery {
        after: Some("1-1"),
        newest_first: true,
        kind: Some("a b"),
        ..InboxQuery::default()
    };
    let page = api.inbox("a/b", &query).await.unwrap();
    assert_eq!(page.notifications[0]["id"], "n1");
    assert_eq!(page.next.as_deref(), Some("5-9"));
    let path = asked.lock()[0][0].clone();
    assert_eq!(path, "/api/users/a%2Fb/notifications");
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (api, asked) = dispatcher(&[FULL]).await;
    let error = api.accept(&message(None), "k1").await.unwrap_err();
    assert_eq!(error.to_string(), "Full — d (inbox_full)");
    let asked = asked.lock();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0][0], "/api/notifications/broadcast");
}

#[tokio::test]
async fn gives_up_when_nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let api = Api::new(
        &base,
        Secret::new("k".to_owned()),
        Duration::from_millis(50),
    )
    .unwrap();
    let error = api.online_count().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_foreign_answer_is_told_as_such() {
    for status in [200, 404] {
        let answers = match status {
            200 => &[(200, "<html>")],
            _ => &[(404, "<html>")],
        };
        let (api, asked) = dispatcher(answers).await;
        let error = api.online_count().await.unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, Error::NotCarillon { .. }), "{told}");
        assert!(told.contains(&status.to_string()), "{told}");
        assert_eq!(asked.lock().len(), 1);
    }
}

#[tokio::test]
async fn the_apis_own_path_is_kept_and_names_are_escaped() {
    let (base, asked) = play(&[(202, "{}")]).await;
    let key = Secret::new("k".to_owned());
    let api = Api::new(&format!("{base}/carillon/"), key, Duration::ZERO).unwrap();
    api.drain("a/b").await.unwrap();
    let asked = asked.lock();
    assert_eq!(asked[0][0], "/carillon/api/gateways/a%2Fb/drain");
}

#[tokio::test]
async fn it_is_tried_to_the_end_of_the_time_and_not_longer() {
    let (api, asked) = dispatcher(&[(503, "")]).await;
    for retry_for in [Duration::ZERO, Duration::from_millis(900)] {
        let api = Api {
            retry_for,
            ..api.clone()
        };
        let began = Instant::now();
        let error = api.online_count().await.unwrap_err();
        let took = began.elapsed();
        assert!(matches!(error, Error::NotCarillon { .. }), "{error}");
        assert!(took >= retry_for, "gave up after {took:?}");
        // Pauses may be as long as five seconds: the last is cut short.
        assert!(took < retry_for + Duration::from_secs(2), "{took:?}");
    }
    assert!(asked.lock().len() > 2);
}

#[tokio::test]
async fn of_several_those_are_sent_again_of_which_nothing_is_known() {
    let (api, asked) = dispatcher(&[
        (
            200,
            concat!(
                r#"{"results":[{"status":"ok","id":"n1","cursor":"1-1"},"#,
                r#"{"status":"unknown","problem":{"code":"outcome_unknown","retryable":true}},"#,
                r#"{"status":"failed","problem":{"code":"inbox_full","retryable":false}}]}"#
            ),
        ),
        (503, ""),
        (
            200,
            r#"{"results":[{"status":"ok","id":"n2","cursor":"1-2"}]}"#,
        ),
    ])
    .await;
    let keyed = ["k1", "k2", "k3"].map(|idempotency_key| Keyed {
        message: message(Some("alice")),
        idempotency_key,
    });
    let outcomes = api.accept_all(&keyed).await.unwrap();
    let accepted: Vec<_> = outcomes.iter().map(Outcome::is_accepted).collect();
    assert_eq!(accepted, [true, true, false]);
    let problem = outcomes[2].problem.as_ref().unwrap();
    assert_eq!(
        (&*problem.code, outcomes[2].id.as_ref()),
        ("inbox_full", None)
    );
    let paths: Vec<_> = asked.lock().iter().map(|it| it[0].clone()).collect();
    assert_eq!(paths, ["/api/notifications/batch"; 3]);
}

#[test]
fn one_of_several_is_a_send_with_its_key() {
    let keyed = Keyed {
        message: message(Some("alice")),
        idempotency_key: "k",
    };
    let body = serde_json::to_value(&keyed).unwrap();
    let expected = serde_json::json!({
        "target_user": "alice", "notification_type": "t", "content": "c", "idempotency_key": "k",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_waits_is_listed_and_cancelled() {
    let (api, asked) = dispatcher(&[
        (200, r#"{"notifications":[{"id":"n1"}],"next":"5_n1"}"#),
        (200, r#"{"status":"ok","id":"n1","outcome":"cancelled"}"#),
    ])
    .await;
    let page = api.scheduled("a/b", Some("1_n0"), 7).await.unwrap();
    assert_eq!(page.notifications[0]["id"], "n1");
    assert_eq!(page.next.as_deref(), Some("5_n1"));
    let cancelled = api.cancel("a/b", "n1").await.unwrap();
    assert_eq!((&*cancelled.id, &*cancelled.outcome), ("n1", "cancelled"));
    let paths: Vec<_> = asked.lock().iter().map(|it| it[0].clone()).collect();
    let expected = [
        "/api/users/a%2Fb/scheduled",
        "/api/users/a%2Fb/scheduled/n1",
    ];
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn users_and_channels_are_asked_by_their_names() {
    let (api, asked) = dispatcher(&[
        (200, r#"{"user":"a/b","online":false,"connections":[]}"#),
        (202, r#"{"connections":2}"#),
        (200, r#"{"channels":[{"name":"orders"}],"next":"orders"}"#),
        (
            200,
            r#"{"notifications":[],"next":"1-1","more":false,"gap":null}"#,
        ),
    ])
    .await;
    assert!(api.presence("a/b").await.unwrap().is_empty());
    let all = Disconnect::default();
    assert_eq!(api.disconnect("a b", &all).await.unwrap(), 2);
    let page = api.channels("or", Some("a")).await.unwrap();
    assert_eq!(
        (page.channels, page.next.as_deref()),
        (vec!["orders".to_owned()], Some("orders"))
    );
    let history = api.history("orders", None, None).await.unwrap();
    assert_eq!((&*history.next, history.more), ("1-1", false));
    let paths: Vec<_> = asked.lock().iter().map(|it| it[0].clone()).collect();
    let expected = [
        "/api/users/a%2Fb/presence",
        "/api/users/a%20b/disconnect",
        "/api/channels",
        "/api/channels/orders/history",
    ];
    assert_eq!(paths, expected);
}
