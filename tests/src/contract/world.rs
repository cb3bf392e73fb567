//! The words the cases are written in: a world with services that send, and gateways.

use std::{ops::Deref, time::Duration};

use anyhow::Result;
use carillon_common::{
    backend::{
        BackendError, Device, Idempotency, Limits, PublishOrder, Published, SendOrder, Sent,
    },
    ids::{ChannelName, Cursor},
    notification::Frame,
};
use uuid::Uuid;

use super::{Stores, Subject, gateway::Gateway};

/// An hour: a time that no case waits for.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// The shortest time that every store keeps to.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Limits that are met with few notifications and never by waiting.
pub(super) fn limits() -> Limits {
    Limits {
        inbox_ttl: 24 * HOUR,
        inbox_max: 100,
        scheduled: 100,
        inbox_keep: 50,
        page: 100,
        devices: 16,
        device_ttl: 24 * HOUR,
        connections: 100,
        kept: 100,
        assigned: 100,
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
        collapse_key: None,
        due: None,
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
