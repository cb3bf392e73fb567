//! The task of one connection: the only place that reads and writes its socket.
//!
//! It waits for three things: mail from the gateway, a frame from the client, the session's next
//! deadline. Each is given to the session; what comes out is written, all frames with one flush.

pub(crate) mod close;
mod outgoing;
pub(crate) mod rewound;
pub(crate) mod screen;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use carillon_common::{backend::Clock, ids::ChannelName, protocol::CloseCode};
use futures_util::{FutureExt, SinkExt, Stream, future::poll_fn};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::{CapacityError, ProtocolError},
    },
};

use crate::{
    connection::close::{part, reset},
    connection::outgoing::Outgoing,
    connection::screen::{Screen, Screened},
    metrics::Metrics,
    routing::hub::Handle,
    routing::mailbox::{Mail, Taken},
    session::traced::Marks,
    session::{Call, Effect, Event, Now, Session},
    store::Calls,
};

/// A socket that speaks WebSocket.
pub(crate) type Socket = WebSocketStream<Screen>;

/// What a connection works with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The way to the store.
    pub calls: Calls,
    /// The store's time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// How long a client may leave its outbox full.
    pub slow: Duration,
    /// How long a client may take to answer a close frame.
    pub close_grace: Duration,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Who began it: `client`, `server`, or `none` when it broke.
    pub initiator: &'static str,
    /// The close code, 1006 when there was none.
    pub code: u16,
    /// The client closed it with a frame of its own.
    pub clean: bool,
    /// The client answered our close frame, so it has read everything before it.
    pub confirmed: bool,
}

impl End {
    const BROKEN: Self = Self {
        initiator: "none",
        code: 1006,
        clean: false,
        confirmed: false,
    };

    /// Closed here; `confirmed` as above.
    pub(crate) fn here(code: CloseCode, confirmed: bool) -> Self {
        Self {
            initiator: "server",
            code: code.code(),
            clean: false,
            confirmed,
        }
    }

    /// Given up because the client did not read.
    fn slow() -> Self {
        Self::here(CloseCode::SlowConsumer, false)
    }
}

enum Woken {
    Mail(Taken),
    Frame(Option<Result<Message, tungstenite::Error>>),
    Deadline,
}

/// A session that is reachable and registered, and whose client is about to be told so.
pub(crate) struct Arrived {
    /// Authenticated.
    pub session: Session,
    /// What its client is to be told first.
    pub first: Vec<Effect>,
    /// In the hub.
    pub handle: Arc<Handle>,
    /// The channels that the hub knows it to be on.
    joined: Vec<ChannelName>,
}

/// A connection about to begin.
pub(crate) struct Opened {
    /// Its handshake is done.
    pub socket: Socket,
    /// Its session.
    pub arrived: Arrived,
    /// Its part of the gateway's limit, given back when it ends.
    pub place: OwnedSemaphorePermit,
}

impl Arrived {
    /// Of a session that has yet to be registered.
    pub(crate) fn new(session: Session, handle: Arc<Handle>) -> Self {
        Self {
            session,
            first: Vec::new(),
            handle,
            joined: Vec::new(),
        }
    }

    /// Asks the store what a new session wants to know (`effects`), and waits until it is registered.
    /// What is to be written then waits in `first`.
    ///
    /// # Errors
    /// The close code that the session ends with instead, and the reason.
    pub(crate) async fn registered(
        &mut self,
        effects: Vec<Effect>,
        around: &Surroundings,
    ) -> Result<(), (CloseCode, &'static str)> {
        // Nothing is written yet: what a new session wants is to be registered.
        carry_out(effects, &self.handle, around, &mut self.joined);
        while self.session.fence().is_none() {
            let taken = poll_fn(|context| self.handle.mailbox.poll_take(context)).await;
            let now = now(around);
            on_mail(&mut self.session, taken, now, &mut self.first);
            if let Some(Effect::Close(code, reason)) = self.first.last() {
                return Err((*code, reason.unwrap_or_else(|| code.reason())));
            }
            self.session.after_writing(now, &mut self.first);
        }
        if let Some(fence) = self.session.fence() {
            self.handle.stands(fence, self.session.position());
        }
        Ok(())
    }

