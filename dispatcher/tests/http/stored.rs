//! Over the in-memory store: what is accepted is there, once.

use std::{sync::Arc, time::Duration};

use carillon_common::{
    backend::{
        Backend, BusEvent, BusSink, Device, Limits, Membership, Page, Registration,
        memory::{MemoryBackend, MemoryBounds},
    },
    ids::{ChannelName, Cursor, GatewayId, SessionId, UserId},
};
use serde_json::{Value, json};

use crate::service::{Answer, Service, answer};

const SEND: &str = "/api/notifications/send";
const BROADCAST: &str = "/api/notifications/broadcast";
const ONLINE_COUNT: &str = "/api/notifications/online-count";

struct Deaf;

impl BusSink for Deaf {
    fn on_bus(&self, _: BusEvent) {}
}

struct Stored {
    service: Service,
    gateway: Arc<dyn Membership>,
}

impl Stored {
    async fn start() -> Self {
        let limits = Limits {
            inbox_ttl: Duration::from_secs(3600),
            inbox_max: 3,
            scheduled: 3,
            inbox_keep: 2,
            page: 10,
            devices: 16,
            device_ttl: Duration::from_secs(3600),
            connections: 100,
            kept: 100,
            assigned: 100,
            restore: Duration::from_secs(60),
            lease_ttl: Duration::from_secs(15),
            lease_renew: Duration::from_secs(5),
            isolation_deadline: Duration::ZERO,
        };
        let backend = MemoryBackend::new(limits, MemoryBounds::default());
        let name = GatewayId::new("g").unwrap();
        let gateway = backend.join(name, Arc::new(Deaf)).await.unwrap();
        Self {
            service: Service::start(backend).await,
            gateway,
        }
    }

    async fn send(&self, body: &str, key: Option<&str>) -> Answer {
        let mut request = self.service.post(SEND, body.to_owned());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        answer(request).await
    }

    /// Connects the user, and reads its inbox from the start.
    async fn connect(&self, user: &str) -> Page {
        let registration = Registration {
            user: UserId::new(user).unwrap(),
            device: Device::Anonymous,
            session: SessionId::new("s").unwrap(),
            opened: 0,
            fence: None,
            since: Some(Cursor::ZERO),
            broadcast: Cursor::ZERO,
        };
        self.gateway.register(&registration).await.unwrap().page
    }
}

fn body(user: &str, content: &str) -> String {
    json!({"target_user": user, "notification_type": "t", "content": content}).to_string()
}

#[tokio::test]
async fn a_notification_waits_and_then_is_routed() {
    let stored = Stored::start().await;
    let queued = stored.send(&body("alice", "first"), None).await.json();
    assert_eq!(
        (&queued["outcome"], &queued["user_seen"]),
        (&json!("queued"), &json!(false))
    );

    let page = stored.connect("alice").await;
    assert_eq!(page.frames.len(), 1);
    let notification: Value = serde_json::from_slice(&page.frames[0].body).unwrap();
    assert_eq!(notification["content"], "first");
    assert_eq!(notification["id"], queued["id"]);
    assert_eq!(
        page.frames[0].cursor.to_string(),
        queued["cursor"].as_str().unwrap()
    );

    let routed = stored.send(&body("alice", "second"), None).await.json();
    assert_eq!(
        (&routed["outcome"], &routed["devices"]),
        (&json!("routed"), &json!(1))
    );
    assert_eq!(routed["user_seen"], true);
    let count = answer(stored.service.request("GET", ONLINE_COUNT)).await;
    assert_eq!(count.json(), json!({"online_count": 1}));
}

