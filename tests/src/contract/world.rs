//! The words the cases are written in: a world with services that send, gateways and connections.

use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend::{
        Ack, AuditAnswer, AuditQuestion, Backend, BackendError, Claimed, Clock, Departure, Device,
        Holder, Idempotency, Limits, Membership, Page, PublishOrder, Published, Registered,
        Registration, SendOrder, Sent, Subscription,
    },
    ids::{ChannelName, Cursor, GatewayId, UserId},
    notification::Frame,
};
use uuid::Uuid;

use super::{Recorder, Stores, Subject};

/// An hour: a time that no case waits for.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// The shortest time that every store keeps to.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Limits that are met with few notifications and never by waiting.
pub(super) fn limits() -> Limits {
    Limits {
        inbox_ttl: 24 * HOUR,
        inbox_max: 100,
        inbox_keep: 50,
        page: 100,
        devices: 16,
        device_ttl: 24 * HOUR,
        connections: 100,
        kept: 100,
        restore: HOUR,
        lease_ttl: Duration::from_secs(30),
        lease_renew: Duration::from_secs(10),
        isolation_deadline: Duration::ZERO,
    }
}

/// A lease that runs out while one waits, and not while a busy machine stalls.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// [`limits`] with leases that run out while one waits.
pub(super) fn short_leases() -> Limits {
    Limits {
        lease_ttl: LEASE,
        lease_renew: SECOND / 5,
        ..limits()
    }
}

/// A fresh deployment.
pub(super) struct World(Subject);

impl Deref for World {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.0
    }
}

impl World {
    /// With these limits.
    pub(super) async fn new(stores: &dyn Stores, limits: Limits) -> Result<Self> {
        Ok(Self(stores.fresh(limits).await?))
    }

    /// A gateway of this name.
    pub(super) async fn gateway(&self, name: &str) -> Result<Gateway> {
        Gateway::join(&self.backend, name).await
    }

    /// A gateway of this name in the other process.
    pub(super) async fn other_gateway(&self, name: &str) -> Result<Gateway> {
        Gateway::join(&self.other, name).await
    }

    /// Sends something, and it must be accepted.
    pub(super) async fn send(&self, user: &str) -> Result<Cursor> {
        self.send_for(user, HOUR).await
    }

    /// Sends something that lasts for `ttl`, and it must be accepted.
    pub(super) async fn send_for(&self, user: &str, ttl: Duration) -> Result<Cursor> {
        let sent = self.backend.send(&order(user, ttl)?).await?;
        sent.cursor
            .ok_or_else(|| anyhow::anyhow!("nothing was stored"))
    }

    /// Sends several, one after the other.
    pub(super) async fn send_many(&self, user: &str, count: usize) -> Result<Vec<Cursor>> {
        let mut cursors = Vec::with_capacity(count);
        for _ in 0..count {
            cursors.push(self.send(user).await?);
        }
        Ok(cursors)
    }

    /// Gives an order.
    pub(super) async fn order(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        self.backend.send(order).await
    }

    /// Publishes something, and it must be accepted.
    pub(super) async fn publish(&self, channel: &str) -> Result<Cursor> {
        let published: Published = self.backend.publish(&publication(channel)?).await?;
        Ok(published.cursor)
    }

    /// Publishes several, one after the other.
    pub(super) async fn publish_many(&self, channel: &str, count: usize) -> Result<Vec<Cursor>> {
        let mut cursors = Vec::with_capacity(count);
        for _ in 0..count {
            cursors.push(self.publish(channel).await?);
        }
        Ok(cursors)
    }
}

/// An order with an id, key and body of its own.
pub(super) fn order(user: &str, ttl: Duration) -> Result<SendOrder> {
    let id = Uuid::new_v4();
    Ok(SendOrder {
        user: user.parse()?,
        id,
        body: format!(r#"{{"id":"{id}"}}"#).into(),
        ttl,
        idempotency: idempotency(&id.to_string(), "hash"),
        trace: None,
    })
}

/// An order for a channel, whose log keeps a hundred entries for an hour.
pub(super) fn publication(channel: &str) -> Result<PublishOrder> {
    let id = Uuid::new_v4();
    Ok(PublishOrder {
        channel: self::channel(channel)?,
        id,
        body: format!(r#"{{"id":"{id}"}}"#).into(),
        ttl: HOUR,
        history: 100,
        retention: HOUR,
        idempotency: idempotency(&id.to_string(), "hash"),
        trace: None,
    })
}

/// A key for a minute.
pub(super) fn idempotency(key: &str, body_hash: &str) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        former: None,
        body_hash: body_hash.to_owned(),
        ttl: Duration::from_secs(60),
    }
}

