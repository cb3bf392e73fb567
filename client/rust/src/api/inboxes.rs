//! What a service asks of users' inboxes.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use crate::Error;

/// What of an inbox is asked for.
#[derive(Debug, Clone, Default)]
pub struct InboxQuery<'a> {
    /// What follows this position, as the page before told it.
    pub after: Option<&'a str>,
    /// So many at most; none: as many as the service thinks fit.
    pub limit: Option<u32>,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// Of this type alone.
    pub kind: Option<&'a str>,
}

/// A page of an inbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InboxPage {
    /// Notifications as clients get them, each with its `cursor`, `stored_at` and `expires_at`.
    pub notifications: Vec<Value>,
    /// What to ask after for the next page; none: this was the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// What became of a notification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// Its identity; none once it has left the inbox.
    #[serde(default)]
    pub id: Option<String>,
    /// Its position; none while it waits for its time, and when it never came into the inbox.
    #[serde(default)]
    pub cursor: Option<String>,
    /// When it will be delivered (RFC 3339), while it waits for its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<String>,
    /// Of all devices together: `scheduled`, `queued`, `delivered`, `partly_delivered`, `expired`, `retracted`, `replaced`,
    /// `dropped`, `lost`, `unknown`.
    pub status: String,
    /// When it was accepted (RFC 3339).
    #[serde(default)]
    pub accepted_at: Option<String>,
    /// From when on it is not delivered any more (RFC 3339).
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Each device.
    pub devices: Vec<DeviceReceipt>,
}

/// What became of a notification at a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeviceReceipt {
    /// Its name; none: the connections that gave none.
    #[serde(default)]
    pub device: Option<String>,
    /// As [`Receipt::status`], and `not_addressed`: the device came after it.
    pub status: String,
    /// When (RFC 3339).
    #[serde(default)]
    pub at: Option<String>,
}

/// What came of taking a notification back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Retracted {
    /// Its position.
    pub cursor: String,
    /// `retracted`, or `left`: it had left before.
    pub outcome: String,
    /// Connected devices that are told.
    pub devices: u32,
}

/// A user was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Erased {
    /// Whether there was anything to forget.
    pub erased: bool,
    /// How many connections are being closed.
    pub connections: usize,
}

impl Api {
    /// A page of a user's inbox.
    ///
    /// # Errors
    /// When it is not told.
    pub async fn inbox(&self, user: &str, query: &InboxQuery<'_>) -> Result<InboxPage, Error> {
        let mut url = self.url(&["users", user, "notifications"]);
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(after) = query.after {
                pairs.append_pair("after", after);
            }
            if let Some(limit) = query.limit {
                pairs.append_pair("limit", &limit.to_string());
            }
            if query.newest_first {
                pairs.append_pair("order", "newest");
            }
            if let Some(kind) = query.kind {
                pairs.append_pair("type", kind);
            }
        }
        self.call(Method::GET, url).await
    }

    /// What became of a notification, by its id or its cursor.
    ///
    /// # Errors
    /// [`Error::Refused`] with `receipt_gone` when nothing is known of it.
    pub async fn receipt(&self, user: &str, which: &str) -> Result<Receipt, Error> {
        let url = self.url(&["users", user, "notifications", which]);
        self.call(Method::GET, url).await
    }

    /// Takes a notification back, by its id or its cursor. Asking again does no harm.
    ///
    /// # Errors
    /// [`Error::Refused`] with `receipt_gone` when it is not in the inbox.
    pub async fn retract(&self, user: &str, which: &str) -> Result<Retracted, Error> {
        let url = self.url(&["users", user, "notifications", which]);
        self.call(Method::DELETE, url).await
    }

    /// Has all that is kept of a user forgotten. Asking again does no harm.
    ///
    /// # Errors
    /// When the call is refused.
    pub async fn erase(&self, user: &str) -> Result<Erased, Error> {
        let url = self.url(&["users", user]);
        self.call(Method::DELETE, url).await
    }
}
