//! Who is connected, and what the store is sent in that name.

use carillon_common::{
    backend::{Ack, Device, Registration},
    ids::{Cursor, Millis, SessionId, UserId},
    protocol::Dialect,
};

use super::receipts::Report;

/// Who is connected.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The token's subject.
    pub user: UserId,
    /// The device it says it is.
    pub device: Device,
    /// The session it says it continues, or a new one.
    pub session: SessionId,
    /// Which frames it speaks.
    pub dialect: Dialect,
    /// When the connection was opened, in the store's time.
    pub opened: Millis,
}

impl Identity {
    pub(super) fn registration(
        &self,
        fence: Option<u64>,
        since: Option<Cursor>,
        broadcast: Cursor,
    ) -> Registration {
        Registration {
            user: self.user.clone(),
            device: self.device.clone(),
            session: self.session.clone(),
            opened: self.opened,
            fence,
            since,
            broadcast,
        }
    }

    pub(super) fn ack(&self, report: Report) -> Ack {
        Ack {
            user: self.user.clone(),
            device: self.device.clone(),
            session: self.session.clone(),
            cursor: report.cursor,
            broadcast: Some(report.broadcast),
            expired: report.expired,
        }
    }
}
