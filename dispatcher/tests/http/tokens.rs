//! Revoking tokens and asking for tickets, over a store that answers as it is told.

use std::sync::Arc;

use carillon_common::{
    auth::{ApiKeys, NewToken, Revoked, Ticket},
    backend::BackendError,
    ids::{TokenId, UserId},
    settings::{ApiKeySettings, Scope},
};
use serde_json::{Value, json};

use crate::{
    service::{Service, answer, check, client_token, issuer},
    store::{Answer, ToldStore},
};

const REVOKE: &str = "/api/tokens/revoke";
const REVOCATIONS: &str = "/api/tokens/revocations";
const TICKETS: &str = "/api/tickets";

async fn started() -> (Arc<ToldStore>, Service) {
    let store = Arc::new(ToldStore::default());
    let service = Service::start_with(store.clone(), |settings| {
        settings.auth.issuers = vec![issuer()];
    })
    .await;
    (store, service)
}

fn token(user: &str, jti: &str) -> String {
    client_token(NewToken {
        sub: user,
        jti: Some(jti),
        channels: &["private:*"],
        ..NewToken::default()
    })
}

#[tokio::test]
async fn a_revocation_is_given_to_the_store_and_told_as_it_is_listed() {
    let (store, service) = started().await;
    let body = r#"{"user":"alice","jti":"1","issued_before":"2026-01-01T00:00:00Z","expires_at":"2099-01-01T00:00:00Z","reason":"r"}"#;
    let told = answer(service.post(REVOKE, body)).await;
    assert_eq!(told.status, 200, "{told:?}");
    let order = store.revokes().pop().unwrap();
    let what = Revoked::TokenOf(UserId::new("alice").unwrap(), TokenId::new("1").unwrap());
    assert_eq!(order.revocation.what, what);
    assert_eq!(order.revocation.issued_before, Some(1_767_225_600_000));
    // What clocks may differ by is added.
    assert_eq!(order.revocation.until, 4_070_908_800_000 + 30_000);
    assert_eq!(
        (&*order.note.by, order.note.reason.as_deref()),
        ("all", Some("r"))
    );
    let expected = json!({
        "id": what.id(), "user": "alice", "jti": "1", "issued_before": "2026-01-01T00:00:00.000Z",
        "lapses_at": "2099-01-01T00:00:30.000Z", "revoked_by": "all", "reason": "r",
    });
    let mut shown = told.json()["revocation"].clone();
    let at = shown.as_object_mut().unwrap().remove("revoked_at").unwrap();
    assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
    assert_eq!(shown, expected);

    let listed = answer(service.request("GET", REVOCATIONS)).await;
    assert_eq!(listed.json()["next"], Value::Null);
    assert_eq!(listed.json()["revocations"][0]["id"], what.id());
    let taken = answer(service.request("DELETE", &format!("{REVOCATIONS}/{}", what.id()))).await;
    assert_eq!(
        (taken.status, &taken.json()["id"]),
        (200, &json!(what.id()))
    );
    for id in [what.id(), "nobody".to_owned(), "%ff".to_owned()] {
        let again = answer(service.request("DELETE", &format!("{REVOCATIONS}/{id}"))).await;
        check(&id, &again, 404, "revocation_unknown", &[]);
    }
}

#[tokio::test]
async fn who_may_and_what_fails() {
    let (store, service) = started().await;
    let body = r#"{"user":"alice"}"#;
    for (method, path) in [
        ("POST", REVOKE),
        ("GET", REVOCATIONS),
        ("DELETE", "/api/tokens/revocations/x"),
        ("POST", TICKETS),
    ] {
        let request = service.anonymous(method, path).bearer_auth(&service.reader);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        check(path, &answer(request).await, 403, "insufficient_scope", &[]);
    }
    for (failure, status, code) in [
        (
            BackendError::TooManyRevocations,
            409,
            "too_many_revocations",
        ),
        (BackendError::Unexpected("x".to_owned()), 500, "internal"),
    ] {
        store.answer([Answer::Fails(failure)]);
        check(
            code,
            &answer(service.post(REVOKE, body)).await,
            status,
            code,
            &[],
        );
    }
    let lapse = std::time::Duration::from_secs(12);
    store.answer([Answer::Fails(BackendError::TooManyTickets(lapse))]);
    let refused = answer(service.post(TICKETS, body)).await;
    check("tickets", &refused, 429, "too_many_tickets", &[]);
    assert_eq!(refused.header("retry-after"), Some("12"));
    let query = answer(service.post(&format!("{TICKETS}?user=a"), body)).await;
    check("query", &query, 400, "unexpected_query", &[]);
    let untyped = answer(service.request("POST", TICKETS).body(body)).await;
    check("untyped", &untyped, 415, "unsupported_media_type", &[]);
}