    /// Tells the store of its end. `clean` and `confirmed` as in [`Session::close`].
    pub(crate) fn end(self, around: &Surroundings, clean: bool, confirmed: bool) {
        let untaken = self.handle.mailbox.close();
        around.calls.give_back(untaken, &self.handle);
        let closing = self.session.close(clean, confirmed);
        around.calls.close(closing, self.handle, self.joined);
    }
}

/// Runs a connection to its end and tells the store of it. Boxed, so that nothing large is a part
/// of the task (and moved into it) twice.
pub(crate) async fn run(mut opened: Box<Opened>, around: &Surroundings) -> End {
    let Opened {
        socket, arrived, ..
    } = &mut *opened;
    let end = converse(socket, arrived, around).await;
    let Opened { arrived, place, .. } = *opened;
    arrived.end(around, end.clean, end.confirmed);
    drop(place);
    end
}

async fn converse(socket: &mut Socket, arrived: &mut Arrived, around: &Surroundings) -> End {
    let Arrived {
        session,
        first,
        handle,
        joined,
    } = arrived;
    let mut effects = std::mem::take(first);
    let mut alarm = pin!(sleep_until(Instant::now()));
    loop {
        let Gathered {
            outgoing,
            marks,
            close,
        } = carry_out(effects, handle, around, joined);
        if let Some(end) = write(socket, outgoing, marks, around).await {
            return end;
        }
        if let Some(close) = close {
            return Box::pin(part(socket, session, close, around)).await;
        }
        let now = now(around);
        let deadline = session.next_deadline(now);
        // A timer that rings too early costs less than moving it at every frame.
        if deadline < alarm.deadline() || alarm.deadline() <= now.mono {
            alarm.as_mut().reset(deadline);
        }
        let woken = poll_fn(|context| {
            if let Poll::Ready(taken) = handle.mailbox.poll_take(context) {
                return Poll::Ready(Woken::Mail(taken));
            }
            if let Poll::Ready(frame) = Pin::new(&mut *socket).poll_next(context) {
                return Poll::Ready(Woken::Frame(frame));
            }
            alarm.as_mut().poll(context).map(|()| Woken::Deadline)
        })
        .await;
        let now = self::now(around);
        effects = Vec::new();
        match woken {
            Woken::Mail(taken) => on_mail(session, taken, now, &mut effects),
            Woken::Frame(frame) => {
                if let Some(Ok(frame)) = &frame {
                    around.metrics.received(frame);
                }
                if let Some(end) = on_frame(session, frame, now, &mut effects) {
                    socket.flush().now_or_never();
                    return end;
                }
                if let Some(end) = answer(socket, around).await {
                    return end;
                }
            }
            Woken::Deadline => session.on_deadline(now, &mut effects),
        }
        if !ends(&effects) {
            session.after_writing(now, &mut effects);
        }
        if let Some(fence) = session.fence() {
            handle.stands(fence, session.position());
        }
    }
}

pub(crate) fn now(around: &Surroundings) -> Now {
    Now {
        mono: Instant::now(),
        wall: around.clock.now(),
    }
}

fn ends(effects: &[Effect]) -> bool {
    matches!(effects.last(), Some(Effect::Close(..)))
}

fn on_mail(session: &mut Session, taken: Taken, now: Now, effects: &mut Vec<Effect>) {
    for gap in taken.gaps {
        session.on_event(Event::ChannelGap(gap), now, effects);
    }
    for mail in taken.mails {
        match mail {
            Mail::Inbox(push) => session.on_push(&push, now, effects),
            Mail::Fleeting(push) => session.on_fleeting(&push, effects),
            Mail::Channel(push) => session.on_channel_push(&push, now, effects),
            Mail::Event(event) => session.on_event(*event, now, effects),
        }
        if ends(effects) {
            // What comes after a close is never written, so the session must not count it.
            return;
        }
    }
    if taken.behind {
        session.on_overflow(effects);
    }
}

