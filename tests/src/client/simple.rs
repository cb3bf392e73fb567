//! A client of the simple protocol, as pages have it: a token in the URL, a growing pause between
//! attempts that an open connection resets, no acks, and nothing asked again after a reconnect.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use carillon_common::retry;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::driver::{Dialect, Handle, Next, Reaction};
use super::record::{Journal, Received, Record};
use super::socket::{Handshake, TokenIn};
use super::targets::Targets;
use super::{TokenSource, fixed};

/// Browsers run timers of hidden pages once a minute; a page that is seen pings twice.
const PING_EVERY: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a [`SimpleClient`] behaves.
#[derive(Clone)]
pub struct SimpleOptions {
    /// Gives the token of each connection.
    pub token: TokenSource,
    /// `?device=`, which simple pages do not send.
    pub device: Option<String>,
    /// Scales the pauses of 2, 4, 8 … 30 s.
    pub backoff_factor: f64,
    /// Leaves each connection after a time in this range, and connects elsewhere at once.
    pub hops: Option<Range<Duration>>,
}

impl SimpleOptions {
    /// A page with this token and a browser's pauses.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: fixed(token),
            device: None,
            backoff_factor: 1.0,
            hops: None,
        }
    }
}

/// A running client of the simple protocol; it vanishes when dropped.
#[derive(Debug)]
pub struct SimpleClient {
    journal: Journal,
    handle: Handle,
}

impl SimpleClient {
    /// Starts a client that connects to any of the gateways.
    #[must_use]
    pub fn start(gateways: &Targets, options: SimpleOptions) -> Self {
        let journal = Journal::default();
        let hops = options.hops.clone();
        let page = Page::new(options);
        let handle = Handle::start(page, gateways.clone(), hops, journal.clone());
        Self { journal, handle }
    }

    /// What it has seen.
    #[must_use]
    pub fn seen(&self) -> &Journal {
        &self.journal
    }

    /// Sends a frame, on the next connection if there is none now.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn send(&self, frame: Value) -> Result<()> {
        self.handle.send(frame).await
    }

    /// Joins a channel, once: it is not asked for again after a reconnect.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn subscribe(&self, channel: &str) -> Result<()> {
        self.send(json!({ "type": "subscribe", "channel": channel }))
            .await
    }

    /// Leaves the connection and opens another at once, at another gateway if there is one.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn hop(&self) -> Result<()> {
        self.handle.hop().await
    }

    /// Ends the hopping: from now on only the server or the network ends a connection.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn stay(&self) -> Result<()> {
        self.handle.stay().await
    }

    /// Closes the connection in form and ends the client.
    pub async fn close(self) {
        self.handle.close().await;
    }
}

/// The script of a page.
struct Page {
    options: SimpleOptions,
    /// Ends and attempts in a row since a connection opened.
    failures: usize,
    known: HashSet<String>,
    next_ping: Option<Instant>,
}

impl Page {
    fn new(options: SimpleOptions) -> Self {
        Self {
            options,
            failures: 0,
            known: HashSet::new(),
            next_ping: None,
        }
    }
}

impl Dialect for Page {
    fn handshake(&mut self, gateway: &str) -> Handshake {
        Handshake::to(gateway)
            .token(TokenIn::Query, &(self.options.token)())
            .query_opt("device", self.options.device.as_deref())
    }

    fn on_open(&mut self) -> Vec<Value> {
        self.failures = 0;
        self.next_ping = Some(Instant::now() + PING_EVERY);
        Vec::new()
    }

    fn on_frame(&mut self, frame: Value, record: &mut Record) -> Reaction {
        if let Some(received) = Received::read(&frame) {
            if !self.known.insert(received.id.clone()) {
                record.duplicates += 1;
            }
            record.notifications.push(received);
        } else if frame["type"] != "pong" {
            record.control.push(frame);
        }
        Reaction::default()
    }

    fn on_order(&mut self, _frame: &Value) {}

    fn due(&self) -> Option<Instant> {
        self.next_ping
    }

    fn on_due(&mut self) -> Vec<Value> {
        self.next_ping = Some(Instant::now() + PING_EVERY);
        vec![json!({ "type": "ping" })]
    }

    fn on_end(&mut self, _code: Option<u16>) -> Next {
        let scaled = |pause: Duration| pause.mul_f64(self.options.backoff_factor);
        let mut pauses = retry::pauses(scaled(FIRST_PAUSE), scaled(LONGEST_PAUSE));
        let pause = pauses.nth(self.failures);
        self.failures += 1;
        Next::Retry(pause.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_connection_resets_the_pause() {
        let mut page = Page::new(SimpleOptions::new("t"));
        for (opens, code, pauses) in [
            (false, None, 1.0..=2.0),
            (false, Some(4001), 2.0..=4.0),
            (true, Some(1012), 1.0..=2.0),
        ] {
            if opens {
                page.on_open();
            }
            let Next::Retry(pause) = page.on_end(code) else {
                panic!("gave up")
            };
            assert!(pauses.contains(&pause.as_secs_f64()), "{code:?}: {pause:?}");
        }
    }

    #[test]
    fn keeps_duplicates_and_counts_them() {
        let mut page = Page::new(SimpleOptions::new("t"));
        let mut record = Record::default();
        for frame in [
            json!({ "id": "1", "type": "t" }),
            json!({ "type": "pong", "timestamp": "" }),
            json!({ "type": "subscribed", "channel": "c" }),
            json!({ "id": "1", "type": "t" }),
        ] {
            page.on_frame(frame, &mut record);
        }
        assert_eq!((record.notifications.len(), record.duplicates), (2, 1));
        assert_eq!(record.control.len(), 1);
    }
}
