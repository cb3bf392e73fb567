//! What only this store has: bounds, sweeping, a lease lost at will. Everything else is asserted
//! for every store by the contract suite.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::{
    backend::{Ack, Device, Idempotency, LeftReason, Registration, clock},
    ids::DeviceId,
};

const DAY: Duration = Duration::from_secs(86_400);

fn limits() -> Limits {
    Limits {
        inbox_ttl: DAY,
        inbox_max: 3,
        scheduled: 3,
        inbox_keep: 1,
        page: 10,
        devices: 16,
        device_ttl: DAY,
        connections: 100,
        kept: 100,
        assigned: 100,
        restore: Duration::from_secs(600),
        lease_ttl: Duration::from_secs(15),
        lease_renew: Duration::from_secs(5),
        isolation_deadline: Duration::ZERO,
    }
}

fn bounds(bytes: u64, users: u64) -> MemoryBounds {
    MemoryBounds {
        bytes,
        users,
        ..MemoryBounds::default()
    }
}

fn order(user: &str, ttl: Duration) -> SendOrder {
    let id = uuid::Uuid::new_v4();
    SendOrder {
        user: UserId::new(user).unwrap(),
        id,
        body: "{}".into(),
        ttl,
        collapse_key: None,
        due: None,
        idempotency: Idempotency {
            key: id.to_string(),
            former: None,
            body_hash: String::new(),
            ttl: Duration::from_secs(60),
        },
        trace: None,
    }
}

fn registration(user: &str, device: &str) -> Registration {
    Registration {
        user: UserId::new(user).unwrap(),
        device: Device::Named(DeviceId::new(device).unwrap()),
        session: device.parse().unwrap(),
        opened: clock::local_now(),
        fence: None,
        since: None,
        broadcast: Cursor::ZERO,
    }
}

fn advance(backend: &MemoryBackend, by: Duration) {
    let (clock, now) = (backend.clock(), clock::local_now());
    clock.measured(now, clock.now() + rules::millis(by), now);
}

#[derive(Default)]
struct Heard(Mutex<Vec<BusEvent>>);

impl BusSink for Heard {
    fn on_bus(&self, event: BusEvent) {
        self.0.lock().unwrap().push(event);
    }
}

async fn join(backend: &MemoryBackend, name: &str) -> (Arc<dyn Membership>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let sink: Arc<dyn BusSink> = heard.clone();
    let membership = backend.join(name.parse().unwrap(), sink).await.unwrap();
    (membership, heard)
}

#[tokio::test]
async fn a_full_store_says_which_bound() {
    let backend = MemoryBackend::new(limits(), bounds(600, 2));
    for user in ["a", "b"] {
        backend.send(&order(user, DAY)).await.unwrap();
    }
    assert!(!backend.degraded().is_empty());
    let refused = backend.send(&order("b", DAY)).await.unwrap_err();
    assert!(matches!(refused, BackendError::StoreFull(what) if what.contains("bytes")));
    let refused = backend.send(&order("c", DAY)).await.unwrap_err();
    assert!(matches!(refused, BackendError::StoreFull("users")));
}

#[tokio::test]
async fn users_whom_nobody_asks_for_are_swept_and_their_bytes_come_back() {
    let backend = MemoryBackend::new(limits(), MemoryBounds::default());
    backend.send(&order("a", DAY)).await.unwrap();
    advance(&backend, 2 * DAY - Duration::from_secs(10));
    backend.store.tend();
    assert_eq!(backend.store.user_places.used(), 1);
    advance(&backend, Duration::from_secs(70));
    backend.store.tend();
    assert_eq!(backend.store.user_places.used(), 0);
    assert_eq!(backend.store.bytes.used(), 0);
}

#[tokio::test]
async fn a_user_idle_for_too_long_is_unknown_even_before_the_sweep() {
    let backend = MemoryBackend::new(limits(), MemoryBounds::default());
    let (gateway, _) = join(&backend, "g").await;
    let sent = backend.send(&order("a", DAY)).await.unwrap();
    advance(&backend, 2 * DAY + Duration::from_secs(1));
    let mut returns = registration("a", "phone");
    returns.since = sent.cursor;
    let page = gateway.register(&returns).await.unwrap().page;
    assert_eq!((page.end, page.gap), (Cursor::ZERO, Some(Gap::Expired)));
}

