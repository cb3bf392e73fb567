//! `/api/me/…`, over the in-memory store: a user's own pages, and nobody else's.

use carillon_common::auth::NewToken;
use serde_json::{Value, json};

use crate::{
    inboxes::start_with,
    service::{Answer, Service, answer, check, client_token, issuer},
};

const INBOX: &str = "/api/me/notifications";
const READ: &str = "/api/me/read";
const UNREAD: &str = "/api/me/unread";
const HISTORY: &str = "/api/me/channels/private:team/history";

async fn started() -> Service {
    start_with(|settings| settings.auth.issuers = vec![issuer()]).await
}

fn token(user: &str, channels: &[&str]) -> String {
    client_token(NewToken {
        sub: user,
        channels,
        ..NewToken::default()
    })
}

/// A user's page.
struct Page<'a>(&'a Service, String);

impl Page<'_> {
    async fn get(&self, path: &str) -> Answer {
        answer(self.0.anonymous("GET", path).bearer_auth(&self.1)).await
    }

    async fn read(&self, body: Value) -> Answer {
        let request = self.0.anonymous("POST", READ).bearer_auth(&self.1);
        let request = request.header("content-type", "application/json");
        answer(request.body(body.to_string())).await
    }

    async fn unread(&self) -> u64 {
        let told = self.get(UNREAD).await;
        told.json()["unread"].as_u64().unwrap()
    }
}

