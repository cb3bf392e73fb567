//! Requests that do not become a stream: what each kind of client sees.

use carillon_tests::client::{Ask, EventStream};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, ORIGIN};
use reqwest::{Client, Method, Response};
use serde_json::Value;

use super::{Stage, Store, names};
use crate::world::{SOON, token_of};

/// As a program asks that takes any answer.
fn plainly(stage: &Stage) -> Ask {
    Ask::of(&stage.process.http()).header(ACCEPT, "*/*")
}

async fn asked(stage: &Stage, method: Method) -> Response {
    let url = format!("{}/sse/notifications", stage.process.http());
    let request = Client::builder().no_proxy().build().unwrap();
    let request = request.request(method, url).bearer_auth(token_of("alice"));
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_be_better_is_a_status() {
    let origins = ("gateway.origins", "https://app.example.com");
    let stage = Stage::on(Store::Memory, &[origins]).await;
    let good = || plainly(&stage).query("token", token_of("alice"));
    let bearer = |token: &str| plainly(&stage).header(AUTHORIZATION, format!("Bearer {token}"));
    for (ask, status, code) in [
        (plainly(&stage), 401, "token_missing"),
        (Ask::of(&stage.process.http()), 401, "token_missing"),
        (plainly(&stage).query("token", "x"), 401, "token_malformed"),
        (bearer("x"), 401, "token_malformed"),
        (good().query("device", "a b"), 400, "invalid_device"),
        (good().query("token", "twice"), 400, "bad_handshake"),
        (
            good().header(ORIGIN, "https://evil.example"),
            403,
            "origin_not_allowed",
        ),
    ] {
        let answer = ask.answer().await.unwrap();
        assert_eq!(answer.status(), status, "{ask:?}");
        let headers = answer.headers();
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{problem}");
    }
    for ask in [
        bearer(&token_of("alice")),
        good().header(ORIGIN, "https://app.example.com"),
    ] {
        EventStream::open(&ask).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_answered_as_they_ask() {
    let stage = Stage::on(Store::Memory, &[]).await;
    let head = asked(&stage, Method::HEAD).await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    assert_eq!(head.text().await.unwrap(), "");
    assert_eq!(stage.api.online_count().await.unwrap(), 0);

    let preflight = asked(&stage, Method::OPTIONS).await;
    assert_eq!(preflight.status(), 204);
    let allowed = &preflight.headers()["access-control-allow-headers"];
    let allowed = allowed.to_str().unwrap();
    assert!(allowed.contains("last-event-id") && allowed.contains("authorization"));

    let post = asked(&stage, Method::POST).await;
    assert_eq!(post.status(), 405);
    assert_eq!(post.headers()["allow"], "GET, HEAD, OPTIONS");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_told_within_a_stream_to_who_asks_for_one() {
    let stage = Stage::on(Store::Memory, &[("gateway.per_user_connections", "1")]).await;
    let mut first = EventStream::open(&stage.ask("alice")).await.unwrap();
    first.until("replayed", SOON).await.unwrap();

    let answer = stage.ask("alice").header(ACCEPT, "*/*").answer().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_connections");

    let mut told = EventStream::open(&stage.ask("alice")).await.unwrap();
    let (events, whole) = told.to_the_end(SOON).await.unwrap();
    assert!(whole);
    assert_eq!(names(&events), ["disconnect"]);
    assert_eq!(events[0].data["code"], 4103);
    let retry = u64::try_from(told.retry.unwrap().as_millis()).unwrap();
    assert_eq!(events[0].data["retry_ms"], retry);
    assert!((500..=9_000).contains(&retry), "{retry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_was_never_given_out_is_told_and_ignored() {
    let stage = Stage::on(Store::Memory, &[]).await;
    let sent = stage.send("alice", "one").await;
    let ask = stage.ask("alice");
    let ask = ask.header(HeaderName::from_static("last-event-id"), "seven");
    let mut stream = EventStream::open(&ask).await.unwrap();
    let events = stream.until("replayed", SOON).await.unwrap();
    assert_eq!(names(&events), ["error", "welcome", "message", "replayed"]);
    assert_eq!(events[0].data["code"], "invalid_field");
    assert_eq!(events[2].data["id"], sent.id);
}
