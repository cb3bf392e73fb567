//! Idempotency keys while a version is replaced that took those of all callers for one: a retry is
//! recognised whichever of the two accepted the request.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend::{self, Backend, BackendError, Former, Idempotency, PublishOrder, SendOrder},
    ids::{ChannelName, UserId},
    settings::Settings,
};
use carillon_tests::redis::{Options, Standalone};
use uuid::Uuid;

/// Room in an inbox.
const MOST: usize = 3;

struct World {
    _redis: Standalone,
    store: Arc<dyn Backend>,
}

/// What a caller asks for, and by which version.
#[derive(Clone, Copy)]
enum By {
    /// The former version, which did not ask who calls.
    Former,
    /// This one, for a caller.
    This(&'static str),
}

impl World {
    async fn start() -> Result<Self> {
        let redis = Standalone::start(&Options::default()).await?;
        let mut settings = Settings::default();
        settings.inbox.max = MOST;
        settings.backend.name_store(redis.url())?;
        let store = backend::connect(&settings).await?;
        Ok(Self {
            _redis: redis,
            store,
        })
    }
}

/// The id that follows from a key.
fn id(of: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, of.as_bytes())
}

fn idempotency(by: By, key: &str, hash: &str) -> (Uuid, Idempotency) {
    let (own, former) = match by {
        By::Former => (key.to_owned(), None),
        By::This(caller) => {
            let former = Former {
                key: key.to_owned(),
                id: id(key),
            };
            (format!("{caller}\t{key}"), Some(former))
        }
    };
    let idempotency = Idempotency {
        key: own.clone(),
        former,
        body_hash: hash.to_owned(),
        ttl: Duration::from_secs(60),
    };
    (id(&own), idempotency)
}

fn send(by: By, key: &str, hash: &str) -> Result<SendOrder> {
    let (id, idempotency) = idempotency(by, key, hash);
    Ok(SendOrder {
        user: UserId::new("alice")?,
        id,
        body: "{}".into(),
        ttl: Duration::from_secs(60),
        collapse_key: None,
        due: None,
        idempotency,
        trace: None,
    })
}

fn publish(by: By, key: &str) -> Result<PublishOrder> {
    let (id, idempotency) = idempotency(by, key, "hash");
    Ok(PublishOrder {
        channel: "news".parse::<ChannelName>()?,
        id,
        body: "{}".into(),
        ttl: Duration::from_secs(60),
        history: 10,
        retention: Duration::from_secs(60),
        idempotency,
        trace: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_recognised_on_either_side_of_an_update() -> Result<()> {
    let world = World::start().await?;
    let store = &world.store;
    let this = By::This("shop");

    let first = store.send(&send(By::Former, "old", "hash")?).await?;
    for _ in 0..2 {
        let order = send(this, "old", "hash")?;
        let again = store.send(&order).await?;
        assert_eq!((again.repeated, again.former), (true, true));
        assert_eq!(again.cursor, first.cursor);
        let told = order.idempotency.accepted_id(order.id, again.former);
        assert_eq!(told, id("old"), "the id that clients saw");
    }

    let first = store.send(&send(this, "new", "hash")?).await?;
    assert_eq!((first.repeated, first.former), (false, false));
    let again = store.send(&send(By::Former, "new", "hash")?).await?;
    assert_eq!((again.repeated, again.cursor), (true, first.cursor));
    let again = store.send(&send(this, "new", "hash")?).await?;
    assert_eq!((again.repeated, again.former), (true, false));

    let first = store.publish(&publish(By::Former, "old")?).await?;
    let again = store.publish(&publish(this, "old")?).await?;
    assert_eq!((again.former, again.cursor), (true, first.cursor));
    let first = store.publish(&publish(this, "new")?).await?;
    let again = store.publish(&publish(By::Former, "new")?).await?;
    assert_eq!((again.repeated, again.cursor), (true, first.cursor));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_do_not_meet_and_what_was_refused_is_forgotten() -> Result<()> {
    let world = World::start().await?;
    let store = &world.store;
    let (shop, desk) = (By::This("shop"), By::This("desk"));
    for by in [shop, desk] {
        assert!(!store.send(&send(by, "key", "hash")?).await?.repeated);
    }
    // Another body than a former version accepted is not of the same caller.
    store.send(&send(By::Former, "other", "one")?).await?;
    let full = store.send(&send(shop, "other", "two")?).await;
    assert!(matches!(full, Err(BackendError::InboxFull)), "{full:?}");
    for by in [shop, By::Former] {
        let full = store.send(&send(by, "refused", "hash")?).await;
        assert!(matches!(full, Err(BackendError::InboxFull)), "{full:?}");
    }
    Ok(())
}
