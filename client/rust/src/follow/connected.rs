//! The connection that a follower has, and what is due on it.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::acks::Acks;
use crate::{Control, Notification, Socket};

/// A sign of life of our own; gateways close whoever is silent for minutes.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A connection that lasted so long starts the pauses anew.
const STABLE: Duration = Duration::from_secs(5);
/// How long the gateway may be silent, until the welcome tells how often it pings.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);

/// The connection that is there.
pub(super) struct Connected {
    pub(super) socket: Socket,
    since: Instant,
    ping_due: Instant,
    silent_until: Instant,
    patience: Duration,
    /// When the gateway is left for another, because it asked for that.
    pub(super) move_at: Option<Instant>,
    /// A move away from it failed here, but a gateway may have taken it in: as the newer connection.
    pub(super) outrun: bool,
    /// Until it has caught up: when it is given up.
    caught_up_by: Option<Instant>,
    catch_up_within: Duration,
    acks: Acks,
}

impl Connected {
    pub(super) fn new(socket: Socket, catch_up_within: Duration) -> Self {
        let now = Instant::now();
        Self {
            socket,
            since: now,
            ping_due: now + PING_EVERY,
            silent_until: now + FIRST_PATIENCE,
            patience: FIRST_PATIENCE,
            move_at: None,
            outrun: false,
            caught_up_by: Some(now + catch_up_within),
            catch_up_within,
            acks: Acks::default(),
        }
    }

    /// Whether it lasted long enough to be none of a row of failures.
    pub(super) fn was_stable(&self) -> bool {
        self.since.elapsed() >= STABLE
    }

    /// Something was heard.
    pub(super) fn on_sign_of_life(&mut self) {
        self.silent_until = Instant::now() + self.patience;
    }

    /// A frame came; whatever it says but an answer to a ping brings the end of the catching up nearer.
    pub(super) fn on_progress(&mut self, control: Option<&Control>) {
        match control {
            Some(Control::Replayed) => self.caught_up_by = None,
            Some(Control::Pong) => {}
            _ => {
                if let Some(by) = &mut self.caught_up_by {
                    *by = Instant::now() + self.catch_up_within;
                }
            }
        }
    }

    /// The gateway tells how often it pings.
    pub(super) fn set_interval(&mut self, interval_ms: u64) {
        self.patience = Duration::from_millis(interval_ms) * 2 + STABLE;
        self.on_sign_of_life();
    }

    /// Why it is to be given up, if it is.
    pub(super) fn given_up(&self, now: Instant) -> Option<GivenUp> {
        if self.silent_until <= now {
            return Some(GivenUp::Silent(self.patience));
        }
        let late = self.caught_up_by.is_some_and(|by| by <= now);
        late.then_some(GivenUp::NotCaughtUp(self.catch_up_within))
    }

    /// When something is due.
    pub(super) fn wake(&self) -> Instant {
        let soonest = self.ping_due.min(self.silent_until);
        [self.acks.due(), self.move_at, self.caught_up_by]
            .into_iter()
            .flatten()
            .fold(soonest, Instant::min)
    }

    /// Sends the acknowledgements and the ping that are due.
    pub(super) async fn send_due(&mut self, now: Instant) {
        if self.acks.due().is_some_and(|due| due <= now) {
            self.flush_acks().await;
        }
        if self.ping_due <= now {
            self.ping_due = now + PING_EVERY;
            self.socket.send(&json!({"type": "ping"})).await;
        }
    }

    /// Notes that a notification was handled; enough of them are acknowledged at once.
    pub(super) async fn on_handled(&mut self, notification: &Notification) {
        let now = Instant::now();
        self.acks.note(notification, now);
        if self.acks.due() == Some(now) {
            self.flush_acks().await;
        }
    }

    pub(super) async fn flush_acks(&mut self) {
        for ack in self.acks.take() {
            self.socket.send(&ack).await;
        }
    }
}

/// Why a connection that has not ended is left.
#[derive(Debug, Clone, Copy)]
pub(super) enum GivenUp {
    /// Nothing was heard for so long.
    Silent(Duration),
    /// It lives, but brought nothing for so long, before it had caught up.
    NotCaughtUp(Duration),
}