async fn send(service: &Service, user: &str, content: &str) -> String {
    let body = json!({"target_user": user, "notification_type": "t", "content": content});
    let sent = answer(service.post("/api/notifications/send", body.to_string())).await;
    sent.json()["cursor"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_inbox_shows_what_was_read_and_what_was_not() {
    let service = started().await;
    let alice = Page(&service, token("alice", &[]));
    assert_eq!(
        alice.get(INBOX).await.json(),
        json!({"notifications": [], "next": null})
    );
    assert_eq!(alice.unread().await, 0);
    let mut cursors = Vec::new();
    for content in ["one", "two", "three", "four"] {
        cursors.push(send(&service, "alice", content).await);
    }
    send(&service, "bob", "not for alice").await;
    assert_eq!(alice.unread().await, 4);

    let marked = alice.read(json!({"cursor": cursors[2]})).await;
    assert_eq!(
        (marked.status, marked.json()),
        (200, json!({"status": "ok", "changed": true, "unread": 3}))
    );
    let again = alice.read(json!({"cursor": cursors[2]})).await.json();
    assert_eq!(
        again,
        json!({"status": "ok", "changed": false, "unread": 3})
    );
    alice.read(json!({"up_to": cursors[0]})).await;

    let shown = |page: &Value| -> Vec<(String, bool)> {
        let all = page["notifications"].as_array().unwrap().iter();
        all.map(|it| {
            (
                it["content"].as_str().unwrap().to_owned(),
                it["read"].as_bool().unwrap(),
            )
        })
        .collect()
    };
    let page = alice
        .get(&format!("{INBOX}?order=newest&limit=3"))
        .await
        .json();
    let expected = [("four", false), ("three", true), ("two", false)];
    assert_eq!(
        shown(&page),
        expected.map(|(content, read)| (content.to_owned(), read))
    );
    let next = page["next"].as_str().unwrap();
    let rest = alice
        .get(&format!("{INBOX}?order=newest&limit=3&after={next}"))
        .await
        .json();
    assert_eq!(shown(&rest), [("one".to_owned(), true)]);

    let all = alice.read(json!({"all": true})).await.json();
    assert_eq!(all["unread"], 0);
    assert_eq!(Page(&service, token("bob", &[])).unread().await, 1);
}

#[tokio::test]
async fn it_is_the_users_own_and_nobody_elses() {
    let service = started().await;
    for (method, path) in [
        ("GET", INBOX),
        ("GET", UNREAD),
        ("POST", READ),
        ("GET", HISTORY),
    ] {
        let asked = |token: Option<&str>| {
            let request = service.anonymous(method, path);
            let request = request
                .header("content-type", "application/json")
                .body("{}");
            match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            }
        };
        let nobody = answer(asked(None)).await;
        check(path, &nobody, 401, "unauthenticated", &[]);
        assert_eq!(nobody.headers["www-authenticate"], "Bearer", "{path}");
        let key = answer(asked(Some(&service.key))).await;
        check(path, &key, 403, "user_token_needed", &[]);
        let broken = answer(asked(Some("eyJ.e30.x"))).await;
        assert_eq!(broken.status, 401, "{path} {broken:?}");
        // And a client's token opens nothing that is a service's.
        let alice = token("alice", &["*"]);
        for services in [
            "/api/users/alice/notifications",
            "/api/users/alice/presence",
        ] {
            let refused = answer(service.anonymous("GET", services).bearer_auth(&alice)).await;
            assert_eq!(refused.status, 401, "{services} {refused:?}");
        }
    }
}

#[tokio::test]
async fn the_log_of_a_channel_is_for_whoever_may_join_it() {
    let service = started().await;
    let body = json!({"notification_type": "t", "content": "hello", "channel": "private:team"});
    let sent = answer(service.post("/api/notifications/broadcast", body.to_string())).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let member = Page(&service, token("alice", &["private:*"]));
    let log = member.get(HISTORY).await.json();
    assert_eq!(log["notifications"][0]["content"], "hello", "{log}");
    let other = Page(&service, token("bob", &["orders"]));
    check(
        "history",
        &other.get(HISTORY).await,
        403,
        "channel_forbidden",
        &["/channel"],
    );
    let everyone = member.get("/api/me/channels/*/history").await;
    check("history", &everyone, 400, "invalid_path", &[]);
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let service = started().await;
    let alice = Page(&service, token("alice", &[]));
    send(&service, "alice", "one").await;
    for (body, status, code, pointers) in [
        (json!({}), 422, "missing_field", &["/cursor"][..]),
        (json!({"cursor": "x"}), 422, "invalid_field", &["/cursor"]),
        (json!({"all": false}), 422, "invalid_field", &["/all"]),
        (
            json!({"all": true, "up_to": "5-5"}),
            422,
            "invalid_field",
            &["/up_to"],
        ),
        (
            json!({"all": true, "user": "bob"}),
            422,
            "unknown_field",
            &["/user"],
        ),
        (json!({"cursor": "5-5"}), 404, "receipt_gone", &[]),
        (json!({"up_to": "0-0"}), 404, "receipt_gone", &[]),
    ] {
        check(
            &body.to_string(),
            &alice.read(body.clone()).await,
            status,
            code,
            pointers,
        );
    }
    for (path, status, code) in [
        (format!("{INBOX}?limit=0"), 422, "invalid_field"),
        (format!("{INBOX}?user=bob"), 422, "unknown_field"),
        (format!("{INBOX}?after=9999999999999-9"), 410, "cursor_gone"),
        (format!("{UNREAD}?user=bob"), 422, "unknown_field"),
    ] {
        let told = alice.get(&path).await;
        assert_eq!(
            (told.status, &told.json()["code"]),
            (status, &json!(code)),
            "{path}"
        );
    }
    assert_eq!(alice.unread().await, 1, "nothing was changed by it");
}

#[tokio::test]
async fn one_users_pages_ask_so_often() {
    let service = start_with(|settings| {
        settings.auth.issuers = vec![issuer()];
        settings.dispatcher.requests_per_user = 1;
    })
    .await;
    let (alice, bob) = (
        Page(&service, token("alice", &[])),
        Page(&service, token("bob", &[])),
    );
    let mut refused = None;
    for _ in 0..50 {
        let told = alice.get(UNREAD).await;
        if told.status != 200 {
            refused = Some(told);
            break;
        }
    }
    let refused = refused.unwrap();
    check("unread", &refused, 429, "too_many_requests", &[]);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(bob.get(UNREAD).await.status, 200);
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let service = started().await;
    let asks = service
        .anonymous("OPTIONS", READ)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let told = answer(asks).await;
    assert_eq!(told.status, 204, "{told:?}");
    assert_eq!(told.headers["access-control-allow-origin"], "*");
    let request = service
        .anonymous("GET", UNREAD)
        .header("origin", "https://app.example.com");
    let told = answer(request).await;
    // Why it is refused may be read, too.
    assert_eq!(
        (told.status, &told.headers["access-control-allow-origin"]),
        (401, &"*".parse().unwrap())
    );
}