#[tokio::test]
async fn idempotency_keys_give_their_bytes_back() {
    let backend = MemoryBackend::new(limits(), MemoryBounds::default());
    backend.send(&order("a", DAY)).await.unwrap();
    let with_key = backend.store.bytes.used();
    advance(&backend, Duration::from_secs(61));
    backend.store.tend();
    assert!(backend.store.bytes.used() < with_key);
    assert_eq!(backend.store.bytes.used(), chain::Chain::weight(2));
}

#[tokio::test]
async fn what_left_undelivered_is_remembered() {
    let backend = MemoryBackend::new(limits(), MemoryBounds::default());
    let (gateway, _) = join(&backend, "g").await;
    let phone = gateway.register(&registration("a", "phone")).await.unwrap();
    let sent = async |ttl| {
        let sent = backend.send(&order("a", ttl)).await.unwrap();
        sent.cursor.unwrap()
    };
    let first = sent(DAY).await;
    let ack = Ack {
        user: UserId::new("a").unwrap(),
        device: Device::Named(DeviceId::new("phone").unwrap()),
        session: "phone".parse().unwrap(),
        cursor: first,
        broadcast: None,
        expired: vec![first],
    };
    gateway.ack(&ack).await.unwrap();
    gateway
        .unregister(&crate::backend::Departure {
            user: ack.user.clone(),
            device: ack.device.clone(),
            session: ack.session.clone(),
            fence: phone.fence,
            broadcast: None,
            restorable: vec![],
        })
        .await
        .unwrap();
    let second = sent(DAY).await;
    let third = sent(Duration::from_secs(1)).await;
    sent(DAY).await;
    advance(&backend, Duration::from_secs(2));
    sent(DAY).await; // third expired in the middle
    sent(DAY).await; // second is passed over
    let left: Vec<(Cursor, bool, LeftReason)> = backend
        .left(&ack.user)
        .into_iter()
        .map(|left| (left.cursor, left.reader.is_some(), left.reason))
        .collect();
    assert_eq!(
        left,
        [
            (first, true, LeftReason::Expired),
            (third, false, LeftReason::Expired),
            (second, true, LeftReason::Dropped),
        ]
    );
}

#[tokio::test]
async fn a_lost_lease_is_replaced_and_its_entries_are_reaped() {
    let quick = Limits {
        lease_renew: Duration::from_millis(5),
        ..limits()
    };
    let backend = MemoryBackend::new(quick, MemoryBounds::default());
    let (gateway, heard) = join(&backend, "g").await;
    gateway.register(&registration("a", "phone")).await.unwrap();
    let lost = gateway.generation();
    backend.lose_lease(&"g".parse().unwrap());
    assert!(backend.gateways().await.unwrap().is_empty());
    // Whether or not the gateway has reaped it by now: no lease vouches for it.
    assert_eq!(backend.online_count().await.unwrap(), 0);
    let replaced = async {
        while gateway.generation() == lost {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let deadline = Duration::from_secs(10);
    tokio::time::timeout(deadline, replaced).await.unwrap();
    assert!(gateway.generation() > lost);
    assert!(matches!(
        heard.0.lock().unwrap()[..],
        [BusEvent::Dirty { .. }]
    ));
    assert_eq!(backend.gateways().await.unwrap().len(), 1);
    assert_eq!(backend.online_count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_gateway_that_left_registers_nobody() {
    let backend = MemoryBackend::new(limits(), MemoryBounds::default());
    let (gateway, _) = join(&backend, "g").await;
    gateway.register(&registration("a", "phone")).await.unwrap();
    gateway.leave().await.unwrap();
    let refused = gateway.register(&registration("a", "phone")).await;
    assert!(matches!(refused, Err(BackendError::Unavailable(_))));
    assert_eq!(backend.online_count().await.unwrap(), 0);
}
