//! Bad requests of every other kind: the documented problem, and nothing written.

use std::sync::Arc;

use crate::{
    service::{Service, answer, check, exchange},
    store::ToldStore,
};

const SEND: &str = "/api/notifications/send";
const BROADCAST: &str = "/api/notifications/broadcast";

#[tokio::test]
async fn bodies_beyond_the_limit_are_answered_before_they_are_read() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;
    let huge = "x".repeat(600_000);

    let announced = answer(service.post(SEND, huge.clone())).await;
    check("announced", &announced, 413, "body_too_large", &[]);
    assert!(announced.text.contains("73728"), "{announced:?}");

    let head = format!(
        "POST {SEND} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        service.key
    );
    let chunks = format!("{:x}\r\n{huge}\r\n0\r\n\r\n", huge.len());
    let answered = exchange(service.address, &(head + &chunks)).await;
    assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
    assert!(
        answered.contains(r#""code":"body_too_large""#),
        "{answered}"
    );
    assert_eq!(store.sends().len(), 0);
}

#[tokio::test]
async fn bad_headers_methods_and_paths() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;
    let body = r#"{"target_user":"a","notification_type":"t","content":""}"#;
    let untyped = || service.request("POST", SEND).body(body);
    let typed = |kind: &str| untyped().header("content-type", kind);

    for (case, request) in [
        ("no type", untyped()),
        ("text", typed("text/plain")),
        ("form", typed("application/x-www-form-urlencoded")),
        ("nearly", typed("application/json-patch+json")),
        (
            "compressed",
            typed("application/json").header("content-encoding", "gzip"),
        ),
    ] {
        check(
            case,
            &answer(request).await,
            415,
            "unsupported_media_type",
            &[],
        );
    }

    let long = "k".repeat(256);
    for key in ["", " ", &long, "å", "a\tb"] {
        let refused = answer(service.post(SEND, body).header("idempotency-key", key)).await;
        check(key, &refused, 400, "invalid_idempotency_key", &[]);
    }
    let twice = service
        .post(SEND, body)
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    check(
        "two keys",
        &answer(twice).await,
        400,
        "invalid_idempotency_key",
        &[],
    );

    let query = answer(service.post(&format!("{SEND}?ttl=1"), body)).await;
    check("query", &query, 400, "unexpected_query", &[]);
    let query = answer(service.request("GET", "/api/notifications/online-count?x=1")).await;
    check("query", &query, 400, "unexpected_query", &[]);

    for (method, path, allow) in [
        ("GET", SEND, "POST"),
        ("DELETE", BROADCAST, "POST"),
        ("POST", "/api/notifications/online-count", "GET,HEAD"),
    ] {
        let refused = answer(service.request(method, path)).await;
        check(path, &refused, 405, "method_not_allowed", &[]);
        assert_eq!(refused.header("allow"), Some(allow));
    }
    for path in ["/", "/api/notifications/send/", "/api/notifications/sent"] {
        check(
            path,
            &answer(service.request("POST", path)).await,
            404,
            "not_found",
            &[],
        );
    }
    assert_eq!(store.sends().len(), 0);
}

