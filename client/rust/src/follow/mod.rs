//! Following a user's notifications over as many connections as it takes.
//!
//! What a client has to do so that nothing is lost and nothing is shown twice: come back with the
//! cursor of the last notification it handled, after a pause by chance, and when the gateway asks it
//! to; remember ids; acknowledge what was handled.

mod acks;
mod connected;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use carillon_common::retry;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::{
    connected::{Connected, GivenUp},
    rules::{Return, Seen, after_end},
};
use crate::{Control, Error, Incoming, Notification, Socket, Target, error::closed};

/// How long a connection may take, from one frame to the next, until it has caught up. One that is
/// only kept alive is given up: another gateway may do better.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a follower tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Connected, and it goes on from where it was.
    Connected {
        /// Whose notifications these are.
        user: String,
    },
    /// A notification, the first time that it is seen.
    Notification(Box<Notification>),
    /// Something was missed for good.
    Gap {
        /// Of this channel; none: of the inbox.
        channel: Option<String>,
        /// Why, as docs/protocol.md names it.
        reason: String,
    },
    /// The gateway refused a request, such as to join a channel.
    Refused {
        /// Stable, snake_case.
        code: String,
        /// For people.
        message: String,
    },
    /// The token is about to end.
    TokenExpiring {
        /// When, RFC 3339.
        at: String,
    },
    /// Not connected; the next attempt comes by itself.
    Disconnected {
        /// Of the close frame, 1006 where the network ended it, none where there was no connection.
        code: Option<u16>,
        /// For people.
        why: String,
        /// Until the next attempt.
        pause: Duration,
    },
}

/// A user's notifications, connection after connection.
pub struct Follower {
    target: Target,
    session: Option<String>,
    inbox: Option<String>,
    channels: Vec<(String, Option<String>)>,
    seen: Seen,
    connected: Option<Connected>,
    /// Attempts in a row that came to nothing.
    attempt: usize,
    ever: bool,
    retry_at: Option<Instant>,
    catch_up_within: Duration,
    events: VecDeque<Event>,
}

impl Follower {
    /// Follows the inbox from after the cursor `since` (none: from where the device was; `0-0`: all that is
    /// kept), the broadcasts and these channels. Nothing is sent before the first [`Self::next`].
    ///
    /// A gateway that cannot be reached at the first attempt is an error, not a reason to try again: see
    /// [`Self::patient`].
    #[must_use]
    pub fn new(target: Target, since: Option<String>, channels: &[String]) -> Self {
        Self {
            target,
            session: None,
            inbox: since,
            channels: channels.iter().map(|name| (name.clone(), None)).collect(),
            seen: Seen::default(),
            connected: None,
            attempt: 0,
            ever: false,
            retry_at: None,
            catch_up_within: CATCH_UP_WITHIN,
            events: VecDeque::new(),
        }
    }

