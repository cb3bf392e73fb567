//! What a client has seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

/// A notification as it came.
#[derive(Clone, Debug, Deserialize)]
pub struct Received {
    /// Its identity.
    pub id: String,
    /// The application's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text for people.
    #[serde(default)]
    pub content: String,
    /// The user; none for what came through a channel or a broadcast.
    pub target_user: Option<String>,
    /// The channel, on a personal notification a label.
    pub channel: Option<String>,
    /// Its position; carillon.v1 only.
    pub cursor: Option<String>,
    /// When it was stored, if it was replayed from the inbox.
    pub stored_at: Option<String>,
    /// When the client had it.
    #[serde(skip, default = "Instant::now")]
    pub at: Instant,
}

impl Received {
    /// Reads a frame if it is a notification: these have an `id`, control frames never do.
    #[must_use]
    pub fn read(frame: &Value) -> Option<Self> {
        frame.get("id")?;
        Self::deserialize(frame).ok()
    }
}

/// Everything a client has seen since it was made.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Notifications in the order they came: all of them for the simple client, without those it
    /// had already for carillon.v1.
    pub notifications: Vec<Received>,
    /// Notifications that came again (known by id).
    pub duplicates: usize,
    /// All other frames but pongs.
    pub control: Vec<Value>,
    /// Connections that opened.
    pub opens: usize,
    /// Attempts that did not open.
    pub refused: usize,
    /// Ends of connections that the server or the network brought about, by code; 1006 without a
    /// close frame.
    pub closes: BTreeMap<u16, usize>,
    /// Ends of connections that the client itself brought about: it hopped, or was told to leave.
    pub left: usize,
    /// When connections ended, by whomever.
    pub ends: Vec<Instant>,
    /// Whether the client has given up (carillon.v1, after 40xx).
    pub stopped: bool,
}

impl Record {
    /// The ids of the notifications, in the order they came.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.notifications
            .iter()
            .map(|received| received.id.as_str())
    }

    /// The control frames of one type.
    pub fn control_of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.control
            .iter()
            .filter(move |frame| frame["type"] == kind)
    }

    /// How many connections ended with this code.
    #[must_use]
    pub fn closed_with(&self, code: u16) -> usize {
        self.closes.get(&code).copied().unwrap_or(0)
    }
}

/// A record that can be read and waited upon while its client goes on.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<watch::Sender<Record>>);

impl Journal {
    /// Looks at the record as it is now.
    pub fn read<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.0.borrow())
    }

    /// Waits until the record satisfies `condition`.
    ///
    /// # Errors
    /// When it has not `within` this time; says what was waited for and what was seen.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        condition: impl FnMut(&Record) -> bool,
    ) -> Result<()> {
        let mut record = self.0.subscribe();
        let waited = tokio::time::timeout(within, record.wait_for(condition)).await;
        waited
            .map(drop)
            .with_context(|| format!("not within {within:?}: {what}; {}", self.brief()))
    }

    pub(crate) fn note(&self, write: impl FnOnce(&mut Record)) {
        self.0.send_modify(write);
    }

    fn brief(&self) -> String {
        self.read(|record| {
            format!(
                "seen: {} notifications, {} opens, {} refused, {} left, closes {:?}, last control frame {}",
                record.notifications.len(),
                record.opens,
                record.refused,
                record.left,
                record.closes,
                record.control.last().unwrap_or(&Value::Null),
            )
        })
    }
}
