//! Following a user's notifications over as many connections as it takes.
//!
//! What a client has to do so that nothing is lost and nothing is shown twice: come back with the
//! cursor of the last notification it handled, with full jitter, and when the gateway asks it to;
//! remember ids; acknowledge what was handled.

mod acks;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use rand::RngExt;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::acks::Acks;
use self::rules::{Return, Seen, after_end, full_jitter};
use crate::{
    failure::Failure,
    socket::{Frame, Incoming, NotOpen, Socket, Target},
};

/// How long a connection may take, from one frame to the next, until it has caught up. One that is
/// only kept alive is given up: another gateway may do better.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(30);
/// A sign of life of our own; gateways close whoever is silent for minutes.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A connection that lasted so long starts the pauses anew.
const STABLE: Duration = Duration::from_secs(5);

/// What a follower tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// Connected, and caught up from here on.
    Connected { user: String },
    /// A notification, the first time that it is seen, and its text.
    Notification(Box<Frame>, String),
    /// Something was missed for good.
    Gap {
        channel: Option<String>,
        reason: String,
    },
    /// The gateway refused a request.
    Refused { code: String, message: String },
    /// The token is about to end.
    TokenExpiring { at: String },
    /// Not connected; the next attempt comes after the pause. `code`: of the close frame, 1006 where
    /// the network ended it, none where there was no connection.
    Disconnected {
        code: Option<u16>,
        why: String,
        pause: Duration,
    },
}

/// A user's notifications, connection after connection.
pub(crate) struct Follower {
    target: Target,
    session: Option<String>,
    inbox: Option<String>,
    channels: Vec<(String, Option<String>)>,
    seen: Seen,
    socket: Option<Connected>,
    attempt: u32,
    ever: bool,
    retry_at: Option<Instant>,
    catch_up_within: Duration,
    events: VecDeque<Event>,
}

/// The connection that is there.
struct Connected {
    socket: Socket,
    since: Instant,
    ping_due: Instant,
    silent_until: Instant,
    patience: Duration,
    move_at: Option<Instant>,
    /// A move away from it failed here, but a gateway may have taken it in: as the newer connection.
    outrun: bool,
    /// Until it has caught up: when it is given up.
    caught_up_by: Option<Instant>,
    acks: Acks,
}

impl Follower {
    /// Nothing is sent before the first [`Self::next`]. A gateway that cannot be reached at the
    /// first attempt is an error, not a reason to try again: see [`Self::patient`].
    pub(crate) fn new(target: Target, since: Option<String>, channels: &[String]) -> Self {
        Self {
            target,
            session: None,
            inbox: since,
            channels: channels.iter().map(|name| (name.clone(), None)).collect(),
            seen: Seen::default(),
            socket: None,
            attempt: 0,
            ever: false,
            retry_at: None,
            catch_up_within: CATCH_UP_WITHIN,
            events: VecDeque::new(),
        }
    }

    /// Tries again from the first attempt on.
    pub(crate) fn patient(mut self) -> Self {
        self.ever = true;
        self
    }

    /// Drops the connection without a word, as a network does, and comes back at once.
    pub(crate) fn cut(&mut self) {
        self.socket = None;
        self.attempt = 0;
    }

