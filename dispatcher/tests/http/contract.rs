//! The contract as it is served.

use std::{collections::BTreeSet, sync::Arc};

use carillon_common::settings::Settings;
use carillon_dispatcher::{PAGES, contract};
use serde_json::Value;

use crate::{service::Service, store::ToldStore};

fn store() -> Arc<ToldStore> {
    Arc::new(ToldStore::default())
}

async fn get(service: &Service, path: &str) -> reqwest::Response {
    service.anonymous("GET", path).send().await.unwrap()
}

#[tokio::test]
async fn the_contract_is_served_to_everyone_and_cached() {
    let service = Service::start(store()).await;
    for path in PAGES {
        let answer = get(&service, path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers().clone();
        let is_json = path.ends_with(".json");
        let kind = if is_json {
            "application/json"
        } else {
            "text/html; charset=utf-8"
        };
        assert_eq!(headers["content-type"], kind, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(
            headers["cache-control"]
                .to_str()
                .unwrap()
                .contains("max-age")
        );
        let policy = headers
            .get("content-security-policy")
            .map(|it| it.to_str().unwrap());
        assert_eq!(
            policy.is_some_and(|it| it.starts_with("default-src 'none';")),
            !is_json,
            "{path}"
        );
        assert!(answer.text().await.unwrap().len() > 1_000);

        let again = service
            .anonymous("GET", path)
            .header("if-none-match", &headers["etag"]);
        let again = again.send().await.unwrap();
        assert_eq!(
            (again.status().as_u16(), &again.headers()["etag"]),
            (304, &headers["etag"])
        );
        assert!(again.bytes().await.unwrap().is_empty());
        let head = service.anonymous("HEAD", path).send().await.unwrap();
        assert_eq!(
            (head.status().as_u16(), &head.headers()["etag"]),
            (200, &headers["etag"])
        );
    }
}

#[tokio::test]
async fn what_is_served_is_of_this_very_process() {
    let short = std::time::Duration::from_secs(60);
    let service = Service::start_with(store(), |settings| settings.inbox.ttl = short).await;
    let served: Value = get(&service, "/openapi.json").await.json().await.unwrap();
    let mut settings = Settings::default();
    settings.inbox.ttl = short;
    assert_eq!(served, contract::openapi(&settings));
    assert_ne!(served, contract::openapi(&Settings::default()));
}

/// Each path has the methods that the contract says, and no other.
#[tokio::test]
async fn the_methods_of_a_path_are_those_of_the_contract() {
    let service = Service::start(store()).await;
    let document = contract::openapi(&Settings::default());
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "nobody");
        let methods = item.as_object().unwrap().keys();
        let described: BTreeSet<_> = methods.map(|it| it.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = service.anonymous(method, &path).send().await.unwrap();
            let is_described = described.iter().any(|it| it == method);
            let status = if is_described { 401 } else { 405 };
            assert_eq!(answer.status(), status, "{method} {path}");
            if !is_described {
                let allowed = answer.headers()["allow"].to_str().unwrap();
                let allowed = allowed.split(',').filter(|it| *it != "HEAD");
                let allowed: BTreeSet<_> = allowed.map(str::to_owned).collect();
                assert_eq!(allowed, described, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_explanation() {
    let service = Service::start(store()).await;
    let answer = get(&service, "/api/gateways").await;
    let asked = answer.url().clone();
    let problem: Value = answer.json().await.unwrap();
    // RFC 9457, section 3.1.1: relative to what was asked.
    let place = asked.join(problem["type"].as_str().unwrap()).unwrap();
    assert_eq!(place.fragment(), Some("unauthenticated"));
    let page = service.http.get(place).send().await.unwrap();
    assert!(
        page.text()
            .await
            .unwrap()
            .contains("id=\"unauthenticated\"")
    );
}
