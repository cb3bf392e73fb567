//! The floor: the least that a server of one epoll thread can do for the same work.
//!
//! `GET` makes a connection a subscriber. `POST /burst/N` sends a pre-encoded frame N times to each
//! subscriber, one `send(2)` each. Any other `POST` makes one `FCALL` to Redis and then one frame,
//! which carries the request's body, to the next subscriber.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use carillon_common::descriptors::raise_descriptors;
use carillon_common::process::{Addresses, write_addresses};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::wire;

const LISTENER: Token = Token(0);
const REDIS: Token = Token(1);
/// Connection `n` has this token plus `n`.
const FIRST: usize = 2;

const LIBRARY: &str = "#!lua name=bench_floor\nredis.register_function('bench_floor', \
     function(keys, args) redis.call('SET', keys[1], args[1]) return 1 end)";

/// As long as a `carillon.v1` notification of the bench's sends.
pub const FRAME_BYTES: usize = 300;

struct Floor {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Connection>,
    subscribers: Vec<usize>,
    redis: Option<TcpStream>,
    /// Callers whose `FCALL` is under way, with their bodies.
    asked: VecDeque<(usize, Vec<u8>)>,
    next: usize,
    frame: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// Runs until killed; says where it listens in `addresses`. `redis`: for requests that are not
/// bursts.
///
/// # Errors
/// When a socket or Redis fails.
pub fn run(addresses: &Path, redis: Option<SocketAddr>) -> io::Result<()> {
    raise_descriptors();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let public = listener.local_addr()?;
    let redis = redis.map(|address| connect(address, &poll)).transpose()?;
    let mut floor = Floor {
        poll,
        listener,
        connections: Vec::new(),
        subscribers: Vec::new(),
        redis,
        asked: VecDeque::new(),
        next: 0,
        frame: wire::server_text(&[b'x'; FRAME_BYTES]),
    };
    write_addresses(
        addresses,
        &Addresses {
            public,
            admin: public,
        },
    )?;
    floor.serve()
}

fn connect(address: SocketAddr, poll: &Poll) -> io::Result<TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&command(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]))?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer)?;
    if answer[..length].starts_with(b"-") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer[..length])));
    }
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry()
        .register(&mut stream, REDIS, Interest::READABLE)?;
    Ok(stream)
}

/// A command in RESP.
fn command(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}

impl Floor {
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            if let Err(error) = self.poll.poll(&mut events, Some(Duration::from_secs(60)))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    REDIS => self.answer()?,
                    Token(token) => self.read(token - FIRST)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let token = Token(FIRST + self.connections.len());
            self.poll
                .registry()
                .register(&mut stream, token, Interest::READABLE)?;
            self.connections.push(Connection {
                stream,
                unread: Vec::new(),
            });
        }
    }

    fn read(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        let mut buffer = [0; 4_096];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => {
                    self.poll.registry().deregister(&mut connection.stream)?;
                    self.subscribers.retain(|other| *other != at);
                    return Ok(());
                }
                Ok(length) => connection.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Ok(()),
            }
        }
        let unread = std::mem::take(&mut connection.unread);
        let Some((head, whole)) = wire::message(&unread) else {
            connection.unread = unread;
            return Ok(());
        };
        if head.starts_with("GET") {
            let welcome = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            connection.stream.write_all(welcome)?;
            self.subscribers.push(at);
            return Ok(());
        }
        let count = head
            .strip_prefix("POST /burst/")
            .and_then(|rest| rest.split(' ').next());
        if let Some(count) = count.and_then(|count| count.parse().ok()) {
            self.burst(count)?;
            self.done(at)
        } else {
            let body = unread[head.len()..whole].to_vec();
            self.ask(at, body)
        }
    }

    fn burst(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            for at in &self.subscribers {
                // A frame always fits: the load client reads everything before the next burst.
                let sent = self.connections[*at].stream.write(&self.frame)?;
                if sent < self.frame.len() {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, at: usize, body: Vec<u8>) -> io::Result<()> {
        let redis = self.redis.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let text = String::from_utf8_lossy(&body);
        redis.write_all(&command(&["FCALL", "bench_floor", "1", "floor", &text]))?;
        self.asked.push_back((at, body));
        Ok(())
    }

    fn answer(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        loop {
            let redis = self.redis.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let length = match redis.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            // Each answer is ":1\r\n".
            for _ in buffer[..length].iter().filter(|byte| **byte == b'\n') {
                let Some((caller, body)) = self.asked.pop_front() else {
                    continue;
                };
                if !self.subscribers.is_empty() {
                    self.next = (self.next + 1) % self.subscribers.len();
                    let frame = wire::server_text(&body);
                    self.connections[self.subscribers[self.next]]
                        .stream
                        .write_all(&frame)?;
                }
                self.done(caller)?;
            }
        }
    }

    fn done(&mut self, at: usize) -> io::Result<()> {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        self.connections[at].stream.write_all(answer)
    }
}
