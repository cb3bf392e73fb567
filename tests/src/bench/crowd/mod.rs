//! The load client's receiving side: thousands of sockets on one epoll thread of its own.

mod hall;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mio::{Poll, Token, Waker};
use parking_lot::Mutex;

use self::hall::Hall;

const WAKER: Token = Token(usize::MAX);
/// One client.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Path and query of its upgrade request.
    pub target: String,
    /// Whether it speaks `carillon.v1`.
    pub v1: bool,
}

/// How a crowd behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Acks personal notifications within 200 ms, as a careful client does.
    pub acks: bool,
    /// Comes back when its connection ends, within two seconds, and resumes by cursor.
    pub returns: bool,
    /// Reads the times that notifications carry (see [`Tally::take_latencies`]).
    pub times: Option<Instant>,
}

/// What a crowd has seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections that were welcomed, counted again when they come back.
    pub welcomed: AtomicU64,
    /// Connections that ended.
    pub closed: AtomicU64,
    /// Attempts that were refused, or ended before the welcome.
    pub refused: AtomicU64,
    /// Notifications, personal ones only once each.
    pub notifications: AtomicU64,
    /// Personal notifications that came again, or out of order.
    pub repeated: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

impl Tally {
    /// The time from the moment that each notification carries to its arrival, in order of arrival.
    pub fn take_latencies(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.latencies.lock())
    }

    /// Waits until a counter has reached `least`.
    ///
    /// # Errors
    /// When it has not `within` this time.
    pub async fn until(&self, what: Count, least: u64, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while what(self).load(Ordering::Relaxed) < least {
            let now = what(self).load(Ordering::Relaxed);
            ensure!(
                Instant::now() < deadline,
                "{now} of {least} within {within:?}; {self:?}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// One of a tally's counters.
pub type Count = fn(&Tally) -> &AtomicU64;

/// A running crowd; its connections vanish when it is dropped.
#[derive(Debug)]
pub struct Crowd {
    tally: Arc<Tally>,
    orders: mpsc::Sender<Order>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Join(Vec<Seat>, SocketAddr),
    Move(SocketAddr),
    Leave,
    End,
}

impl Crowd {
    /// Starts with nobody in it.
    ///
    /// # Errors
    /// When the system has no epoll instance or thread left.
    pub fn start(manners: Manners) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let tally = Arc::new(Tally::default());
        let (orders, received) = mpsc::channel();
        let mut hall = Hall::new(poll, manners, tally.clone(), received);
        let thread = std::thread::Builder::new()
            .name("crowd".into())
            .spawn(move || {
                if let Err(error) = hall.run() {
                    eprintln!("the load client failed: {error}");
                }
            })?;
        Ok(Self {
            tally,
            orders,
            waker,
            thread: Some(thread),
        })
    }

    /// What it has seen.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets these clients connect to `address`, 64 at once.
    pub fn join(&self, seats: Vec<Seat>, address: SocketAddr) {
        self.order(Order::Join(seats, address));
    }

    /// Where those who come back go.
    pub fn move_to(&self, address: SocketAddr) {
        self.order(Order::Move(address));
    }

    /// Ends all connections, without a word.
    pub fn leave(&self) {
        self.order(Order::Leave);
    }

    fn order(&self, order: Order) {
        // A thread that has failed has said so, and shows by what it no longer counts.
        drop(self.orders.send(order));
        drop(self.waker.wake());
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
