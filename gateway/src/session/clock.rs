//! When a session has something to do though nothing comes in, and what that is.

use std::time::Duration;

use carillon_common::{ids::Millis, protocol::CloseCode};
use tokio::time::Instant;

use super::{Now, Out, Session};

/// How long a connection may take from one page to the next until it has caught up for the first
/// time. A client whose pings are answered would wait without end, though it is better off trying again
/// with pauses.
pub(super) const LIVE_WITHIN: Duration = Duration::from_secs(60);

/// How long before a token's end a client is told.
const EXPIRY_WARNING_MS: i64 = 60_000;

impl Session {
    /// When [`on_deadline`](Self::on_deadline) has something to do next.
    pub(crate) fn next_deadline(&self, now: Now) -> Instant {
        let mut next = self.pace.next(self.rules.socket());
        let told = self.pace.tell_at().filter(|_| self.can_be_told());
        // While a ping waits for its pong no other is sent.
        let ask = self.asks_alone_at(now);
        let ask = ask.filter(|_| !self.receipts.is_asking());
        let ends = self.stream.as_ref().and_then(|stream| stream.end_at());
        for due in [self.receipts.flush_at(), told, ask, self.live_by, ends] {
            next = due.map_or(next, |due| next.min(due));
        }
        let end = if self.is_to_be_warned() {
            self.token_end().min(self.claims.exp_ms - EXPIRY_WARNING_MS)
        } else {
            self.token_end()
        };
        let until = Duration::from_millis(u64::try_from(end - now.wall).unwrap_or(0));
        next.min(now.mono + until)
    }

    /// Whatever is due: pings, acks, the token's end, a drain's close.
    pub(crate) fn on_deadline(&mut self, now: Now, out: &mut Out) {
        if let Some(code) = self.pace.overdue(now.mono, self.rules.socket()) {
            return out.close(self.dialect_code(code));
        }
        if self.token_end() <= now.wall {
            return out.close(CloseCode::TokenExpired);
        }
        if self.live_by.is_some_and(|by| by <= now.mono) {
            return out.close(CloseCode::Overloaded);
        }
        let ends = self.stream.as_ref().and_then(|stream| stream.end_at());
        if ends.is_some_and(|at| at <= now.mono) {
            return out.close(CloseCode::Unacked);
        }
        self.announce_close(now, out);
        if self.is_to_be_warned() && self.claims.exp_ms - now.wall <= EXPIRY_WARNING_MS {
            self.warned_of_expiry = true;
            self.tell_expiring(self.claims.exp_ms, out);
        }
        if self.pace.ping_due(now.mono) {
            self.ping(now, out);
        }
        if self.receipts.flush_at().is_some_and(|at| at <= now.mono) {
            self.flush_acks(out);
        }
    }

    /// The token is good as long as it would be accepted (`auth.leeway`).
    pub(super) fn token_end(&self) -> Millis {
        let end = self.claims.exp_ms + self.rules.leeway();
        end.min(self.revoked_at)
    }

    /// Whether `token_expiring` is still to come.
    fn is_to_be_warned(&self) -> bool {
        !self.warned_of_expiry && self.can_be_told()
    }

    /// Whether frames of the gateway's own may be sent: never before `welcome`.
    pub(super) fn can_be_told(&self) -> bool {
        self.dialect().tells() && self.fence.is_some()
    }

    /// A page was handled: until it has caught up for the first time, it has as long for the next one.
    pub(super) fn progressed(&mut self, now: Now) {
        let catching_up = !self.inbox.is_live();
        let patience = self.live_by.filter(|_| catching_up);
        self.live_by = patience.map(|_| now.mono + LIVE_WITHIN);
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
