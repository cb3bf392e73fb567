//! A client of `carillon.v1`: resumes by cursor, acks, removes duplicates, joins its channels again
//! and does as `reconnect` and the close codes say.

use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::device::Device;
use super::driver::Handle;
use super::record::Journal;
use super::socket::TokenIn;
use super::targets::Targets;
use super::{TokenSource, fixed};

/// When a client acks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// After so many notifications, or this long after the first of them.
    Coalesced {
        /// At most so many in one ack.
        count: usize,
        /// At most this late.
        within: Duration,
    },
    /// Never.
    Never,
}

/// How a [`V1Client`] behaves.
#[derive(Clone)]
pub struct V1Options {
    /// Gives the token of each connection, and of each renewal.
    pub token: TokenSource,
    /// Where the token goes.
    pub token_in: TokenIn,
    /// The device's name.
    pub device: String,
    /// When it acks.
    pub acks: Acks,
    /// Where to start; none: where the server knows this device to be.
    pub since: Option<String>,
    /// Scales every pause: the backoff of 1, 2, 4 … 30 s and the spread of `reconnect`.
    pub time_factor: f64,
    /// Leaves each connection after a time in this range, and connects elsewhere at once.
    pub hops: Option<Range<Duration>>,
}

impl V1Options {
    /// A device with this token that acks every 32 notifications or 200 ms.
    #[must_use]
    pub fn new(token: impl Into<String>, device: impl Into<String>) -> Self {
        Self {
            token: fixed(token),
            token_in: TokenIn::Query,
            device: device.into(),
            acks: Acks::Coalesced {
                count: 32,
                within: Duration::from_millis(200),
            },
            since: None,
            time_factor: 1.0,
            hops: None,
        }
    }
}

/// A running client of `carillon.v1`; it vanishes when dropped.
#[derive(Debug)]
pub struct V1Client {
    journal: Journal,
    handle: Handle,
}

impl V1Client {
    /// Starts a client that connects to any of the gateways.
    #[must_use]
    pub fn start(gateways: &Targets, options: V1Options) -> Self {
        let journal = Journal::default();
        let hops = options.hops.clone();
        let device = Device::new(options);
        let handle = Handle::start(device, gateways.clone(), hops, journal.clone());
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

    /// Joins a channel, and again after each reconnect, from where it was.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn subscribe(&self, channel: &str) -> Result<()> {
        self.send(json!({ "type": "subscribe", "channel": channel }))
            .await
    }

    /// Leaves a channel.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn unsubscribe(&self, channel: &str) -> Result<()> {
        self.send(json!({ "type": "unsubscribe", "channel": channel }))
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