/// A channel's name, the reserved one included.
pub(super) fn channel(name: &str) -> Result<ChannelName> {
    Ok(name.parse()?)
}

/// A device by name; `~`, alone or before a session's name, for the anonymous one.
pub(super) fn device(name: &str) -> Result<Device> {
    Ok(if name.starts_with('~') {
        Device::Anonymous
    } else {
        Device::Named(name.parse()?)
    })
}

/// A place that is in nobody's chain: the same number in another history.
pub(super) fn elsewhere(cursor: Cursor) -> Cursor {
    Cursor {
        nonce: cursor.nonce ^ 1 | 2,
        ..cursor
    }
}

/// The cursors of frames.
pub(super) fn cursors(frames: &[Frame]) -> Vec<Cursor> {
    frames.iter().map(|frame| frame.cursor).collect()
}

/// A gateway: its membership and what it heard.
pub(super) struct Gateway {
    /// Its place in the deployment.
    pub(super) membership: Arc<dyn Membership>,
    /// What it heard.
    pub(super) heard: Arc<Recorder>,
    /// Its name.
    pub(super) name: GatewayId,
    clock: Clock,
}

impl Deref for Gateway {
    type Target = dyn Membership;

    fn deref(&self) -> &Self::Target {
        &*self.membership
    }
}

impl Gateway {
    async fn join(backend: &Arc<dyn Backend>, name: &str) -> Result<Self> {
        let name: GatewayId = name.parse()?;
        let heard = Arc::new(Recorder::default());
        let sink = Arc::clone(&heard);
        Ok(Self {
            membership: backend.join(name.clone(), sink).await?,
            heard,
            name,
            clock: backend.clock(),
        })
    }

    /// A connection of a device's, in a session of the device's name.
    pub(super) async fn connect(&self, user: &str, device: &str) -> Result<Connection> {
        self.connect_since(user, device, None).await
    }

    /// A connection of a client that knows its own position.
    pub(super) async fn connect_since(
        &self,
        user: &str,
        device: &str,
        since: Option<Cursor>,
    ) -> Result<Connection> {
        self.register(self::registration(user, device, since)?)
            .await
    }

    /// A connection, opened now unless it says otherwise.
    pub(super) async fn register(&self, mut registration: Registration) -> Result<Connection> {
        if registration.opened == 0 {
            registration.opened = self.clock.now();
        }
        let registered = self.membership.register(&registration).await?;
        Ok(Connection {
            gateway: Arc::clone(&self.membership),
            registration,
            registered,
        })
    }

    /// The page a device would read after a position.
    pub(super) async fn page(&self, user: &str, device: &str, after: Cursor) -> Result<Page> {
        let (user, device) = (user.parse()?, self::device(device)?);
        Ok(self.membership.read(&user, &device, after).await?)
    }

    /// All that is kept of a user's inbox.
    pub(super) async fn kept(&self, user: &str) -> Result<Vec<Frame>> {
        let mut page = self.page(user, "anyone", Cursor::ZERO).await?;
        let mut frames = std::mem::take(&mut page.frames);
        while page.more {
            page = self.page(user, "anyone", page.end).await?;
            frames.append(&mut page.frames);
        }
        Ok(frames)
    }

    /// A page of a channel's log.
    pub(super) async fn log(&self, channel: &str, after: Cursor) -> Result<Page> {
        let channel = self::channel(channel)?;
        Ok(self.membership.history(&channel, after).await?)
    }

    /// Claims what ended sessions left.
    pub(super) async fn claim(&self, user: &str, session: &str) -> Result<Claimed> {
        let (user, session): (UserId, _) = (user.parse()?, session.parse()?);
        Ok(self.membership.claim_subscriptions(&user, &session).await?)
    }
}

/// A registration as a new client makes it.
pub(super) fn registration(
    user: &str,
    device: &str,
    since: Option<Cursor>,
) -> Result<Registration> {
    Ok(Registration {
        user: user.parse()?,
        device: self::device(device)?,
        session: device.trim_start_matches('~').parse()?,
        opened: 0,
        fence: None,
        since,
        broadcast: Cursor::ZERO,
    })
}

