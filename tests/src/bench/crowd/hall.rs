//! The crowd's own thread: connecting, reading, acking, coming back.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::{Manners, Order, Seat, Tally, WAKER};
use crate::bench::wire;

/// Connections that may be in their handshake at once.
const AT_ONCE: usize = 64;
/// How long an ack waits for others, as a careful client's.
const ACK_AFTER: Duration = Duration::from_millis(200);
/// Loopback addresses to connect from: each has its own range of ports.
const SOURCES: usize = 40;

/// All members, and who is to connect.
pub(super) struct Hall {
    poll: Poll,
    manners: Manners,
    tally: Arc<Tally>,
    orders: mpsc::Receiver<Order>,
    address: SocketAddr,
    members: Vec<Member>,
    /// Who is to connect, and from when on.
    waiting: VecDeque<(usize, Instant)>,
    opening: usize,
    to_ack: Vec<usize>,
    acked: Instant,
}

struct Member {
    seat: Seat,
    stream: Option<TcpStream>,
    phase: Phase,
    /// The part of a frame that has yet to become whole.
    unread: Vec<u8>,
    cursor: String,
    position: u64,
    unacked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The HTTP answer is awaited.
    Upgrading,
    /// And then the welcome.
    Entering,
    Open,
}

impl Hall {
    /// Nobody is in it yet.
    pub(super) fn new(
        poll: Poll,
        manners: Manners,
        tally: Arc<Tally>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        Self {
            poll,
            manners,
            tally,
            orders,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            members: Vec::new(),
            waiting: VecDeque::new(),
            opening: 0,
            to_ack: Vec::new(),
            acked: Instant::now(),
        }
    }