    /// Tries again from the first attempt on.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.ever = true;
        self
    }

    /// Drops the connection without a word, as a network does, and comes back at once.
    pub fn cut(&mut self) {
        self.connected = None;
        self.attempt = 0;
    }

    /// What happens next. Cancel safe but for a connection that is being opened.
    ///
    /// # Errors
    /// When coming back is of no use: the gateway said so ([`Error::Closed`], 40xx), or was never there.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            match &mut self.connected {
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
    pub async fn handled(&mut self, notification: &Notification) {
        if let Some(connected) = &mut self.connected {
            connected.on_handled(notification).await;
        }
    }

    /// Acknowledges the last ones and says goodbye.
    pub async fn close(self) {
        if let Some(mut connected) = self.connected {
            connected.flush_acks().await;
            connected.socket.close().await;
        }
    }

    /// One attempt, after its pause.
    async fn connect(&mut self) -> Result<(), Error> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
            self.retry_at = None;
        }
        match self.open().await {
            Ok(socket) => {
                self.ever = true;
                self.adopt(socket).await;
                Ok(())
            }
            Err(Error::Unreachable {
                why, retry_after, ..
            }) => {
                if !self.ever && retry_after.is_none() {
                    return Err(Error::Unreachable {
                        address: self.target.shown(),
                        why,
                        retry_after,
                    });
                }
                let pause = self.pause() + retry_after.unwrap_or_default();
                self.disconnected(None, why, pause);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn open(&self) -> Result<Socket, Error> {
        Socket::open(&self.target, self.session.as_deref(), self.inbox.as_deref()).await
    }

    fn disconnected(&mut self, code: Option<u16>, why: String, pause: Duration) {
        self.connected = None;
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
        let new = Connected::new(socket, self.catch_up_within);
        if let Some(old) = self.connected.replace(new) {
            old.socket.close().await;
        }
    }

    fn on_incoming(&mut self, incoming: Incoming) -> Result<(), Error> {
        if let Some(connected) = &mut self.connected {
            connected.on_sign_of_life();
            match &incoming {
                Incoming::Notification(_) => connected.on_progress(None),
                Incoming::Control(control) => connected.on_progress(Some(control)),
                Incoming::Ping | Incoming::End { .. } => {}
            }
        }
        match incoming {
            Incoming::Ping => {}
            Incoming::End { code, reason } => self.on_end(code, reason)?,
            Incoming::Notification(notification) => self.on_notification(notification),
            Incoming::Control(control) => self.on_control(control),
        }
        Ok(())
    }

    fn on_notification(&mut self, notification: Box<Notification>) {
        if let Some(cursor) = &notification.cursor {
            if notification.is_personal() {
                self.inbox = Some(cursor.clone());
            } else if let Some(channel) = &notification.channel {
                self.set_channel(channel, cursor.clone());
            }
        }
        if self.seen.is_new(&notification.id) {
            self.events.push_back(Event::Notification(notification));
        }
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::Welcome {
                user,
                session,
                cursor,
                ping_interval_ms,
            } => {
                self.session = session;
                if self.inbox.is_none() {
                    self.inbox = cursor;
                }
                if let (Some(connected), Some(interval)) = (&mut self.connected, ping_interval_ms) {
                    connected.set_interval(interval);
                }
                self.events.push_back(Event::Connected { user });
            }
            Control::Subscribed {
                channel,
                cursor: Some(cursor),
            } => self.set_channel(&channel, cursor),
            Control::Gap {
                channel,
                reason,
                resume,
            } => {
                match (&channel, resume) {
                    (Some(channel), Some(resume)) => self.set_channel(channel, resume),
                    (None, Some(resume)) => self.inbox = Some(resume),
                    (_, None) => {}
                }
                self.events.push_back(Event::Gap { channel, reason });
            }
            Control::Error { code, message } => {
                self.events.push_back(Event::Refused { code, message });
            }
            Control::TokenExpiring { expires_at: at } => {
                self.events.push_back(Event::TokenExpiring { at });
            }
            Control::Reconnect {
                after_ms,
                spread_ms,
            } => {
                let wait = after_ms.saturating_add(rand::random_range(0..=spread_ms));
                if let Some(connected) = &mut self.connected {
                    connected.move_at = Some(Instant::now() + Duration::from_millis(wait));
                }
            }
            _ => {}
        }
    }

    fn set_channel(&mut self, channel: &str, cursor: String) {
        if let Some((_, place)) = self.channels.iter_mut().find(|(name, _)| name == channel) {
            *place = Some(cursor);
        }
    }

    fn on_end(&mut self, code: u16, reason: String) -> Result<(), Error> {
        let gone = self.connected.take();
        if gone.as_ref().is_some_and(Connected::was_stable) {
            self.attempt = 0;
        }
        let by_itself = gone.is_some_and(|it| it.outrun);
        let pause = match after_end(code, by_itself) {
            Return::Never => return Err(Error::Closed { code, reason }),
            Return::Now if self.attempt == 0 => {
                self.attempt = 1;
                Duration::ZERO
            }
            Return::Now | Return::Later => self.pause(),
        };
        self.disconnected(Some(code), closed(code, &reason), pause);
        Ok(())
    }

    /// What is due: the end of patience, an acknowledgement, a ping, a move.
    async fn on_time(&mut self) {
        let now = Instant::now();
        let Some(connected) = &mut self.connected else {
            return;
        };
        match connected.given_up(now) {
            None => {}
            Some(GivenUp::Silent(patience)) => {
                let why = format!("nothing heard for {patience:?}");
                return self.disconnected(Some(1006), why, Duration::ZERO);
            }
            Some(GivenUp::NotCaughtUp(within)) => {
                let why = format!("not caught up, and no frame for {within:?}");
                let pause = self.pause();
                return self.disconnected(Some(1006), why, pause);
            }
        }
        connected.send_due(now).await;
        if connected.move_at.is_some_and(|at| at <= now) {
            connected.move_at = None;
            connected.flush_acks().await;
            // The new one first; if there is none yet, the old one ends by itself in time.
            match self.open().await {
                Ok(socket) => self.adopt(socket).await,
                Err(_) => {
                    if let Some(connected) = &mut self.connected {
                        connected.outrun = true;
                    }
                }
            }
        }
    }

    /// The pause before the next attempt, longer with each that came to nothing.
    fn pause(&mut self) -> Duration {
        let mut pauses = retry::pauses(FIRST_PAUSE, LONGEST_PAUSE);
        let pause = pauses.nth(self.attempt).unwrap_or(LONGEST_PAUSE);
        self.attempt += 1;
        pause
    }
}
