//! The dispatcher as a process; its own tests have the rest of the kinds.

use anyhow::{Result, ensure};
use carillon_tests::client::{Api, Targets, notification};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::Verdicts;
use crate::world::World;

const SEND: &str = "/api/notifications/send";
const BROADCAST: &str = "/api/notifications/broadcast";

/// A request that is refused: status, code, and where the mistakes are.
type Refused = (
    &'static str,
    RequestBuilder,
    u16,
    &'static str,
    &'static [&'static str],
);

fn refused(world: &World) -> Vec<Refused> {
    let post = |path: &str, body: Value| world.api.request(Method::POST, path).json(&body);
    let raw = |body: Vec<u8>| {
        let request = world.api.request(Method::POST, SEND).body(body);
        request.header("content-type", "application/json")
    };
    let with = |field: &str, value: Value| {
        let mut body = notification("victim", "t", "c");
        body[field] = value;
        body
    };
    let send = |field: &str, value: Value| post(SEND, with(field, value));
    let publish = |field: &str, value: Value| {
        let mut body = json!({ "notification_type": "t", "content": "c" });
        body[field] = value;
        post(BROADCAST, body)
    };
    let stranger = Api::new(Targets::new([world.dispatcher.http()]), "ck_wrong").unwrap();
    let unknown_key = stranger
        .request(Method::POST, SEND)
        .json(&notification("victim", "t", "c"));
    let url = format!("{}{SEND}", world.dispatcher.http());
    let keyless = reqwest::Client::new()
        .post(url)
        .json(&notification("victim", "t", "c"));
    let get = |path: &str| world.api.request(Method::GET, path);
    let idempotent = |key: &str| send("data", json!(1)).header("Idempotency-Key", key);
    vec![
        ("no key", keyless, 401, "unauthenticated", &[]),
        ("an unknown key", unknown_key, 401, "unauthenticated", &[]),
        (
            "no JSON",
            raw(b"hello".to_vec()),
            400,
            "malformed_json",
            &[],
        ),
        ("an array", raw(b"[]".to_vec()), 422, "invalid_field", &[]),
        (
            "bad UTF-8",
            raw(b"{\"content\":\"\xff\"}".to_vec()),
            400,
            "malformed_json",
            &[],
        ),
        (
            "oversize",
            send("content", json!("x".repeat(80_000))),
            413,
            "body_too_large",
            &[],
        ),
        (
            "nothing",
            post(SEND, json!({})),
            422,
            "missing_field",
            &["/target_user", "/notification_type", "/content"],
        ),
        (
            "unknown fields",
            post(
                SEND,
                json!({ "target_user": "victim", "notification_type": "t", "content": "c", "colour": 1, "a/b": 2 }),
            ),
            422,
            "unknown_field",
            &["/colour", "/a~1b"],
        ),
        (
            "a number for a text",
            send("content", json!(7)),
            422,
            "invalid_field",
            &["/content"],
        ),
        (
            "an empty user",
            send("target_user", json!("")),
            422,
            "invalid_field",
            &["/target_user"],
        ),
        (
            "a user too long",
            send("target_user", json!("x".repeat(256))),
            422,
            "invalid_field",
            &["/target_user"],
        ),
        (
            "a reserved type",
            send("notification_type", json!("ping")),
            422,
            "reserved_type",
            &["/notification_type"],
        ),
        (
            "a type with a dollar",
            send("notification_type", json!("$x")),
            422,
            "reserved_type",
            &["/notification_type"],
        ),
        (
            "a bad label",
            send("channel", json!("a b")),
            422,
            "invalid_channel",
            &["/channel"],
        ),
        (
            "ttl beyond the limit",
            send("ttl", json!(604_801)),
            422,
            "ttl_too_long",
            &["/ttl"],
        ),
        (
            "ttl below nothing",
            send("ttl", json!(-1)),
            422,
            "invalid_field",
            &["/ttl"],
        ),
        (
            "ttl without a unit",
            send("ttl", json!("soon")),
            422,
            "invalid_field",
            &["/ttl"],
        ),
        (
            "a query",
            post(&format!("{SEND}?ttl=1"), notification("victim", "t", "c")),
            400,
            "unexpected_query",
            &[],
        ),
        (
            "a key with a line break in it",
            idempotent("a\tb"),
            400,
            "invalid_idempotency_key",
            &[],
        ),
        (
            "a key too long",
            idempotent(&"x".repeat(256)),
            400,
            "invalid_idempotency_key",
            &[],
        ),
        (
            "a broadcast to *",
            publish("channel", json!("*")),
            422,
            "invalid_channel",
            &["/channel"],
        ),
        (
            "a broadcast with ttl 0",
            publish("ttl", json!(0)),
            422,
            "invalid_field",
            &["/ttl"],
        ),
        (
            "a reserved broadcast",
            publish("notification_type", json!("gap")),
            422,
            "reserved_type",
            &["/notification_type"],
        ),
        (
            "a broadcast to a user",
            publish("target_user", json!("victim")),
            422,
            "unknown_field",
            &["/target_user"],
        ),
        (
            "no such route",
            get("/api/notifications/nothing"),
            404,
            "not_found",
            &[],
        ),
        (
            "the wrong method",
            get(SEND),
            405,
            "method_not_allowed",
            &[],
        ),
    ]
}