#[tokio::test]
async fn a_ticket_is_kept_by_its_hash_with_what_it_stands_for() {
    let (store, service) = started().await;
    let alice = token("alice", "7");
    let told = answer(service.anonymous("POST", TICKETS).bearer_auth(&alice)).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let order = store.tickets().pop().unwrap();
    let ticket = Ticket::new(told.json()["ticket"].as_str().unwrap()).unwrap();
    assert_eq!(order.ticket, ticket.hash());
    assert!(!format!("{order:?}").contains(ticket.expose()));
    assert_eq!(
        (order.user.as_str(), &*order.claims.sub),
        ("alice", "alice")
    );
    assert_eq!(order.claims.jti.as_deref(), Some("7"));
    assert_eq!(order.claims.channels[0].as_str(), "private:*");
    assert!(
        order.claims.warrant.is_some(),
        "its key goes on being asked about"
    );
    assert_eq!((order.ttl.as_secs(), order.most), (30, 30));

    let told = answer(service.post(TICKETS, r#"{"user":"bob"}"#)).await;
    assert_eq!(told.json()["user"], "bob");
    let order = store.tickets().pop().unwrap();
    assert!(order.claims.warrant.is_none() && order.claims.jti.is_none());
    let refused = service.anonymous("POST", TICKETS).bearer_auth(&alice);
    let refused = refused.header("content-type", "application/json");
    let refused = answer(refused.body(r#"{"user":"bob"}"#)).await;
    check("another's", &refused, 403, "user_forbidden", &["/user"]);
    let ended = answer(service.anonymous("POST", TICKETS).bearer_auth("eyJ.e30.x")).await;
    check("nonsense", &ended, 401, "unauthenticated", &[]);
}

#[tokio::test]
async fn a_key_keeps_to_its_users_and_channels() {
    let store = Arc::new(ToldStore::default());
    let mut limited = String::new();
    let service = Service::start_with(store.clone(), |settings| {
        let (key, hash) = ApiKeys::generate();
        limited = key.expose().clone();
        settings.auth.issuers = vec![issuer()];
        settings.auth.api_keys.push(ApiKeySettings {
            name: "limited".to_owned(),
            hash,
            scopes: vec![Scope::Tickets, Scope::Admin],
            users: Some(vec!["shop-*".to_owned()]),
            channels: Some(vec!["orders.*".to_owned()]),
            sends_per_second: None,
            sends_burst: None,
        });
    })
    .await;
    let post = |path: &str, body: &str| {
        let request = service.anonymous("POST", path).bearer_auth(&limited);
        answer(
            request
                .header("content-type", "application/json")
                .body(body.to_owned()),
        )
    };
    for channels in [r#"["*"]"#, r#"["orders.eu","private:a"]"#, r#"["orders*"]"#] {
        let body = format!(r#"{{"user":"shop-1","channels":{channels}}}"#);
        let refused = post(TICKETS, &body).await;
        check(&body, &refused, 403, "channel_forbidden", &["/channels"]);
    }
    assert!(store.tickets().is_empty());
    let given = post(
        TICKETS,
        r#"{"user":"shop-1","channels":["orders.eu","orders.*"]}"#,
    );
    assert_eq!(given.await.status, 200);

    for body in [r#"{"user":"alice"}"#, r#"{"jti":"1"}"#] {
        let refused = post(REVOKE, body).await;
        check(body, &refused, 403, "user_forbidden", &["/user"]);
    }
    assert!(store.revokes().is_empty());
    for body in [r#"{"user":"shop-1"}"#, r#"{"user":"shop-2","jti":"1"}"#] {
        assert_eq!(post(REVOKE, body).await.status, 200, "{body}");
    }
    let others = answer(service.post(REVOKE, r#"{"user":"alice"}"#)).await;
    let others = others.json()["revocation"]["id"].clone();
    let path = format!("{REVOCATIONS}/{}", others.as_str().unwrap());
    let refused = answer(service.anonymous("DELETE", &path).bearer_auth(&limited)).await;
    check("another's", &refused, 404, "revocation_unknown", &[]);
}

#[tokio::test]
async fn a_revoked_client_gets_no_ticket() {
    let (_, service) = started().await;
    let alice = token("alice", "7");
    answer(service.post(REVOKE, r#"{"user":"alice"}"#)).await;
    let refused = answer(service.anonymous("POST", TICKETS).bearer_auth(&alice)).await;
    check("revoked", &refused, 401, "unauthenticated", &[]);
    assert!(refused.text.contains("revoked"), "{refused:?}");
    let other = answer(
        service
            .anonymous("POST", TICKETS)
            .bearer_auth(token("bob", "7")),
    )
    .await;
    assert_eq!(other.status, 200);
}
