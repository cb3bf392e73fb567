//! How the rest of the gateway reaches a connection.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use carillon_common::{
    backend::Device,
    ids::{Cursor, SessionId, UserId},
    protocol::Dialect,
};

use super::mailbox::Mailbox;

/// Where a connection comes from, for the admin port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// The client's, as far as proxies are believed.
    pub address: IpAddr,
    /// What it speaks.
    pub dialect: Dialect,
}

/// A connection, as the rest of the gateway knows it.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The user.
    pub user: UserId,
    /// The device, if it has a name.
    pub device: Device,
    /// The session.
    pub session: SessionId,
    /// Where it comes from.
    pub origin: Origin,
    /// What waits for it.
    pub mailbox: Mailbox,
    /// Its registration's fence; zero until it has one.
    fence: AtomicU64,
    /// Its position in the inbox, for the audit.
    seq: AtomicU64,
    nonce: AtomicU32,
}

impl Handle {
    /// Of a connection that has yet to be registered.
    pub(crate) fn new(
        user: UserId,
        device: Device,
        session: SessionId,
        origin: Origin,
    ) -> Arc<Self> {
        Arc::new(Self {
            user,
            device,
            session,
            origin,
            mailbox: Mailbox::default(),
            fence: AtomicU64::new(0),
            seq: AtomicU64::new(0),
            nonce: AtomicU32::new(0),
        })
    }

    /// Makes the connection's fence and position visible to the audit.
    pub(crate) fn publish_position(&self, fence: u64, position: Cursor) {
        self.fence.store(fence, Ordering::Relaxed);
        self.seq.store(position.seq, Ordering::Relaxed);
        self.nonce.store(position.nonce, Ordering::Relaxed);
    }

    /// Its position in the inbox, a moment ago.
    pub(crate) fn position(&self) -> Cursor {
        Cursor {
            seq: self.seq.load(Ordering::Relaxed),
            nonce: self.nonce.load(Ordering::Relaxed),
        }
    }

    /// Its registration's fence, once it has one.
    pub(crate) fn fence(&self) -> Option<u64> {
        Some(self.fence.load(Ordering::Relaxed)).filter(|fence| *fence > 0)
    }
}
