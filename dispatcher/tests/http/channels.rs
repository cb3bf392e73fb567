//! Which channels are followed, what was published on one, who is on it.

use std::sync::Arc;

use carillon_common::{
    auth::ApiKeys,
    backend::{Gap, Member, Page, Roll, RollCall, Rolls},
    ids::Cursor,
    notification::Frame,
    settings::{ApiKeySettings, Scope, Settings},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    service::{Answer, Service, answer, check},
    store::{CURSOR, ToldStore},
};

/// A key that may read about orders, and of shops, alone.
fn limited(settings: &mut Settings) -> String {
    let (key, hash) = ApiKeys::generate();
    settings.auth.api_keys.push(ApiKeySettings {
        name: "limited".to_owned(),
        hash,
        scopes: vec![Scope::Read],
        users: Some(vec!["shop-*".to_owned()]),
        channels: Some(vec!["orders*".to_owned()]),
        sends_per_second: None,
        sends_burst: None,
    });
    key.expose().clone()
}

struct Stage {
    store: Arc<ToldStore>,
    service: Service,
    limited: String,
}

impl Stage {
    async fn new() -> Self {
        let store = Arc::new(ToldStore::default());
        let mut key = String::new();
        let service = Service::start_with(store.clone(), |settings| key = limited(settings)).await;
        Self {
            store,
            service,
            limited: key,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        answer(
            self.service
                .anonymous("GET", path)
                .bearer_auth(&self.service.reader),
        )
        .await
    }

    async fn get_limited(&self, path: &str) -> Answer {
        answer(
            self.service
                .anonymous("GET", path)
                .bearer_auth(&self.limited),
        )
        .await
    }
}

fn names(page: &Value) -> Vec<&str> {
    let channels = page["channels"].as_array().unwrap();
    channels
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn followed_channels_are_listed_in_pages() {
    let stage = Stage::new().await;
    stage
        .store
        .has_followed(&["billing", "orders", "orders.eu", "orders.us"]);
    let all = stage.get("/api/channels").await;
    let expected = json!({"channels": [
        {"name": "billing"}, {"name": "orders"}, {"name": "orders.eu"}, {"name": "orders.us"},
    ], "next": null});
    assert_eq!((all.status, all.json()), (200, expected), "{all:?}");
    let mut after = String::new();
    let mut listed = Vec::new();
    loop {
        let page = stage
            .get(&format!("/api/channels?prefix=orders&limit=2{after}"))
            .await
            .json();
        listed.extend(names(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed, ["orders", "orders.eu", "orders.us"]);
    let own = stage.get_limited("/api/channels?limit=1000").await.json();
    assert_eq!(names(&own), ["orders", "orders.eu", "orders.us"]);
}

#[tokio::test]
async fn bad_questions() {
    let stage = Stage::new().await;
    for (path, status, code, pointers) in [
        (
            "/api/channels?limit=0",
            422,
            "invalid_field",
            &["/limit"][..],
        ),
        (
            "/api/channels?limit=1001",
            422,
            "invalid_field",
            &["/limit"],
        ),
        ("/api/channels?limit=-1", 422, "invalid_field", &["/limit"]),
        ("/api/channels?limit=", 422, "invalid_field", &["/limit"]),
        (
            "/api/channels?prefix=a+b",
            422,
            "invalid_field",
            &["/prefix"],
        ),
        (
            "/api/channels?after=%C3%A5",
            422,
            "invalid_field",
            &["/after"],
        ),
        ("/api/channels?all=1", 422, "unknown_field", &["/all"]),
        ("/api/channels?after=%zz", 400, "malformed_query", &[]),
        ("/api/channels/a%20b/history", 400, "invalid_path", &[]),
        ("/api/channels/*/history", 400, "invalid_path", &[]),
        ("/api/channels/%ff/presence", 400, "invalid_path", &[]),
        (
            "/api/channels/a/history?after=7",
            422,
            "invalid_field",
            &["/after"],
        ),
        (
            "/api/channels/a/history?limit=257",
            422,
            "invalid_field",
            &["/limit"],
        ),
        (
            "/api/channels/a/history?after=1-1&after=2-1",
            422,
            "invalid_field",
            &["/after"],
        ),
        (
            "/api/channels/a/presence?limit=257",
            422,
            "invalid_field",
            &["/limit"],
        ),
        (
            "/api/channels/a/presence?after=",
            422,
            "invalid_field",
            &["/after"],
        ),
    ] {
        let refused = stage.get(path).await;
        check(path, &refused, status, code, pointers);
    }
    for path in [
        "/api/channels/billing/history",
        "/api/channels/billing/presence",
    ] {
        let refused = stage.get_limited(path).await;
        check(path, &refused, 403, "channel_forbidden", &["/channel"]);
        let other = answer(
            stage
                .service
                .anonymous("GET", path)
                .bearer_auth(&stage.service.other),
        );
        check(path, &other.await, 403, "insufficient_scope", &[]);
    }
    assert!(stage.store.histories().is_empty() && stage.store.roll_calls().is_empty());
}

#[tokio::test]
async fn a_log_is_told_as_it_is_stored() {
    let stage = Stage::new().await;
    let frame = |seq: u64, expires_at: i64| {
        Frame {
        cursor: Cursor { seq, nonce: 7 },
        id: Uuid::nil(),
        stored_at: 1_767_225_600_000,
        expires_at,
        tombstone: false,
        trace: None,
        body: r#"{"id":"n","type":"t","content":"c","data":{"n":1.50},"timestamp":"now","target_user":null,"channel":"orders"}"#
            .into(),
    }
    };
    stage.store.has_page(Page {
        start: CURSOR,
        frames: vec![frame(8, 0), frame(9, 4_102_444_800_000)],
        end: Cursor { seq: 9, nonce: 7 },
        more: true,
        gap: Some(Gap::Expired),
    });
    let told = stage
        .get_limited("/api/channels/orders/history?after=7-9&limit=2")
        .await;
    assert_eq!(told.status, 200, "{told:?}");
    assert!(told.text.contains(r#""data":{"n":1.50}"#), "{told:?}");
    let read = told.json();
    assert_eq!(
        (&read["channel"], &read["next"], &read["more"], &read["gap"]),
        (
            &json!("orders"),
            &json!("9-7"),
            &json!(true),
            &json!("expired")
        )
    );
    let notifications = read["notifications"].as_array().unwrap();
    assert_eq!(notifications.len(), 1, "what has expired is left out");
    assert_eq!(notifications[0]["cursor"], "9-7");
    assert_eq!(notifications[0]["stored_at"], "2026-01-01T00:00:00.000Z");
    stage.get("/api/channels/orders/history").await;
    let orders = || "orders".parse().unwrap();
    let asked = [(orders(), CURSOR, 2), (orders(), Cursor::ZERO, 100)];
    assert_eq!(stage.store.histories(), asked);
}

#[tokio::test]
async fn who_is_on_a_channel_is_what_gateways_say() {
    let stage = Stage::new().await;
    let member = |user: &str, session: &str, device: Option<&str>| Member {
        user: user.parse().unwrap(),
        session: session.parse().unwrap(),
        device: device.map(|device| device.parse().unwrap()),
    };
    let roll = |gateway: &str, members: Vec<Member>| Roll {
        gateway: gateway.parse().unwrap(),
        connections: members.len() as u64,
        members,
        more: false,
    };
    stage.store.has_rolls(Rolls {
        asked: 3,
        answers: vec![
            roll(
                "g1",
                vec![member("bob", "s1", None), member("shop-1", "s2", None)],
            ),
            roll("g2", vec![member("bob", "s3", Some("phone"))]),
        ],
    });
    let told = stage
        .get("/api/channels/orders/presence?limit=1&after=alice")
        .await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(
        told.json(),
        json!({"channel": "orders", "connections": 3, "users": [
            {"user": "bob", "connections": [
                {"device": null, "session": "s1", "gateway": "g1"},
                {"device": "phone", "session": "s3", "gateway": "g2"},
            ]},
        ], "next": "bob", "gateways": {"asked": 3, "answered": 2}})
    );
    let call = RollCall {
        channel: "orders".parse().unwrap(),
        after: Some("alice".parse().unwrap()),
        most: 1,
    };
    assert_eq!(stage.store.roll_calls(), [call]);
    // Of others than its own users a key is told nothing but how many there are.
    let own = stage
        .get_limited("/api/channels/orders/presence")
        .await
        .json();
    assert_eq!(
        (&own["connections"], &own["users"][0]["user"]),
        (&json!(3), &json!("shop-1"))
    );
    assert_eq!(own["users"].as_array().unwrap().len(), 1);
}
