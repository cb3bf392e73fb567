//! A connection's deadlines, and how fast its client may send.

use std::time::Duration;

use carillon_common::{
    protocol::CloseCode,
    settings::{Settings, SocketSettings},
};
use tokio::time::Instant;

use carillon_common::rate::{Bucket, Rate};

/// How long before `gateway.max_age` ends a connection its client is told; sooner where that age is
/// less than twice as much.
const NOTICE: Duration = Duration::from_secs(30);

/// A close that the gateway plans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    /// When.
    pub at: Instant,
    /// With which code, which says why.
    pub code: CloseCode,
    /// When they are told.
    pub tell_at: Instant,
    /// They have been.
    pub told: bool,
}

#[derive(Debug)]
pub(super) struct Pace {
    next_ping: Instant,
    pong_due: Option<Instant>,
    heard: Instant,
    /// Boxed, because most connections have none.
    close: Option<Box<Planned>>,
    /// Of the frames that the client may send.
    frames: Bucket,
}

impl Pace {
    pub(super) fn new(settings: &Settings, now: Instant) -> Self {
        let socket = &settings.socket;
        let mut pace = Self {
            // The first ping comes anywhere in the interval, so that connections that came
            // together do not ping together.
            next_ping: now
                + socket
                    .ping_interval
                    .mul_f64(0.5 + 0.5 * rand::random::<f64>()),
            pong_due: None,
            heard: now,
            close: None,
            frames: Bucket::full(now),
        };
        if !settings.gateway.max_age.is_zero() {
            let jitter = settings.gateway.max_age_jitter * (2.0 * rand::random::<f64>() - 1.0);
            let age = settings.gateway.max_age.mul_f64((1.0 + jitter).max(0.0));
            pace.plan(Planned {
                at: now + age,
                code: CloseCode::Rebalance,
                tell_at: now + (age - NOTICE.min(age / 2)),
                told: false,
            });
        }
        pace
    }

    /// The next moment at which something is due.
    pub(super) fn next(&self, socket: &SocketSettings) -> Instant {
        let ping = if self.pong_due.is_some() {
            None
        } else {
            Some(self.next_ping)
        };
        [
            ping,
            self.pong_due,
            self.close.as_ref().map(|close| close.at),
        ]
        .into_iter()
        .flatten()
        .fold(self.heard + socket.idle_timeout, Instant::min)
    }

    /// Why the connection is to be closed now, if it is.
    pub(super) fn overdue(&self, now: Instant, socket: &SocketSettings) -> Option<CloseCode> {
        let silent = self.heard + socket.idle_timeout <= now;
        if silent || self.pong_due.is_some_and(|due| due <= now) {
            return Some(CloseCode::Idle);
        }
        self.close
            .as_ref()
            .filter(|close| close.at <= now)
            .map(|close| close.code)
    }

    pub(super) fn ping_due(&self, now: Instant) -> bool {
        self.pong_due.is_none() && self.next_ping <= now
    }

    pub(super) fn pinged(&mut self, now: Instant, socket: &SocketSettings) {
        self.pong_due = Some(now + socket.pong_timeout);
        self.next_ping = now + socket.ping_interval;
    }

    /// Something went out that is not answered.
    pub(super) fn beat(&mut self, now: Instant, socket: &SocketSettings) {
        self.next_ping = now + socket.ping_interval;
    }

    pub(super) fn ponged(&mut self) {
        self.pong_due = None;
    }

    /// The client showed that it lives.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Close then, unless it is to be closed earlier.
    pub(super) fn plan(&mut self, close: Planned) {
        if self
            .close
            .as_ref()
            .is_none_or(|earlier| close.at < earlier.at)
        {
            self.close = Some(Box::new(close));
        }
    }

    /// When the client is to be told that it will be closed.
    pub(super) fn tell_at(&self) -> Option<Instant> {
        let close = self.close.as_ref().filter(|close| !close.told);
        close.map(|close| close.tell_at)
    }

    /// The close that the client is to be told of now; once.
    pub(super) fn take_untold(&mut self, now: Instant) -> Option<Planned> {
        let untold = |close: &&mut Planned| !close.told && close.tell_at <= now;
        let close = self.close.as_deref_mut().filter(untold)?;
        close.told = true;
        Some(*close)
    }

    /// Whether the client may send one more frame now.
    pub(super) fn allows_frame(&mut self, now: Instant, socket: &SocketSettings) -> bool {
        let rate = Rate::new(socket.frames_per_second, socket.frames_burst);
        self.frames.take(rate, now)
    }
}
