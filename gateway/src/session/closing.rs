//! How a connection comes to its end: planned closes, and what is reported of the end.

use std::time::Duration;

use carillon_common::{
    backend::{Ack, Departure, Holder, Subscription},
    ids::Millis,
    notification::rfc3339,
    protocol::{CloseCode, Dialect, ServerFrame},
};

use super::{Now, Out, Session, clock::millis, pace::Planned};

impl Session {
    /// The connection is to be closed for the gateway's own reasons.
    pub(super) fn on_drain(
        &mut self,
        close_in: Duration,
        code: CloseCode,
        now: Now,
        out: &mut Out,
    ) {
        self.pace.plan(Planned {
            at: now.mono + close_in,
            code,
            tell_at: now.mono,
            told: false,
        });
        self.announce_close(now, out);
    }

    /// Tells of a planned close when it is time to: the client can have its next connection before
    /// this one ends. Not all at once, and each before its own end.
    pub(super) fn announce_close(&mut self, now: Now, out: &mut Out) {
        if !self.can_be_told() {
            return;
        }
        let Some(close) = self.pace.take_untold(now.mono) else {
            return;
        };
        let left = close.at.saturating_duration_since(now.mono);
        out.write(&ServerFrame::Reconnect {
            reason: close.code.reason(),
            after_ms: millis(left / 2),
            spread_ms: millis(left * 2 / 5),
            deadline_ms: millis(left),
        });
    }

    /// Keys have gone. If the token's is one of them, the token ends in a moment, and the client is told
    /// as it is told of any token's end: it may renew it until then. If the key has come back, the token is good again.
    pub(super) fn on_revocation(&mut self, ends_in: Duration, now: Now, out: &mut Out) {
        let keys = self.rules.keyring.current();
        let stands = |warrant| keys.verifier.stands(warrant);
        if self.claims.warrant.as_ref().is_none_or(stands) {
            self.revoked_at = Millis::MAX;
            return;
        }
        let end = now.wall + Millis::try_from(ends_in.as_millis()).unwrap_or(Millis::MAX);
        // One that ends anyway, or has been told, is not told again.
        if self.token_end() <= end {
            return;
        }
        self.revoked_at = end;
        if self.can_be_told() {
            self.warned_of_expiry = true;
            self.tell_expiring(end, out);
        }
    }

    /// Tokens were revoked. If its own is among them, nothing more is for its client, who is not asked to renew it first:
    /// whoever has stolen it could.
    pub(super) fn on_revoked(&self, now: Now, out: &mut Out) {
        if self.rules.keyring.revokes(&self.claims, now.wall) {
            out.close(CloseCode::Revoked);
        }
    }

    /// Tells when the token ends, so that it can be renewed.
    pub(super) fn tell_expiring(&self, end: Millis, out: &mut Out) {
        out.write(&ServerFrame::TokenExpiring {
            expires_at: rfc3339(end),
        });
    }

    pub(super) fn dialect_code(&self, code: CloseCode) -> CloseCode {
        match (code, self.dialect()) {
            (CloseCode::Draining | CloseCode::Rebalance, Dialect::Simple) => CloseCode::Restart,
            _ => code,
        }
    }

    /// What is to be told the store when the connection has ended. `clean`: the client closed it
    /// with a close frame of its own. `confirmed`: it answered ours, so it read all we wrote.
    pub(crate) fn close(mut self, clean: bool, confirmed: bool) -> Closing {
        let dialect = self.dialect();
        if confirmed && dialect == Dialect::Simple {
            self.receipts.confirm_all(dialect, self.inbox.position());
            self.broadcast.pinged(dialect);
            self.broadcast.ponged(dialect);
            self.channels.pinged(dialect);
            self.channels.ponged(dialect);
        }
        self.receipts.settle_now(self.inbox.position());
        let broadcast = self.broadcast.confirmed();
        let last = self.receipts.flush_last(broadcast);
        let ack = last.map(|ack| self.identity.ack(ack));
        let (kept, mut restorable) = self.channels.into_kept(&self.identity.device);
        if clean || dialect != Dialect::Simple {
            restorable.clear();
        }
        Closing {
            ack: self.fence.and(ack),
            departure: self.fence.map(|fence| Departure {
                user: self.identity.user.clone(),
                device: self.identity.device.clone(),
                session: self.identity.session.clone(),
                fence: fence.get(),
                broadcast: Some(broadcast),
                restorable,
            }),
            kept,
        }
    }
}

/// What is reported to the store of a connection's end.
#[derive(Debug)]
pub(crate) struct Closing {
    /// How far the device has read.
    pub ack: Option<Ack>,
    /// The registration to be ended, if there was one.
    pub departure: Option<Departure>,
    /// Where the device is on the channels that it keeps.
    pub kept: Vec<(Holder, Subscription)>,
}