    /// Runs until it is ordered to end.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let busy = !self.waiting.is_empty() || !self.to_ack.is_empty();
            let rest = Duration::from_millis(if busy { 5 } else { 500 });
            if let Err(error) = self.poll.poll(&mut events, Some(rest))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                if event.token() != WAKER {
                    self.read(event.token().0, &mut buffer);
                }
            }
            while let Ok(order) = self.orders.try_recv() {
                match order {
                    Order::Join(seats, address) => self.take_in(seats, address),
                    Order::Move(address) => self.address = address,
                    Order::Leave => {
                        self.members.clear();
                        self.waiting.clear();
                        self.to_ack.clear();
                        self.opening = 0;
                    }
                    Order::End => return Ok(()),
                }
            }
            self.connect_some()?;
            self.ack_some();
        }
    }

    fn take_in(&mut self, seats: Vec<Seat>, address: SocketAddr) {
        self.address = address;
        for seat in seats {
            self.waiting.push_back((self.members.len(), Instant::now()));
            self.members.push(Member {
                seat,
                stream: None,
                phase: Phase::Upgrading,
                unread: Vec::new(),
                cursor: String::new(),
                position: 0,
                unacked: false,
            });
        }
    }

    fn connect_some(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..self.waiting.len() {
            if self.opening >= AT_ONCE {
                break;
            }
            let Some((at, when)) = self.waiting.pop_front() else {
                break;
            };
            if when > now {
                self.waiting.push_back((at, when));
                continue;
            }
            match open(at, self.address) {
                Ok(stream) => self.greet(at, stream)?,
                Err(_) => self.refused(at),
            }
        }
        Ok(())
    }

    fn greet(&mut self, at: usize, mut stream: TcpStream) -> io::Result<()> {
        self.poll
            .registry()
            .register(&mut stream, Token(at), Interest::READABLE)?;
        let member = &mut self.members[at];
        let mut target = member.seat.target.clone();
        if !member.cursor.is_empty() {
            target = format!("{target}&since={}", member.cursor);
        }
        drop(stream.write_all(&wire::upgrade(&target, member.seat.v1)));
        member.stream = Some(stream);
        member.phase = Phase::Upgrading;
        self.opening += 1;
        Ok(())
    }

    fn refused(&mut self, at: usize) {
        self.tally.refused.fetch_add(1, Ordering::Relaxed);
        if self.manners.returns {
            self.come_back(at);
        }
    }

    fn come_back(&mut self, at: usize) {
        let after = Duration::from_millis(rand::random_range(0..2_000));
        self.waiting.push_back((at, Instant::now() + after));
    }

    fn read(&mut self, at: usize, buffer: &mut [u8]) {
        loop {
            let Some(member) = self.members.get_mut(at) else {
                return;
            };
            let Some(stream) = &mut member.stream else {
                return;
            };
            match stream.read(buffer) {
                Ok(length @ 1..) => {
                    if !self.take(at, &buffer[..length]) {
                        return self.lost(at);
                    }
                    // Less than there was room for: the socket is empty, and epoll tells of more.
                    if length < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => return self.lost(at),
            }
        }
    }

    fn lost(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.stream = None;
        member.unread = Vec::new();
        if member.phase == Phase::Open {
            self.tally.closed.fetch_add(1, Ordering::Relaxed);
            if self.manners.returns {
                self.come_back(at);
            }
        } else {
            self.opening -= 1;
            self.refused(at);
        }
    }

    /// Reads what came; false when that was the end.
    fn take(&mut self, at: usize, bytes: &[u8]) -> bool {
        let mut unread = std::mem::take(&mut self.members[at].unread);
        let mut rest = if unread.is_empty() {
            bytes
        } else {
            unread.extend_from_slice(bytes);
            &unread[..]
        };
        if self.members[at].phase == Phase::Upgrading {
            let Some((head, whole)) = wire::message(rest) else {
                self.members[at].unread = rest.to_vec();
                return true;
            };
            if !head.starts_with("HTTP/1.1 101") {
                return false;
            }
            rest = &rest[whole..];
            self.members[at].phase = Phase::Entering;
            // The simple protocol and the floor have no welcome.
            if !self.members[at].seat.v1 {
                self.entered(at);
            }
        }
        while let Some((opcode, payload, whole)) = wire::frame(rest) {
            rest = &rest[whole..];
            if !self.hear(at, opcode, payload) {
                return false;
            }
        }
        if !rest.is_empty() {
            self.members[at].unread = rest.to_vec();
        }
        true
    }

    fn entered(&mut self, at: usize) {
        self.members[at].phase = Phase::Open;
        self.opening -= 1;
        self.tally.welcomed.fetch_add(1, Ordering::Relaxed);
    }

    fn hear(&mut self, at: usize, opcode: u8, payload: &[u8]) -> bool {
        match opcode {
            wire::TEXT if self.members[at].phase == Phase::Entering => self.entered(at),
            wire::TEXT => self.notified(at, payload),
            wire::PING => self.say(at, &wire::client_frame(wire::PONG, payload)),
            wire::CLOSE => return false,
            _ => {}
        }
        true
    }

    fn notified(&mut self, at: usize, payload: &[u8]) {
        let is_control = payload.starts_with(b"{\"type\"");
        if is_control {
            return;
        }
        if self.manners.acks || self.manners.returns || self.manners.times.is_some() {
            let text = std::str::from_utf8(payload).unwrap_or_default();
            if let Some(start) = self.manners.times
                && let Some(then) = wire::quoted(text, "\"content\":\"")
                && let Ok(then) = then.parse()
            {
                let latency = start.elapsed().saturating_sub(Duration::from_nanos(then));
                self.tally.latencies.lock().push(latency);
            }
            if text.contains("\"target_user\":\"") && !self.follow(at, text) {
                self.tally.repeated.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.tally.notifications.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a personal notification's cursor; false when it is not a new one.
    fn follow(&mut self, at: usize, text: &str) -> bool {
        let member = &mut self.members[at];
        let Some(cursor) = wire::quoted(text, "\"cursor\":\"") else {
            return true;
        };
        let position = cursor.split('-').next().and_then(|seq| seq.parse().ok());
        let position = position.unwrap_or(0);
        if position <= member.position {
            return false;
        }
        member.position = position;
        member.cursor.clear();
        member.cursor.push_str(cursor);
        if self.manners.acks && !std::mem::replace(&mut member.unacked, true) {
            self.to_ack.push(at);
        }
        true
    }

    fn ack_some(&mut self) {
        if self.to_ack.is_empty() || self.acked.elapsed() < ACK_AFTER {
            return;
        }
        self.acked = Instant::now();
        for at in std::mem::take(&mut self.to_ack) {
            self.members[at].unacked = false;
            let ack = format!(
                "{{\"type\":\"ack\",\"cursor\":\"{}\"}}",
                self.members[at].cursor
            );
            self.say(at, &wire::client_frame(wire::TEXT, ack.as_bytes()));
        }
    }

    fn say(&mut self, at: usize, frame: &[u8]) {
        if let Some(stream) = &mut self.members[at].stream {
            // A socket that cannot take it is about to end.
            drop(stream.write_all(frame));
        }
    }
}

/// Connects from one of many addresses.
fn open(at: usize, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let host = u8::try_from(at % SOURCES).unwrap_or(0) + 2;
    let source: SocketAddr = (Ipv4Addr::new(127, 0, 0, host), 0).into();
    socket.bind(&source.into())?;
    socket.connect(&address.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}
