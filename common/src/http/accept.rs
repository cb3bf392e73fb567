//! Accepting connections: who says what is wanted is taken up when that comes, who keeps silent costs little more than
//! a descriptor until then, and it goes on where the system gives none for a while.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::{Crowd, Place};
use crate::telemetry::Rarely;

/// After accepting failed, mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections fail in their hundreds or not at all: at most one line in this time.
const LOGGED_EVERY: Duration = Duration::from_secs(10);
/// Everybody else has a turn after each that begins, and after so many silent ones: what is begun with waits for the
/// processor together with those who are being served, at each of its steps.
const SILENT_AT_A_TIME: u32 = 32;
/// ENFILE and EMFILE, on every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];

/// Accepts the connections that come in at a listener, as many as a crowd has places for.
///
/// Thousands may come at once, and to begin with one costs several times what accepting it does. So those that have
/// said nothing stay here, each woken by its first byte alone: nobody waits behind the silent.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    crowd: Crowd,
    patience: Duration,
    silent: FuturesUnordered<BoxFuture<'static, Accepted>>,
    /// How many came since the others had a turn.
    done: u32,
    /// Whether who connects had the last turn.
    connects_first: bool,
    logged: Rarely,
}

/// What became of a connection that came in.
#[derive(Debug)]
pub enum Accepted {
    /// Its client has begun to say what it wants, or has ended.
    Begins(Arrival),
    /// There is no place for it: each that is there has something under way.
    NoPlace(TcpStream),
    /// Its client said nothing, until it had to give way to another.
    GaveWay,
    /// Its client said nothing for too long.
    Silent,
}

/// A connection that begins.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub stream: TcpStream,
    /// Whose it is.
    pub peer: SocketAddr,
    /// Its place.
    pub place: Place,
    /// When it came.
    pub at: Instant,
}

/// What happens next at a listener.
enum Next {
    Connected(io::Result<(TcpStream, SocketAddr)>),
    Ended(Accepted),
}

impl Acceptor {
    /// Those of this listener, which closes when this is dropped. Who says nothing within `patience` is not kept.
    pub fn new(listener: TcpListener, crowd: Crowd, patience: Duration) -> Self {
        Self {
            listener,
            crowd,
            patience,
            silent: FuturesUnordered::new(),
            done: 0,
            connects_first: false,
            logged: Rarely::new(LOGGED_EVERY),
        }
    }

    /// The next one. What keeps it from being accepted is logged now and then, and tried again.
    pub async fn next(&mut self) -> Accepted {
        let accepted = self.accepted().await;
        if matches!(accepted, Accepted::Begins(_)) {
            self.done = SILENT_AT_A_TIME;
        }
        accepted
    }

    async fn accepted(&mut self) -> Accepted {
        loop {
            if self.done >= SILENT_AT_A_TIME {
                self.done = 0;
                yield_now().await;
            }
            self.done += 1;
            match poll_fn(|context| self.poll_event(context)).await {
                Next::Ended(accepted) => return accepted,
                Next::Connected(Ok((stream, peer))) => {
                    // Who gives way leaves first.
                    self.crowd.settles().await;
                    let Some(place) = self.crowd.place() else {
                        return Accepted::NoPlace(stream);
                    };
                    let at = Instant::now();
                    let arrival = Arrival {
                        stream,
                        peer,
                        place,
                        at,
                    };
                    if arrival.has_spoken() {
                        return Accepted::Begins(arrival);
                    }
                    let until = at + self.patience;
                    self.silent.push(Box::pin(arrival.spoken(until)));
                }
                Next::Connected(Err(error)) => {
                    self.log(&error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Who speaks and who connects come in turn, or many of one kind would keep the others waiting.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        self.connects_first = !self.connects_first;
        if self.connects_first
            && let Poll::Ready(connected) = self.listener.poll_accept(context)
        {
            return Poll::Ready(Next::Connected(connected));
        }
        if let Poll::Ready(Some(accepted)) = self.silent.poll_next_unpin(context) {
            return Poll::Ready(Next::Ended(accepted));
        }
        self.listener.poll_accept(context).map(Next::Connected)
    }

    fn log(&self, error: &io::Error) {
        let Some(passed_over) = self.logged.allowed(Instant::now()) else {
            return;
        };
        let out_of_descriptors = error
            .raw_os_error()
            .is_some_and(|it| OUT_OF_DESCRIPTORS.contains(&it));
        if out_of_descriptors {
            tracing::warn!(
                %error, passed_over,
                "a connection could not be accepted: raise the hard limit of open files \
                 (LimitNOFILE=, ulimit -Hn)"
            );
        } else {
            tracing::warn!(%error, passed_over, "a connection could not be accepted");
        }
    }
}

impl Arrival {
    /// Whether anything has come by now, or the end. Asked of the kernel: the runtime does not know yet of one that
    /// has just come.
    fn has_spoken(&self) -> bool {
        let mut first = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.stream).peek(&mut first);
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits until it has.
    async fn spoken(self, until: Instant) -> Accepted {
        // Not `readable`, which is true of a new socket before anything has come.
        let mut first = [0];
        tokio::select! {
            heard = timeout_at(until, self.stream.peek(&mut first)) => match heard {
                Ok(_) => Accepted::Begins(self),
                Err(_) => Accepted::Silent,
            },
            () = self.place.gone() => Accepted::GaveWay,
        }
    }
}

#[cfg(test)]
mod tests;
