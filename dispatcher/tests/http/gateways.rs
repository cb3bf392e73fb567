//! Which gateways there are, asking one to drain, and asking those with too many users to move some.

use std::sync::Arc;

use carillon_common::{
    backend::{BackendError, Control},
    ids::GatewayId,
};
use serde_json::json;

use crate::{
    service::{Service, answer, check},
    store::{Answer, ToldStore},
};

const GATEWAYS: &str = "/api/gateways";

async fn started() -> (Arc<ToldStore>, Service) {
    let store = Arc::new(ToldStore::default());
    store.has_gateways(&[("5d8f-abcde", 1_767_225_600_123, 3), ("b", 7, 0)]);
    let service = Service::start(store.clone()).await;
    (store, service)
}

#[tokio::test]
async fn gateways_are_listed() {
    let (store, service) = started().await;
    store.drains("b");
    store.tells("5d8f-abcde", 4, "1.2.3");
    let listed = answer(
        service
            .anonymous("GET", GATEWAYS)
            .bearer_auth(&service.reader),
    )
    .await;
    assert_eq!(listed.status, 200);
    assert_eq!(
        listed.json(),
        json!({"gateways": [
            {"id": "5d8f-abcde", "generation": 1_767_225_600_123_u64, "users": 3, "connections": 4, "draining": false, "accepting": true, "pod": null, "version": "1.2.3"},
            {"id": "b", "generation": 7, "users": 0, "connections": null, "draining": true, "accepting": false, "pod": null, "version": null},
        ]})
    );
    let asked = answer(service.request("GET", "/api/gateways?all=1")).await;
    check("query", &asked, 400, "unexpected_query", &[]);
}

#[tokio::test]
async fn a_gateway_is_asked_to_drain_as_often_as_wanted() {
    let (store, service) = started().await;
    for _ in 0..2 {
        let asked = answer(service.request("POST", "/api/gateways/5d8f-abcde/drain")).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        assert_eq!(asked.json()["id"], "5d8f-abcde");
    }
    let word = ("5d8f-abcde".parse().unwrap(), Control::Drain);
    assert_eq!(store.words(), [word.clone(), word]);
}

#[tokio::test]
async fn only_a_gateway_that_is_there_is_asked() {
    let (store, service) = started().await;
    for name in ["5d8f", "a%2Fb", "a:b", "carillon-gateway-5d8f-abcde"] {
        let path = format!("/api/gateways/{name}/drain");
        let refused = answer(service.request("POST", &path)).await;
        check(name, &refused, 404, "gateway_unknown", &[]);
    }
    let path = "/api/gateways/b/drain";
    let refused = answer(service.anonymous("POST", path).bearer_auth(&service.reader)).await;
    check("scope", &refused, 403, "insufficient_scope", &[]);
    let refused = answer(service.anonymous("POST", path)).await;
    check("no key", &refused, 401, "unauthenticated", &[]);
    let refused = answer(service.request("GET", path)).await;
    check("method", &refused, 405, "method_not_allowed", &[]);
    assert!(store.words().is_empty());
}

#[tokio::test]
async fn a_store_that_is_away_is_no_unknown_gateway() {
    let (store, service) = started().await;
    store.answer([Answer::Fails(BackendError::StoreFull("words"))]);
    let refused = answer(service.request("POST", "/api/gateways/b/drain")).await;
    check("away", &refused, 507, "store_full", &[]);
}

const REBALANCE: &str = "/api/gateways/rebalance";

#[tokio::test]
async fn gateways_with_too_many_users_are_asked_to_move_some() {
    let (store, service) = started().await;
    store.has_gateways(&[("a", 1, 812), ("b", 2, 402), ("c", 3, 0)]);
    let asked = answer(service.request("POST", REBALANCE)).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    assert_eq!(
        asked.json(),
        json!({
            "status": "ok",
            "message": "users that are asked to move: 407",
            "moving": [{"id": "a", "users": 812, "to_move": 407}],
        })
    );
    store.has_gateways(&[("a", 1, 600), ("b", 2, 600), ("c", 3, 0)]);
    let asked = answer(service.request("POST", REBALANCE)).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    store.has_gateways(&[("a", 1, 601), ("b", 2, 600), ("c", 3, 0)]);
    store.drains("b");
    let asked = answer(service.request("POST", REBALANCE)).await;
    assert_eq!(
        asked.status, 200,
        "what drains comes to the other: {asked:?}"
    );
    store.has_gateways(&[("a", 1, 601), ("b", 2, 0), ("c", 3, 0)]);
    store.drains("c");
    let asked = answer(service.request("POST", REBALANCE)).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let words = [("a", 405), ("a", 400), ("b", 400), ("a", 301)];
    assert_eq!(store.words(), words.map(word));
}

/// That a gateway is to hold at most so many users.
fn word((gateway, users): (&str, u64)) -> (GatewayId, Control) {
    (gateway.parse().unwrap(), Control::Rebalance { users })
}

#[tokio::test]
async fn balanced_gateways_are_left_alone() {
    let (store, service) = started().await;
    for gateways in [&[][..], &[("a", 1, 7)], &[("a", 1, 110), ("b", 2, 90)]] {
        store.has_gateways(gateways);
        let told = answer(service.request("POST", REBALANCE)).await;
        assert_eq!(told.status, 200, "{told:?}");
        let expected =
            json!({"status": "ok", "message": "the gateways are balanced", "moving": []});
        assert_eq!(told.json(), expected);
    }
    assert!(store.words().is_empty());
}

#[tokio::test]
async fn only_an_operator_may_rebalance() {
    let (store, service) = started().await;
    store.has_gateways(&[("a", 1, 40), ("b", 2, 0)]);
    let reader = service
        .anonymous("POST", REBALANCE)
        .bearer_auth(&service.reader);
    let refused = answer(reader).await;
    check("scope", &refused, 403, "insufficient_scope", &[]);
    let refused = answer(service.anonymous("POST", REBALANCE)).await;
    check("no key", &refused, 401, "unauthenticated", &[]);
    let refused = answer(service.request("GET", REBALANCE)).await;
    check("method", &refused, 405, "method_not_allowed", &[]);
    let refused = answer(service.request("POST", "/api/gateways/rebalance?all=1")).await;
    check("query", &refused, 400, "unexpected_query", &[]);
    assert!(store.words().is_empty());
}

#[tokio::test]
async fn a_word_that_may_be_lost_is_given_again() {
    let (store, service) = started().await;
    store.has_gateways(&[("a", 1, 40), ("b", 2, 0)]);
    // The same word: who has heard it already has nothing more to do.
    store.answer([Answer::Fails(BackendError::Unknown("lost".to_owned()))]);
    let asked = answer(service.request("POST", REBALANCE)).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    assert_eq!(store.words(), [word(("a", 20)), word(("a", 20))]);
    store.answer([Answer::Fails(BackendError::StoreFull("words"))]);
    let refused = answer(service.request("POST", REBALANCE)).await;
    check("full", &refused, 507, "store_full", &[]);
}
