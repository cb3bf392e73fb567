//! The console as the admin port serves it: its policy, what it loads, and that the routes beside it are guarded as ever.
//! What it looks like and does in a browser is tested in client/js.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    service::{Answer, Service, answer, check},
    store::ToldStore,
};

const SEND: &str = "/api/notifications/send";

async fn start() -> (Arc<ToldStore>, Service) {
    let store = Arc::new(ToldStore::default());
    let service = Service::start(store.clone()).await;
    (store, service)
}

fn request(service: &Service, method: &str, path: &str) -> RequestBuilder {
    let method: Method = method.parse().unwrap();
    let url = format!("http://{}{path}", service.admin);
    service.http.request(method, url)
}

/// What the admin port itself says; unlike the routes beside it, it has no page that explains.
#[track_caller]
fn check_own(case: &str, answer: &Answer, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!(
        (answer.status, &problem["code"]),
        (status, &json!(code)),
        "{case}: {answer:?}"
    );
    assert!(problem["detail"].is_string(), "{case}: {problem}");
}

async fn get(service: &Service, path: &str) -> Answer {
    answer(request(service, "GET", path)).await
}

#[tokio::test]
async fn the_page_loads_what_stands_beside_it_and_nothing_else() {
    let (_, service) = start().await;
    for path in ["/console", "/console/"] {
        let page = get(&service, path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), Some(value), "{name}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "),
            "{policy}"
        );
        for word in ["unsafe", "http", "*", "data:", "blob:", "sha256"] {
            assert!(!policy.contains(word), "{word} in {policy}");
        }
        let loaded = page
            .text
            .split('"')
            .filter(|it| it.starts_with("/console/"));
        let mut count = 0;
        for path in loaded {
            let file = get(&service, path).await;
            assert_eq!(file.status, 200, "{path}");
            assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(file.header("cache-control"), Some("no-store"));
            count += 1;
        }
        assert_eq!(count, 7, "{}", page.text);
    }
    let head = answer(request(&service, "HEAD", "/console")).await;
    assert_eq!((head.status, &*head.text), (200, ""));
}

#[tokio::test]
async fn it_is_only_read_and_nothing_else_is_there() {
    let (_, service) = start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/console", "/console/main.js"] {
            let refused = answer(request(&service, method, path)).await;
            check_own(path, &refused, 405, "method_not_allowed");
        }
    }
    for path in [
        "/console/index.html",
        "/console/nothing.js",
        "/console/../main.rs",
        "/console/%2e%2e/Cargo.toml",
        "/api/else",
        "/api/",
    ] {
        let missing = get(&service, path).await;
        check_own(path, &missing, 404, "not_found");
        assert!(missing.text.contains("on the admin port"), "{missing:?}");
    }
    // On the port of services there is none of it.
    for path in ["/console", "/console/main.js", "/checks"] {
        let missing = answer(service.request("GET", path)).await;
        check(path, &missing, 404, "not_found", &[]);
    }
    let listed = get(&service, "/").await.text;
    for line in ["/console ", "/api/, /docs ", "GET    /checks "] {
        assert!(listed.contains(&format!("\n{line}")), "{line} in {listed}");
    }
}

#[tokio::test]
async fn the_routes_beside_it_take_the_same_keys_and_refuse_the_same() {
    let (store, service) = start().await;
    let body = json!({"target_user": "a", "notification_type": "t", "content": ""});
    let send = || request(&service, "POST", SEND).json(&body);
    check("none", &answer(send()).await, 401, "unauthenticated", &[]);
    let wrong = send().bearer_auth("ck_wrong");
    check("wrong", &answer(wrong).await, 401, "unauthenticated", &[]);
    let reader = send().bearer_auth(&service.reader);
    check(
        "reader",
        &answer(reader).await,
        403,
        "insufficient_scope",
        &[],
    );
    assert_eq!(store.sends().len(), 0);

    let sent = answer(send().bearer_auth(&service.key)).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert!(sent.header("x-request-id").is_some());
    assert_eq!(store.sends().len(), 1);
    let wrong = request(&service, "POST", SEND)
        .bearer_auth(&service.key)
        .json(&json!({"target_user": "a", "notification_type": "t", "content": "", "colour": 1}));
    check(
        "field",
        &answer(wrong).await,
        422,
        "unknown_field",
        &["/colour"],
    );
    let method = request(&service, "GET", SEND).bearer_auth(&service.key);
    let refused = answer(method).await;
    check("method", &refused, 405, "method_not_allowed", &[]);
    assert_eq!(refused.header("allow"), Some("POST"));
    // The pages that explain a problem, where its type leads.
    for path in ["/docs/errors", "/docs", "/openapi.json"] {
        assert_eq!(get(&service, path).await.status, 200, "{path}");
    }
    // A page from elsewhere is let in nowhere but where pages are.
    let asks = request(&service, "OPTIONS", SEND)
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let refused = answer(asks).await;
    assert_eq!(refused.header("access-control-allow-origin"), None);
    assert!(refused.status >= 400, "{refused:?}");

    let metrics = get(&service, "/metrics").await.text;
    let counted =
        r#"carillon_dispatcher_http_requests_total{code="200",route="/api/notifications/send"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn what_is_to_be_mended_is_told_to_an_admin_alone() {
    let (_, service) = start().await;
    let checks = || request(&service, "GET", "/checks");
    check_own("none", &answer(checks()).await, 401, "unauthenticated");
    let reader = answer(checks().bearer_auth(&service.reader)).await;
    check_own("reader", &reader, 403, "insufficient_scope");
    let told = answer(checks().bearer_auth(&service.key)).await;
    // A process within a test does not look.
    let nothing: Value = json!({"verdict": null, "store_looked_at": null, "findings": []});
    assert_eq!((told.status, told.json()), (200, nothing));
}