#[tokio::test]
async fn a_repeated_key_is_answered_alike_and_stored_once() {
    let stored = Stored::start().await;
    let first = stored.send(&body("alice", "x"), Some("k")).await;
    let again = stored.send(&body("alice", "x"), Some("k")).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());

    let other = stored.send(&body("alice", "y"), Some("k")).await;
    assert_eq!(
        (other.status, &*other.problem()),
        (422, "idempotency_mismatch")
    );
    let other_user = stored.send(&body("bob", "x"), Some("k")).await;
    assert_eq!(other_user.status, 200);
    assert_ne!(other_user.json()["id"], first.json()["id"]);
    assert_eq!(stored.connect("alice").await.frames.len(), 1);
}

#[tokio::test]
async fn keys_are_each_callers_own() {
    let stored = Stored::start().await;
    let by_other = async |route: &str, body: &str| {
        let request = stored.service.anonymous("POST", route);
        let request = request.bearer_auth(&stored.service.other);
        let request = request
            .header("content-type", "application/json")
            .header("idempotency-key", "k");
        answer(request.body(body.to_owned())).await
    };
    let first = stored.send(&body("alice", "x"), Some("k")).await;
    let other = by_other(SEND, &body("alice", "x")).await;
    assert_eq!(
        (other.status, other.header("idempotent-replayed")),
        (200, None)
    );
    assert_ne!(other.json()["id"], first.json()["id"]);
    let another = by_other(SEND, &body("alice", "y")).await;
    assert_eq!(&*another.problem(), "idempotency_mismatch", "with its own");
    assert_eq!(stored.connect("alice").await.frames.len(), 2);
    let everyone = r#"{"notification_type":"t","content":""}"#;
    let ours = stored.service.post(BROADCAST, everyone);
    let ours = answer(ours.header("idempotency-key", "k")).await;
    let others = by_other(BROADCAST, everyone).await;
    assert_eq!(others.header("idempotent-replayed"), None);
    assert_ne!(ours.json()["id"], others.json()["id"]);
}

#[tokio::test]
async fn an_inbox_that_nobody_reads_is_full_in_the_end() {
    let stored = Stored::start().await;
    for content in ["1", "2", "3"] {
        assert_eq!(stored.send(&body("alice", content), None).await.status, 200);
    }
    let refused = stored.send(&body("alice", "4"), None).await;
    assert_eq!((refused.status, &*refused.problem()), (409, "inbox_full"));
    assert_eq!(stored.send(&body("bob", "1"), None).await.status, 200);
}

#[tokio::test]
async fn a_fleeting_notification_is_stored_nowhere() {
    let stored = Stored::start().await;
    let fleeting = r#"{"target_user":"alice","notification_type":"t","content":"","ttl":0}"#;
    let dropped = stored.send(fleeting, None).await.json();
    assert_eq!(
        (&dropped["outcome"], &dropped["cursor"]),
        (&json!("dropped"), &json!(null))
    );
    assert_eq!(stored.connect("alice").await.frames.len(), 0);
    let routed = stored.send(fleeting, None).await.json();
    assert_eq!(
        (&routed["outcome"], &routed["cursor"]),
        (&json!("routed"), &json!(null))
    );
}

#[tokio::test]
async fn a_broadcast_is_in_its_channels_log_once() {
    let stored = Stored::start().await;
    let send = |body: &str| {
        let request = stored.service.post(BROADCAST, body.to_owned());
        answer(request.header("idempotency-key", "k"))
    };
    let body = r#"{"notification_type":"t","content":"all"}"#;
    let (first, again) = (send(body).await, send(body).await);
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let channel = r#"{"notification_type":"t","content":"some","channel":"orders"}"#;
    assert_eq!(send(channel).await.status, 200);
    for (channel, content) in [
        (ChannelName::broadcast(), "all"),
        (ChannelName::new("orders").unwrap(), "some"),
    ] {
        let log = stored
            .gateway
            .history(&channel, Cursor::ZERO)
            .await
            .unwrap();
        let contents: Vec<_> = log
            .frames
            .iter()
            .map(|frame| serde_json::from_slice::<Value>(&frame.body).unwrap()["content"].clone())
            .collect();
        assert_eq!(contents, [content], "{channel}");
    }
}