#[tokio::test]
async fn bad_broadcasts() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;
    let cases: &[(&str, u16, &str, &[&str])] = &[
        ("notification_type=t", 422, "missing_field", &["/content"]),
        (
            "notification_type=t&content=&content=",
            422,
            "invalid_field",
            &["/content"],
        ),
        (
            "notification_type=t&content=&target_user=a",
            422,
            "unknown_field",
            &["/target_user"],
        ),
        (
            "notification_type=pong&content=",
            422,
            "reserved_type",
            &["/notification_type"],
        ),
        (
            "notification_type=t&content=&data=%7B",
            422,
            "invalid_field",
            &["/data"],
        ),
        (
            "notification_type=t&content=&data=",
            422,
            "invalid_field",
            &["/data"],
        ),
        (
            "notification_type=t&content=&channel=*",
            422,
            "invalid_channel",
            &["/channel"],
        ),
        (
            "notification_type=t&content=&channel=",
            422,
            "invalid_channel",
            &["/channel"],
        ),
        (
            "notification_type=t&content=&deliver_at=2026-01-01T00:00:00Z",
            422,
            "unknown_field",
            &["/deliver_at"],
        ),
        (
            "notification_type=t&content=&ttl=0",
            422,
            "invalid_field",
            &["/ttl"],
        ),
        (
            "notification_type=t&content=&ttl=11m",
            422,
            "ttl_too_long",
            &["/ttl"],
        ),
        (
            "notification_type=t&content=&channel=c&ttl=25h",
            422,
            "ttl_too_long",
            &["/ttl"],
        ),
        (
            "notification_type=t&content=%zz",
            400,
            "malformed_query",
            &[],
        ),
        (
            "notification_type=t&content=%ff",
            400,
            "malformed_query",
            &[],
        ),
    ];
    for (query, status, code, pointers) in cases {
        let refused = answer(service.request("POST", &format!("{BROADCAST}?{query}"))).await;
        check(query, &refused, *status, code, pointers);
    }
    let both = service.post(&format!("{BROADCAST}?notification_type=t&content="), "{}");
    check("both", &answer(both).await, 400, "unexpected_query", &[]);
    let neither = answer(service.request("POST", BROADCAST)).await;
    check("neither", &neither, 415, "unsupported_media_type", &[]);
    let body = r#"{"notification_type":"t","content":"","target_user":"a"}"#;
    let field = answer(service.post(BROADCAST, body)).await;
    check("field", &field, 422, "unknown_field", &["/target_user"]);
    assert_eq!(store.publishes().len(), 0);
}

#[tokio::test]
async fn a_channel_that_no_namespace_covers_is_refused() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start_with(store.clone(), |settings| {
        settings
            .namespaces
            .retain(|namespace| !namespace.prefix.is_empty());
    })
    .await;
    let path = format!("{BROADCAST}?notification_type=t&content=&channel=orders");
    let refused = answer(service.request("POST", &path)).await;
    check("uncovered", &refused, 422, "invalid_channel", &["/channel"]);
    assert_eq!(store.publishes().len(), 0);
}

#[tokio::test]
async fn callers_who_may_not() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;
    let routes = [
        ("POST", SEND),
        ("POST", "/api/notifications/batch"),
        ("POST", BROADCAST),
        ("GET", "/api/notifications/online-count"),
        ("GET", "/api/users/alice/presence"),
        ("GET", "/api/users/alice/devices"),
        ("POST", "/api/users/alice/disconnect"),
        ("GET", "/api/users/alice/scheduled"),
        (
            "DELETE",
            "/api/users/alice/scheduled/0199d2c4-7f3a-7000-8000-000000000000",
        ),
        ("GET", "/api/channels"),
        ("GET", "/api/channels/orders/history"),
        ("GET", "/api/channels/orders/presence"),
    ];
    for (method, path) in routes {
        let none = answer(service.anonymous(method, path)).await;
        check("no key", &none, 401, "unauthenticated", &[]);
        assert_eq!(none.header("www-authenticate"), Some("Bearer"));
        for wrong in ["x", &service.key[1..], &format!("{}x", service.key)] {
            let refused = answer(service.anonymous(method, path).bearer_auth(wrong)).await;
            check("wrong key", &refused, 401, "unauthenticated", &[]);
            let challenge = refused.header("www-authenticate").unwrap();
            assert_eq!(challenge, r#"Bearer error="invalid_token""#);
            assert!(!refused.text.contains(wrong) || wrong == "x", "{refused:?}");
        }
    }
    for (path, scope) in [(SEND, "send"), (BROADCAST, "broadcast")] {
        let refused = answer(service.anonymous("POST", path).bearer_auth(&service.reader)).await;
        check("scope", &refused, 403, "insufficient_scope", &[]);
        let expected = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
        assert_eq!(refused.header("www-authenticate"), Some(&*expected));
    }
    assert_eq!(store.sends().len() + store.publishes().len(), 0);
}

#[tokio::test]
async fn without_keys_every_call_is_told_what_to_configure() {
    let service = Service::start_with(Arc::new(ToldStore::default()), |settings| {
        settings.auth.api_keys.clear();
    })
    .await;
    let refused = answer(service.request("GET", "/api/notifications/online-count")).await;
    check("no keys", &refused, 401, "no_api_keys", &[]);
    assert!(refused.text.contains("carillon apikey new"), "{refused:?}");
}
