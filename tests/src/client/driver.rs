//! The life of a client over many connections: connect, listen and answer, pause, again. What to say is its
//! dialect's decision; the sockets and the clock are here.

use std::ops::Range;
use std::panic::resume_unwind;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

use super::record::{Journal, Record};
use super::socket::{Handshake, Incoming, Socket};
use super::targets::Targets;

/// Orders that may wait for a client.
const ORDERS: usize = 64;

/// What a client says and when it comes back: no IO, no clock of its own.
pub(super) trait Dialect: Send + 'static {
    /// How to ask for the next connection.
    fn handshake(&mut self, gateway: &str) -> Handshake;

    /// Frames to send as soon as a connection is open.
    fn on_open(&mut self) -> Vec<Value>;

    /// Takes a frame of the server's.
    fn on_frame(&mut self, frame: Value, record: &mut Record) -> Reaction;

    /// Takes note of a frame that the test sends through this client.
    fn on_order(&mut self, frame: &Value);

    /// When the dialect wants [`Dialect::on_due`] to be called.
    fn due(&self) -> Option<Instant>;

    /// Frames to send now that it is due.
    fn on_due(&mut self) -> Vec<Value>;

    /// Decides what follows the end of a connection, or an attempt that failed (`None`).
    fn on_end(&mut self, code: Option<u16>) -> Next;
}

/// The answer to a frame.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reaction {
    pub(super) send: Vec<Value>,
    /// Leave for another gateway after this time.
    pub(super) leave_in: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GiveUp,
    Retry(Duration),
}

/// What a test tells a client.
#[derive(Debug)]
enum Order {
    Send(Value),
    Hop,
    Stay,
    Close,
}

/// A client's task and the way to it.
#[derive(Debug)]
pub(super) struct Handle {
    orders: mpsc::Sender<Order>,
    /// None once it was waited for.
    task: Option<JoinHandle<()>>,
}

impl Handle {
    pub(super) fn start<D: Dialect>(
        dialect: D,
        gateways: Targets,
        hops: Option<Range<Duration>>,
        journal: Journal,
    ) -> Self {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let driver = Driver {
            dialect,
            gateways,
            hops,
            journal,
            orders: ordered,
            pending: vec![],
        };
        Self {
            orders,
            task: Some(tokio::spawn(driver.run())),
        }
    }

    /// Sends a frame on this or the next connection.
    pub(super) async fn send(&self, frame: Value) -> Result<()> {
        self.order(Order::Send(frame)).await
    }

    pub(super) async fn hop(&self) -> Result<()> {
        self.order(Order::Hop).await
    }

    pub(super) async fn stay(&self) -> Result<()> {
        self.order(Order::Stay).await
    }

    async fn order(&self, order: Order) -> Result<()> {
        let taken = self.orders.send(order).await;
        taken.context("the client has given up: it was told not to come back")
    }

    pub(super) async fn close(mut self) {
        // A client that has given up takes no orders, and is closed already.
        drop(self.orders.send(Order::Close).await);
        if let Some(task) = self.task.take() {
            fail_with(task.await);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(mut task) = self.task.take() else {
            return;
        };
        task.abort();
        // A frame that is not as its schema says has ended the client: its test fails with it.
        if !std::thread::panicking()
            && let Some(ended) = (&mut task).now_or_never()
        {
            fail_with(ended);
        }
    }
}

fn fail_with(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        resume_unwind(error.into_panic());
    }
}

struct Driver<D> {
    dialect: D,
    gateways: Targets,
    /// Leaves each connection by itself after a time in this range.
    hops: Option<Range<Duration>>,
    journal: Journal,
    orders: mpsc::Receiver<Order>,
    /// Frames that were ordered while there was no connection.
    pending: Vec<Value>,
}

/// How a conversation ended.
enum End {
    Closed(u16),
    Left,
    Over,
}

impl<D: Dialect> Driver<D> {
    async fn run(mut self) {
        let mut gateway = None;
        loop {
            let next = self.gateways.pick(gateway.as_deref());
            let code = match Socket::connect(&self.dialect.handshake(&next)).await {
                Ok(socket) => {
                    self.journal.note(|record| record.opens += 1);
                    match self.connection(socket).await {
                        End::Closed(code) => Some(code),
                        End::Left => {
                            gateway = Some(next);
                            continue;
                        }
                        End::Over => return,
                    }
                }
                Err(_refused) => {
                    self.journal.note(|record| record.refused += 1);
                    None
                }
            };
            gateway = Some(next);
            match self.dialect.on_end(code) {
                Next::Retry(pause) if self.rest(pause).await => {}
                Next::Retry(_) => return,
                Next::GiveUp => {
                    self.journal.note(|record| record.stopped = true);
                    return;
                }
            }
        }
    }

    /// One connection, from open to end.
    async fn connection(&mut self, mut socket: Socket) -> End {
        let end = self.run_loop(&mut socket).await;
        self.journal.note(|record| {
            record.ends.push(std::time::Instant::now());
            match end {
                End::Closed(code) => *record.closes.entry(code).or_default() += 1,
                End::Left => record.left += 1,
                End::Over => {}
            }
        });
        match end {
            End::Closed(_) => {}
            // Some leave in form, others vanish.
            End::Left if rand::random() => socket.close().await,
            End::Left => {}
            End::Over => socket.close().await,
        }
        end
    }

    /// Listens to the server, the test and the clock, until one of them ends the connection.
    async fn run_loop(&mut self, socket: &mut Socket) -> End {
        let mut leave = self
            .hops
            .clone()
            .map(|hops| Instant::now() + rand::random_range(hops));
        let mut say = self.dialect.on_open();
        say.append(&mut self.pending);
        loop {
            for frame in say.drain(..) {
                // A failed write shows as the end of the stream, which is read next.
                drop(socket.send(&frame).await);
            }
            tokio::select! {
                incoming = socket.next() => match incoming {
                    Incoming::Frame(frame) => {
                        let reaction = self.on_frame(frame);
                        say = reaction.send;
                        leave = reaction.leave_in.map(|after| Instant::now() + after).or(leave);
                    }
                    Incoming::Closed(code, _reason) => return End::Closed(code),
                },
                order = self.orders.recv() => match order {
                    Some(Order::Send(frame)) => {
                        self.dialect.on_order(&frame);
                        say.push(frame);
                    }
                    Some(Order::Hop) => return End::Left,
                    Some(Order::Stay) => {
                        self.hops = None;
                        leave = None;
                    }
                    Some(Order::Close) | None => return End::Over,
                },
                () = until(self.dialect.due()) => say = self.dialect.on_due(),
                () = until(leave) => return End::Left,
            }
        }
    }

    fn on_frame(&mut self, frame: Value) -> Reaction {
        let mut reaction = Reaction::default();
        self.journal
            .note(|record| reaction = self.dialect.on_frame(frame, record));
        reaction
    }

    /// Waits between two connections; false when the test has ended the client.
    async fn rest(&mut self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(end) => return true,
                order = self.orders.recv() => match order {
                    Some(Order::Send(frame)) => {
                        self.dialect.on_order(&frame);
                        self.pending.push(frame);
                    }
                    Some(Order::Hop) => return true,
                    Some(Order::Stay) => self.hops = None,
                    Some(Order::Close) | None => return false,
                },
            }
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
