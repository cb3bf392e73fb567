//! A session's registration at the store: the first one, and again after doubt.

use std::{num::NonZeroU64, time::Duration};

use carillon_common::{
    backend::{BackendError, Device, Page, Registered, Registration},
    notification::{Frame, rfc3339},
    protocol::{CloseCode, Dialect, ServerFrame},
};

use super::{Call, Now, Out, Session, clock::millis, streaming::At};

impl Session {
    /// The store's answer to a registration.
    pub(super) fn on_registered(
        &mut self,
        registered: Result<Registered, BackendError>,
        now: Now,
        out: &mut Out,
    ) {
        let registered = match registered {
            Ok(registered) => registered,
            Err(BackendError::Replaced) => return out.close(CloseCode::Replaced),
            Err(BackendError::TooManyConnections) => {
                return out.close(CloseCode::TooManyConnections);
            }
            Err(_) => return out.close(CloseCode::Overloaded),
        };
        let again = self.fence.is_some();
        self.fence = NonZeroU64::new(registered.fence);
        let page = registered.page;
        if !again {
            self.receipts.start(page.start, registered.broadcast);
            self.inbox.start(page.start);
            self.acked_by_coming(page.start);
            let broadcast = self.broadcast_came_with().unwrap_or(registered.broadcast);
            let missed = self.start_broadcasts(broadcast);
            // Joined before `welcome` is marked, which is to say where the client is in them.
            let mut joins = Out::default();
            self.join_wanted(&mut joins);
            if self.dialect().tells() {
                self.welcome(&page, out);
            }
            out.append(joins);
            self.catch_up_broadcasts(missed, now, out);
            for assigned in registered.assigned {
                self.join_assigned(assigned, out);
            }
            for subscription in registered.subscriptions {
                self.rejoin(subscription, out);
            }
            if self.dialect() == Dialect::Simple && registered.claimable {
                out.ask(Call::Claim(Duration::ZERO));
            }
            self.has_begun();
        } else if !self.register_once_more {
            self.follow_assigned(registered.assigned, out);
        }
        self.on_page(page, now, out);
        if out.closed().is_some() {
            return;
        }
        // From here on: what had to wait for the registration.
        self.progressed(now);
        self.announce_close(now, out);
        self.registering = false;
        if std::mem::take(&mut self.register_once_more) {
            self.register_again(Call::Register, out);
        }
    }

    fn welcome(&self, page: &Page, out: &mut Out) {
        let device = match &self.identity.device {
            Device::Named(device) => Some(device),
            Device::Anonymous => None,
        };
        let welcome = ServerFrame::Welcome {
            protocol: ServerFrame::PROTOCOL,
            session: &self.identity.session,
            user: &self.identity.user,
            device,
            cursor: page.start,
            recovered: page.gap.is_none() && !page.frames.iter().any(Frame::is_loss),
            ping_interval_ms: millis(self.rules.socket().ping_interval),
            token_expires_at: rfc3339(self.claims.exp_ms),
            limits: self.rules.limits,
        };
        self.write_at(At::Here, &welcome, out);
    }

    /// Hints may have been missed, or the registration lost or taken.
    pub(super) fn register_again(
        &mut self,
        call: impl FnOnce(Registration) -> Call,
        out: &mut Out,
    ) {
        if self.registering {
            self.register_once_more = true;
            return;
        }
        let Some(fence) = self.fence() else { return };
        self.registering = true;
        self.inbox.register_again();
        let since = Some(self.inbox.position());
        let broadcast = self.broadcast.position();
        let registration = self.identity.registration(Some(fence), since, broadcast);
        out.ask(call(registration));
    }
}