/// Gives a frame to the session; answers how the connection ended, if that was its end.
fn on_frame(
    session: &mut Session,
    frame: Option<Result<Message, tungstenite::Error>>,
    now: Now,
    effects: &mut Vec<Effect>,
) -> Option<End> {
    match frame {
        Some(Ok(Message::Text(text))) => session.on_client(&text, now, effects),
        Some(Ok(Message::Binary(_))) => session.on_binary(effects),
        Some(Ok(Message::Pong(payload))) => session.on_pong(&payload, now, effects),
        Some(Ok(Message::Ping(_) | Message::Frame(_))) => session.on_sign_of_life(now, effects),
        Some(Ok(Message::Close(frame))) => {
            let code = frame.map_or(1005, |frame| frame.code.into());
            return Some(End {
                initiator: "client",
                code,
                clean: true,
                confirmed: false,
            });
        }
        Some(Err(error)) => match refusal(&error) {
            Some(code) => effects.push(Effect::Close(code, None)),
            None => return Some(End::BROKEN),
        },
        None => return Some(End::BROKEN),
    }
    None
}

/// The close code for what RFC 6455 does not allow; `None` when the socket is gone.
fn refusal(error: &tungstenite::Error) -> Option<CloseCode> {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some(CloseCode::TooBig)
        }
        tungstenite::Error::Utf8(_) => Some(CloseCode::InvalidText),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(CloseCode::ProtocolError),
        tungstenite::Error::Io(error) => Screened::of(error),
        _ => None,
    }
}

/// What is to be written.
struct Gathered {
    outgoing: Outgoing,
    /// Traced notifications among it.
    marks: Marks,
    /// The close frame to end with.
    close: Option<(CloseCode, &'static str)>,
}

/// Starts calls; answers what is to be written.
fn carry_out(
    effects: Vec<Effect>,
    handle: &Arc<Handle>,
    around: &Surroundings,
    joined: &mut Vec<ChannelName>,
) -> Gathered {
    let mut gathered = Gathered {
        outgoing: Outgoing::with_capacity(effects.iter().filter_map(payload)),
        marks: Marks::default(),
        close: None,
    };
    for effect in effects {
        match effect {
            Effect::Write(text) => gathered.outgoing.text(&text),
            Effect::Ping(payload) => gathered.outgoing.ping(&payload),
            Effect::Do(call) => {
                match &*call {
                    Call::Join(channel) => joined.push(channel.clone()),
                    Call::Leave(channel) => joined.retain(|other| other != channel),
                    _ => {}
                }
                around.calls.start(*call, handle);
            }
            Effect::Traced(traced) => gathered.marks.add(*traced),
            Effect::Note(note) => around.metrics.note(note, around.clock.now()),
            Effect::Close(code, reason) => {
                gathered.close = Some((code, reason.unwrap_or_else(|| code.reason())));
                break;
            }
        }
    }
    gathered
}

/// How long the payload of its frame is, in bytes.
fn payload(effect: &Effect) -> Option<usize> {
    match effect {
        Effect::Write(text) => Some(text.len()),
        Effect::Ping(payload) => Some(payload.len()),
        _ => None,
    }
}

/// Writes what was gathered. A client that does not read for too long is given up: what it has
/// of a frame leaves no room for another, so there is no close frame either.
async fn write(
    socket: &mut Socket,
    outgoing: Outgoing,
    marks: Marks,
    around: &Surroundings,
) -> Option<End> {
    let screen = socket.get_mut();
    screen.asked(outgoing.pings());
    around.metrics.all.bytes_written.inc_by(outgoing.len());
    match outgoing.write(screen.stream(), around.slow).await {
        Ok(Ok(())) => {
            marks.written(&around.metrics.spans);
            None
        }
        Ok(Err(_)) => Some(End::BROKEN),
        Err(_) => {
            reset(screen.stream());
            Some(End::slow())
        }
    }
}

/// Lets tungstenite write its answer to what was read, so that nothing of ours cuts into it.
async fn answer(socket: &mut Socket, around: &Surroundings) -> Option<End> {
    let result = match socket.flush().now_or_never() {
        Some(result) => result,
        None => match Box::pin(timeout(around.slow, socket.flush())).await {
            Ok(result) => result,
            Err(_) => {
                reset(socket.get_ref().stream());
                return Some(End::slow());
            }
        },
    };
    result.is_err().then_some(End::BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The allocator has no size between 1 024 and 1 280 bytes.
    #[test]
    fn a_connection_is_small() {
        let size = size_of::<Opened>();
        assert!(size <= 1_024, "{size} bytes each");
    }
}