/// A registered connection.
pub(super) struct Connection {
    pub(super) gateway: Arc<dyn Membership>,
    /// How it registered.
    pub(super) registration: Registration,
    /// What it was told.
    pub(super) registered: Registered,
}

impl Connection {
    /// The first page.
    pub(super) fn page(&self) -> &Page {
        &self.registered.page
    }

    /// The cursors of the first page.
    pub(super) fn cursors(&self) -> Vec<Cursor> {
        cursors(&self.page().frames)
    }

    /// Acks everything up to a cursor.
    pub(super) async fn ack(&self, cursor: Cursor) -> Result<()> {
        self.ack_with(cursor, None, vec![]).await
    }

    /// Acks, the broadcast log and expired ones included.
    pub(super) async fn ack_with(
        &self,
        cursor: Cursor,
        broadcast: Option<Cursor>,
        expired: Vec<Cursor>,
    ) -> Result<()> {
        let ack = Ack {
            user: self.registration.user.clone(),
            device: self.registration.device.clone(),
            session: self.registration.session.clone(),
            cursor,
            broadcast,
            expired,
        };
        Ok(self.gateway.ack(&ack).await?)
    }

    /// Keeps a simple client's subscription.
    pub(super) async fn keep(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Session(self.registration.session.clone());
        self.keep_as(&holder, channel, cursor, true).await
    }

    /// Says where a simple client's subscription stands.
    pub(super) async fn stands(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Session(self.registration.session.clone());
        self.keep_as(&holder, channel, cursor, false).await
    }

    /// Keeps a durable subscription.
    pub(super) async fn keep_durably(&self, channel: &str, cursor: Cursor) -> Result<()> {
        let holder = Holder::Device(self.registration.device.clone());
        self.keep_as(&holder, channel, cursor, true).await
    }

    async fn keep_as(
        &self,
        holder: &Holder,
        channel: &str,
        cursor: Cursor,
        asked: bool,
    ) -> Result<()> {
        let user = &self.registration.user;
        let kept = subscription(channel, cursor)?;
        let keeping = self.gateway.keep_subscription(user, holder, &kept, asked);
        Ok(keeping.await?)
    }

    /// Forgets a kept subscription.
    pub(super) async fn forget(&self, holder: &Holder, channel: &str) -> Result<()> {
        let (user, channel) = (&self.registration.user, self::channel(channel)?);
        let forgetting = self.gateway.drop_subscription(user, holder, &channel);
        Ok(forgetting.await?)
    }

    /// Ends cleanly.
    pub(super) async fn end(&self) -> Result<()> {
        self.end_with(None, vec![]).await
    }

    /// Ends, leaving subscriptions for the user's next connection.
    pub(super) async fn end_with(
        &self,
        broadcast: Option<Cursor>,
        restorable: Vec<Subscription>,
    ) -> Result<()> {
        let departure = Departure {
            user: self.registration.user.clone(),
            device: self.registration.device.clone(),
            session: self.registration.session.clone(),
            fence: self.registered.fence,
            broadcast,
            restorable,
        };
        Ok(self.gateway.unregister(&departure).await?)
    }

    /// Registers again, as after a lost lease, on this gateway or another.
    pub(super) async fn again(&self, gateway: &Gateway) -> Result<Connection> {
        let again = Registration {
            fence: Some(self.registered.fence),
            ..self.registration.clone()
        };
        gateway.register(again).await
    }

    /// How it stands in the eyes of a gateway.
    pub(super) async fn audit(&self, gateway: &Gateway) -> Result<AuditAnswer> {
        let question = AuditQuestion {
            user: self.registration.user.clone(),
            device: self.registration.device.clone(),
            session: self.registration.session.clone(),
        };
        let answers = gateway.membership.audit(&[question]).await?;
        anyhow::ensure!(
            answers.len() == 1,
            "{} answers to one question",
            answers.len()
        );
        Ok(answers[0])
    }
}

/// A subscription.
pub(super) fn subscription(channel: &str, cursor: Cursor) -> Result<Subscription> {
    Ok(Subscription {
        channel: self::channel(channel)?,
        cursor,
    })
}
