//! Bad bodies of a send: the documented problem, and nothing written.

use std::sync::Arc;

use crate::{
    service::{Service, answer, check},
    store::ToldStore,
};

const SEND: &str = "/api/notifications/send";

/// Bodies of a send, with status, code and pointers.
const SENDS: &[(&str, u16, &str, &[&str])] = &[
    ("", 400, "malformed_json", &[]),
    ("{", 400, "malformed_json", &[]),
    ("{\"target_user\":\"a\",}", 400, "malformed_json", &[]),
    ("{'target_user':'a'}", 400, "malformed_json", &[]),
    ("target_user=a", 400, "malformed_json", &[]),
    (
        r#"{"target_user":"a","notification_type":"t","content":""} x"#,
        400,
        "malformed_json",
        &[],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":01}"#,
        400,
        "malformed_json",
        &[],
    ),
    (
        "{\"target_user\":\"a\",\"notification_type\":\"t\",\"content\":\"\n\"}",
        400,
        "malformed_json",
        &[],
    ),
    // A byte order mark is passed over.
    ("\u{feff}{", 400, "malformed_json", &[]),
    ("[]", 422, "invalid_field", &[""]),
    ("null", 422, "invalid_field", &[""]),
    ("\"x\"", 422, "invalid_field", &[""]),
    (
        "{}",
        422,
        "missing_field",
        &["/target_user", "/notification_type", "/content"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t"}"#,
        422,
        "missing_field",
        &["/content"],
    ),
    (
        r#"{"target_user":null,"notification_type":"t","content":""}"#,
        422,
        "missing_field",
        &["/target_user"],
    ),
    (
        r#"{"target_user":7,"notification_type":"t","content":""}"#,
        422,
        "invalid_field",
        &["/target_user"],
    ),
    (
        r#"{"target_user":"","notification_type":"t","content":""}"#,
        422,
        "invalid_field",
        &["/target_user"],
    ),
    (
        r#"{"target_user":["a"],"notification_type":"t","content":""}"#,
        422,
        "invalid_field",
        &["/target_user"],
    ),
    (
        r#"{"target_user":"a","notification_type":"","content":""}"#,
        422,
        "invalid_field",
        &["/notification_type"],
    ),
    (
        r#"{"target_user":"a","notification_type":true,"content":""}"#,
        422,
        "invalid_field",
        &["/notification_type"],
    ),
    (
        r#"{"target_user":"a","notification_type":"ping","content":""}"#,
        422,
        "reserved_type",
        &["/notification_type"],
    ),
    (
        r#"{"target_user":"a","notification_type":"\u0070ong","content":""}"#,
        422,
        "reserved_type",
        &["/notification_type"],
    ),
    (
        r#"{"target_user":"a","notification_type":"$x","content":""}"#,
        422,
        "reserved_type",
        &["/notification_type"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":{"html":1}}"#,
        422,
        "invalid_field",
        &["/content"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"\ud800"}"#,
        422,
        "invalid_field",
        &["/content"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","colour":1}"#,
        422,
        "unknown_field",
        &["/colour"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","a/b~c":1}"#,
        422,
        "unknown_field",
        &["/a~1b~0c"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","Content":""}"#,
        422,
        "unknown_field",
        &["/Content"],
    ),
    (
        r#"{"target_user":"a","target_user":"b","notification_type":"t","content":""}"#,
        422,
        "invalid_field",
        &["/target_user"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","channel":"no spaces"}"#,
        422,
        "invalid_channel",
        &["/channel"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","channel":""}"#,
        422,
        "invalid_channel",
        &["/channel"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","channel":"*"}"#,
        422,
        "invalid_channel",
        &["/channel"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","channel":1}"#,
        422,
        "invalid_field",
        &["/channel"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":-1}"#,
        422,
        "invalid_field",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":"soon"}"#,
        422,
        "invalid_field",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":"inf"}"#,
        422,
        "invalid_field",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":1e300}"#,
        422,
        "invalid_field",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":[1]}"#,
        422,
        "invalid_field",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":604801}"#,
        422,
        "ttl_too_long",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","ttl":"8d"}"#,
        422,
        "ttl_too_long",
        &["/ttl"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","data":"\udc00"}"#,
        422,
        "invalid_field",
        &["/data"],
    ),
    (
        r#"{"target_user":"a","notification_type":"t","content":"","data":[1e999]}"#,
        422,
        "invalid_field",
        &["/data"],
    ),
    (
        r#"{"target_user":1,"notification_type":"ack","ttl":"9d","channel":"a b","x":1,"data":{}}"#,
        422,
        "invalid_field",
        &[
            "/target_user",
            "/notification_type",
            "/content",
            "/channel",
            "/ttl",
            "/x",
        ],
    ),
];

#[tokio::test]
async fn bad_bodies_of_a_send() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;
    for (body, status, code, pointers) in SENDS {
        let answer = answer(service.post(SEND, *body)).await;
        check(body, &answer, *status, code, pointers);
    }
    assert_eq!(store.sends().len(), 0);
}

#[tokio::test]
async fn bodies_that_no_text_can_show() {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;

    let invalid_utf8 = [&br#"{"content":""#[..], b"\xff\"}"].concat();
    let refused = answer(service.post(SEND, invalid_utf8)).await;
    check("invalid UTF-8", &refused, 400, "malformed_json", &[]);
    assert!(refused.text.contains("byte 12"), "{refused:?}");

    let deep = format!(
        r#"{{"target_user":"a","notification_type":"t","content":"","data":{}{}}}"#,
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    check(
        "deep",
        &answer(service.post(SEND, deep)).await,
        422,
        "invalid_field",
        &["/data"],
    );

    let long = format!(
        r#"{{"target_user":"{}","notification_type":"{}","content":"","channel":"{}"}}"#,
        "u".repeat(256),
        "t".repeat(129),
        "c".repeat(256)
    );
    let pointers = ["/target_user", "/notification_type", "/channel"];
    check(
        "long",
        &answer(service.post(SEND, long)).await,
        422,
        "invalid_field",
        &pointers,
    );

    let many: Vec<_> = (0..5000).map(|n| format!(r#""f{n}":0"#)).collect();
    let refused = answer(service.post(SEND, format!("{{{}}}", many.join(",")))).await;
    assert_eq!((refused.status, refused.pointers().len()), (422, 32));
    assert_eq!(store.sends().len(), 0);
}

#[tokio::test]
async fn a_malformed_body_is_told_with_line_and_column() {
    let service = Service::start(Arc::new(ToldStore::default())).await;
    let refused = answer(service.post(SEND, "{\n  \"content\": nope\n}")).await;
    assert!(refused.text.contains("line 2, column 15"), "{refused:?}");
}