#[tokio::test]
async fn requests_are_refused_before_anything_is_written() {
    let world = World::start(&[]).await;
    let mut victim = world.open("victim", "phone").await.socket;
    let before = world.stored().await.unwrap();
    let mut verdicts = Verdicts::default();
    for (name, request, status, code, pointers) in refused(&world) {
        verdicts.note(name, problem(request, status, code, pointers).await);
    }
    let stored = [before, world.stored().await.unwrap()];
    verdicts.note("nothing came", crate::world::silent(&mut victim).await);
    let reached = world.reaches("victim", &mut victim).await;
    verdicts.conclude_unharmed(28, stored, reached);
}

async fn problem(
    request: RequestBuilder,
    status: u16,
    code: &str,
    pointers: &[&str],
) -> Result<()> {
    let response = request.send().await?;
    let kind = response.headers().get("content-type").cloned();
    let told = response.status().as_u16();
    let body: Value = response.json().await?;
    ensure!(
        told == status && body["code"] == code,
        "instead of {status} {code}: {told} {body}"
    );
    ensure!(
        kind.is_some_and(|kind| kind == "application/problem+json"),
        "not a problem: {body}"
    );
    ensure!(
        body["status"] == status && body["type"].is_string(),
        "{body}"
    );
    let mut found: Vec<_> = body["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error["pointer"].as_str())
        .collect();
    let mut expected = pointers.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    if !expected.is_empty() {
        ensure!(found == expected, "instead of {expected:?}: {body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_request_is_refused() {
    let world = World::start(&[]).await;
    let send = |content: &str| notification("alice", "t", content);
    let first = world.api.send(&send("one"), Some("key")).await.unwrap();
    let before = world.stored().await.unwrap();
    let refusal = world.api.send(&send("two"), Some("key")).await.unwrap_err();
    assert_eq!(refusal.code(), "idempotency_mismatch");
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
    // Another user's key is another key.
    let other = world
        .api
        .send(&notification("bob", "t", "two"), Some("key"))
        .await
        .unwrap();
    assert_ne!(first.id, other.id);
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say() {
    let (reader, hash) = carillon_common::auth::ApiKeys::generate();
    let more =
        format!("[[auth.api_keys]]\nname = \"reader\"\nhash = \"{hash}\"\nscopes = [\"read\"]\n");
    let world = World::configured(&[], &more).await;
    let before = world.stored().await.unwrap();
    let reader = Api::new(
        Targets::new([world.dispatcher.http()]),
        reader.expose().clone(),
    )
    .unwrap();
    for (path, scope) in [(SEND, "send"), (BROADCAST, "broadcast")] {
        let request = reader.request(Method::POST, path).json(&json!({}));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 403);
        let challenge = response.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(challenge.contains(scope), "{challenge}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["code"], "insufficient_scope");
    }
    assert_eq!(reader.online_count().await.unwrap(), 0);
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
}
