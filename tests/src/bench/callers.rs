//! The load client's sending side: keep-alive HTTP connections on one thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::wire;

/// The longest that a load may stand still.
const STALL: Duration = Duration::from_secs(10);

/// When requests are made.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each caller asks again as soon as it is answered, so many requests in all.
    Closed {
        /// All callers together.
        requests: u64,
    },
    /// On a schedule that no slow answer delays: a request whose time has come while all callers
    /// are busy is made later, and carries the time when it should have been.
    Open {
        /// Requests per second.
        rate: f64,
        /// For how long.
        lasting: Duration,
    },
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests answered 200.
    pub accepted: u64,
    /// Requests answered otherwise.
    pub refused: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Outcome {
    /// Accepted requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }
}

struct Caller {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// Makes requests over `callers` connections. `request` is given the request's number and the time
/// since `start` when it is (or should have been) made.
///
/// # Errors
/// When a connection fails, or nothing is answered for ten seconds.
pub fn call(
    address: SocketAddr,
    callers: usize,
    pace: Pace,
    start: Instant,
    mut request: impl FnMut(u64, Duration) -> Vec<u8>,
) -> Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut callers = connect(address, callers, &poll)?;
    let mut idle: Vec<usize> = (0..callers.len()).collect();
    let mut events = Events::with_capacity(256);
    let mut outcome = Outcome::default();
    let mut schedule = Schedule::new(pace);
    let mut answered = Instant::now();
    loop {
        schedule.advance(idle.len());
        while let Some(when) = schedule.due.front().copied()
            && let Some(at) = idle.pop()
        {
            schedule.due.pop_front();
            let text = request(schedule.made, when.saturating_duration_since(start));
            schedule.made += 1;
            callers[at].stream.write_all(&text)?;
        }
        if schedule.is_over() && idle.len() == callers.len() {
            break;
        }
        poll.poll(&mut events, Some(schedule.rest(idle.is_empty())))?;
        for event in &events {
            let Token(at) = event.token();
            if let Some(accepted) = callers[at].read()? {
                *(if accepted {
                    &mut outcome.accepted
                } else {
                    &mut outcome.refused
                }) += 1;
                answered = Instant::now();
                idle.push(at);
            }
        }
        ensure!(
            answered.elapsed() < STALL,
            "no answer for {STALL:?}: {outcome:?}"
        );
    }
    outcome.elapsed = schedule.began.elapsed();
    Ok(outcome)
}

fn connect(address: SocketAddr, count: usize, poll: &Poll) -> Result<Vec<Caller>> {
    (0..count)
        .map(|at| {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(at), Interest::READABLE)?;
            Ok(Caller {
                stream,
                unread: Vec::new(),
            })
        })
        .collect()
}

impl Caller {
    /// Whether the answer, if it is there, is 200.
    fn read(&mut self) -> Result<Option<bool>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let answer = wire::message(&self.unread).map(|(head, whole)| {
            let accepted = head.starts_with("HTTP/1.1 200");
            (accepted, whole)
        });
        Ok(answer.map(|(accepted, whole)| {
            self.unread.drain(..whole);
            accepted
        }))
    }
}

/// Which requests are due.
struct Schedule {
    pace: Pace,
    began: Instant,
    /// Requests whose time has come.
    due: VecDeque<Instant>,
    planned: u64,
    made: u64,
}

impl Schedule {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            began: Instant::now(),
            due: VecDeque::new(),
            planned: 0,
            made: 0,
        }
    }

    fn total(&self) -> u64 {
        match self.pace {
            Pace::Closed { requests } => requests,
            Pace::Open { rate, lasting } => (rate * lasting.as_secs_f64()) as u64,
        }
    }

    fn advance(&mut self, idle: usize) {
        let now = Instant::now();
        while self.planned < self.total() {
            let when = match self.pace {
                Pace::Closed { .. } if self.due.len() < idle => now,
                Pace::Closed { .. } => return,
                Pace::Open { rate, .. } => {
                    self.began + Duration::from_secs_f64(self.planned as f64 / rate)
                }
            };
            if when > now {
                return;
            }
            self.due.push_back(when);
            self.planned += 1;
        }
    }

    fn is_over(&self) -> bool {
        self.made == self.total()
    }

    /// How long to wait for answers. epoll counts in milliseconds, which is too coarse for a
    /// schedule: between two requests of it we sleep, and then only look.
    fn rest(&self, all_busy: bool) -> Duration {
        match self.pace {
            Pace::Open { rate, .. } if !all_busy && !self.is_over() => {
                let next = self.began + Duration::from_secs_f64(self.planned as f64 / rate);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                Duration::ZERO
            }
            _ => Duration::from_secs(1),
        }
    }
}
