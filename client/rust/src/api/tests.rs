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
