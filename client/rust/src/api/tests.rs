//! Against a dispatcher that is played here.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, response::IntoResponse};
use tokio::net::TcpListener;

use super::*;

/// What was asked: path, idempotency key, authorization.
pub(crate) type Asked = Arc<Mutex<Vec<[String; 3]>>>;

/// A dispatcher that gives these answers in turn, the last one for ever.
pub(crate) async fn dispatcher(answers: &'static [(u16, &'static str)]) -> (Api, Asked) {
    let asked = Asked::default();
    let seen = asked.clone();
    let answer = move |request: Request| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let mut seen = seen.lock().unwrap();
        seen.push([
            request.uri().path().to_owned(),
            header("idempotency-key"),
            header("authorization"),
        ]);
        let (status, body) = answers[(seen.len() - 1).min(answers.len() - 1)];
        std::future::ready((StatusCode::from_u16(status).unwrap(), body).into_response())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
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
    let (accepted, _) = api.accept(&message(Some("alice")), "k1").await.unwrap();
    assert_eq!(
        (accepted.id.as_str(), accepted.cursor.as_deref()),
        ("n1", Some("1-1"))
    );
    let attempt = ["/api/notifications/send", "k1", "Bearer ck_test"].map(str::to_owned);
    assert_eq!(
        *asked.lock().unwrap(),
        [attempt.clone(), attempt.clone(), attempt]
    );
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (api, asked) = dispatcher(&[FULL]).await;
    let failure = api.accept(&message(None), "k1").await.unwrap_err();
    assert_eq!(failure.to_string(), "Full — d (inbox_full)");
    let asked = asked.lock().unwrap();
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
    let failure = api.online_count().await.unwrap_err();
    assert!(matches!(failure, Failure::Connection(_)), "{failure}");
}

#[test]
fn pauses_grow_but_not_for_ever_and_heed_the_service() {
    for attempt in 0..40 {
        assert!(pause(attempt, None) <= LONGEST_PAUSE);
    }
    let asked = Duration::from_secs(2);
    assert!(pause(0, Some(asked)) >= asked);
}

#[test]
fn a_problem_is_told_in_its_own_words() {
    let body = br#"{"type":"urn:x","title":"Invalid fields","status":422,"code":"unknown_field",
        "detail":"2 fields are wrong, see errors","errors":[{"pointer":"/a","detail":"one"},
        {"pointer":"/b","code":"c","detail":"two"}]}"#;
    let problem = problem(StatusCode::UNPROCESSABLE_ENTITY, body).to_string();
    assert_eq!(
        problem,
        "Invalid fields — 2 fields are wrong, see errors (unknown_field)\n  /a: one\n  /b: two"
    );
}

#[test]
fn a_foreign_answer_points_at_the_url() {
    let problem = problem(StatusCode::NOT_FOUND, b"<html>").to_string();
    assert!(
        problem.contains("404") && problem.contains("--api"),
        "{problem}"
    );
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
        let failure = api.online_count().await.unwrap_err();
        let took = began.elapsed();
        assert!(matches!(failure, Failure::Refused(_)), "{failure}");
        assert!(took >= retry_for, "gave up after {took:?}");
        // Pauses may be as long as five seconds: the last is cut short.
        assert!(took < retry_for + Duration::from_secs(2), "{took:?}");
    }
    assert!(asked.lock().unwrap().len() > 2);
}