    /// What happens next. Cancel safe but for a connection that is being opened.
    ///
    /// # Errors
    /// When coming back is of no use: the gateway said so (40xx), or was never there.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            match &mut self.socket {
                None => self.connect().await?,
                Some(connected) => {
                    let wake = connected.wake();
                    tokio::select! {
                        incoming = connected.socket.next() => self.on_incoming(incoming)?,
                        () = sleep_until(wake) => self.on_time().await,
                    }
                }
            }
        }
    }

    /// The application has handled this notification: it need not come again.
    pub(crate) async fn handled(&mut self, frame: &Frame) {
        if let Some(connected) = &mut self.socket {
            let now = Instant::now();
            connected.acks.note(frame, now);
            if connected.acks.due() == Some(now) {
                connected.flush_acks().await;
            }
        }
    }

    /// Acknowledges the last ones and says goodbye.
    pub(crate) async fn close(self) {
        if let Some(mut connected) = self.socket {
            connected.flush_acks().await;
            connected.socket.close().await;
        }
    }

    /// One attempt, after its pause.
    async fn connect(&mut self) -> Result<(), Failure> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
            self.retry_at = None;
        }
        match Socket::open(&self.target, self.session.as_deref(), self.inbox.as_deref()).await {
            Ok(socket) => {
                self.ever = true;
                self.adopt(socket).await;
                Ok(())
            }
            Err(NotOpen::Never(failure)) => Err(failure),
            Err(NotOpen::Later { why, after: None }) if !self.ever => Err(Failure::Connection(
                format!("{} cannot be reached: {why}", self.target.shown()),
            )),
            Err(NotOpen::Later { why, after }) => {
                let pause = self.pause() + after.unwrap_or_default();
                self.disconnected(None, why, pause);
                Ok(())
            }
        }
    }

    fn disconnected(&mut self, code: Option<u16>, why: String, pause: Duration) {
        self.socket = None;
        self.retry_at = Some(Instant::now() + pause);
        self.events
            .push_back(Event::Disconnected { code, why, pause });
    }

    async fn adopt(&mut self, mut socket: Socket) {
        for (channel, since) in &self.channels {
            let mut frame = json!({"type": "subscribe", "channel": channel});
            if let Some(since) = since {
                frame["since"] = since.as_str().into();
            }
            socket.send(&frame).await;
        }
        let now = Instant::now();
        // Until the welcome tells the gateway's own interval.
        let patience = Duration::from_secs(60);
        let old = self.socket.replace(Connected {
            socket,
            since: now,
            ping_due: now + PING_EVERY,
            silent_until: now + patience,
            patience,
            move_at: None,
            outrun: false,
            caught_up_by: Some(now + self.catch_up_within),
            acks: Acks::default(),
        });
        if let Some(old) = old {
            old.socket.close().await;
        }
    }

    fn on_incoming(&mut self, incoming: Incoming) -> Result<(), Failure> {
        if let Some(connected) = &mut self.socket {
            connected.silent_until = Instant::now() + connected.patience;
        }
        match incoming {
            Incoming::Ping => Ok(()),
            Incoming::End { code, reason } => self.on_end(code, &reason),
            Incoming::Frame(frame, text) => {
                self.note_progress(&frame.kind);
                if frame.id.is_some() {
                    self.on_notification(frame, text.as_str());
                } else {
                    self.on_control(*frame);
                }
                Ok(())
            }
        }
    }

    /// Whatever it says but an answer to a ping brings it nearer to the end of its catch-up.
    fn note_progress(&mut self, kind: &str) {
        let Some(connected) = &mut self.socket else {
            return;
        };
        if let (Some(by), true) = (&mut connected.caught_up_by, kind != "pong") {
            *by = Instant::now() + self.catch_up_within;
        }
        if kind == "replayed" {
            connected.caught_up_by = None;
        }
    }

    fn on_notification(&mut self, frame: Box<Frame>, text: &str) {
        if let Some(cursor) = &frame.cursor {
            if frame.is_personal() {
                self.inbox = Some(cursor.clone());
            } else if let Some(channel) = &frame.channel {
                self.set_channel(channel, cursor.clone());
            }
        }
        if self.seen.is_new(frame.id.as_deref().unwrap_or_default()) {
            self.events
                .push_back(Event::Notification(frame, text.to_owned()));
        }
    }

    fn on_control(&mut self, frame: Frame) {
        match frame.kind.as_str() {
            "welcome" => {
                self.session = frame.session;
                if self.inbox.is_none() {
                    self.inbox = frame.cursor;
                }
                if let (Some(connected), Some(interval)) =
                    (&mut self.socket, frame.ping_interval_ms)
                {
                    connected.patience = Duration::from_millis(interval) * 2 + STABLE;
                    connected.silent_until = Instant::now() + connected.patience;
                }
                self.events.push_back(Event::Connected {
                    user: frame.user.unwrap_or_default(),
                });
            }
            "subscribed" => {
                if let (Some(channel), Some(cursor)) = (frame.channel, frame.cursor) {
                    self.set_channel(&channel, cursor);
                }
            }
            "gap" => self.on_gap(frame),
            "error" => self.events.push_back(Event::Refused {
                code: frame.code.unwrap_or_default(),
                message: frame.message.unwrap_or_default(),
            }),
            "token_expiring" => self.events.push_back(Event::TokenExpiring {
                at: frame.expires_at.unwrap_or_default(),
            }),
            "reconnect" => {
                let spread = frame.spread_ms.unwrap_or(0);
                let chosen = rand::rng().random_range(0..=spread);
                let wait = Duration::from_millis(frame.after_ms.unwrap_or(0) + chosen);
                if let Some(connected) = &mut self.socket {
                    connected.move_at = Some(Instant::now() + wait);
                }
            }
            _ => {}
        }
    }

    fn on_gap(&mut self, frame: Frame) {
        match (&frame.channel, frame.resume) {
            (Some(channel), Some(resume)) => {
                let channel = channel.clone();
                self.set_channel(&channel, resume);
            }
            (None, Some(resume)) => self.inbox = Some(resume),
            _ => {}
        }
        let reason = frame.reason.unwrap_or_default();
        self.events.push_back(Event::Gap {
            channel: frame.channel,
            reason,
        });
    }

    fn set_channel(&mut self, channel: &str, cursor: String) {
        if let Some((_, place)) = self.channels.iter_mut().find(|(name, _)| name == channel) {
            *place = Some(cursor);
        }
    }

    fn on_end(&mut self, code: u16, reason: &str) -> Result<(), Failure> {
        let gone = self.socket.take();
        if gone.as_ref().is_some_and(|it| it.since.elapsed() >= STABLE) {
            self.attempt = 0;
        }
        let by_itself = gone.is_some_and(|it| it.outrun);
        let why = match reason {
            "" => format!("closed with {code}"),
            reason => format!("closed with {code} {reason}"),
        };
        match after_end(code, by_itself) {
            Return::Never if code == 4001 => Err(Failure::Failed(format!(
                "the gateway refused the token ({why}); `carillon token inspect` says more"
            ))),
            Return::Never => Err(Failure::Failed(format!("the gateway ended it: {why}"))),
            Return::Now if self.attempt == 0 => {
                self.attempt = 1;
                self.disconnected(Some(code), why, Duration::ZERO);
                Ok(())
            }
            Return::Now | Return::Later => {
                let pause = self.pause();
                self.disconnected(Some(code), why, pause);
                Ok(())
            }
        }
    }

    /// What is due: an acknowledgement, a ping, a move, or the end of patience.
    async fn on_time(&mut self) {
        let now = Instant::now();
        let Some(connected) = &mut self.socket else {
            return;
        };
        if connected.silent_until <= now {
            let why = format!("nothing heard for {:?}", connected.patience);
            self.disconnected(Some(1006), why, Duration::ZERO);
            return;
        }
        if connected.caught_up_by.is_some_and(|by| by <= now) {
            let why = format!("not caught up, and no frame for {:?}", self.catch_up_within);
            let pause = self.pause();
            self.disconnected(Some(1006), why, pause);
            return;
        }
        if connected.acks.due().is_some_and(|due| due <= now) {
            connected.flush_acks().await;
        }
        if connected.ping_due <= now {
            connected.ping_due = now + PING_EVERY;
            connected.socket.send(&json!({"type": "ping"})).await;
        }
        if connected.move_at.is_some_and(|at| at <= now) {
            connected.move_at = None;
            connected.flush_acks().await;
            // The new one first; if there is none yet, the old one ends by itself in time.
            let target = &self.target;
            let opened = Socket::open(target, self.session.as_deref(), self.inbox.as_deref()).await;
            match opened {
                Ok(socket) => self.adopt(socket).await,
                Err(_) => connected.outrun = true,
            }
        }
    }

    fn pause(&mut self) -> Duration {
        let pause = full_jitter(self.attempt);
        self.attempt += 1;
        pause
    }
}

impl Connected {
    fn wake(&self) -> Instant {
        let soonest = self.ping_due.min(self.silent_until);
        [self.acks.due(), self.move_at, self.caught_up_by]
            .into_iter()
            .flatten()
            .fold(soonest, Instant::min)
    }

    async fn flush_acks(&mut self) {
        for ack in self.acks.take() {
            self.socket.send(&ack).await;
        }
    }
}
