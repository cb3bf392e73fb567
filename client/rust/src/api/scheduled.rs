//! What waits for its time.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use crate::Error;

/// A page of what waits for a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SchedulePage {
    /// Notifications as they will be, each with its `deliver_at`, `accepted_at` and `expires_at`; what is due first comes
    /// first.
    pub notifications: Vec<Value>,
    /// What to ask after for the next page; none: this was the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// What came of cancelling a notification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cancelled {
    /// Its identity.
    pub id: String,
    /// `cancelled`, or `left`: it had left before, without having been delivered.
    pub outcome: String,
}

impl Api {
    /// A page of what waits for a user.
    ///
    /// # Errors
    /// When it is not told.
    pub async fn scheduled(
        &self,
        user: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<SchedulePage, Error> {
        let limit = limit.to_string();
        let parameters = [("after", after), ("limit", Some(&*limit))];
        let url = self.asked(&["users", user, "scheduled"], &parameters);
        self.call(Method::GET, url).await
    }

    /// Cancels what waits. Asking again does no harm.
    ///
    /// # Errors
    /// [`Error::Refused`] with `delivered_already` when it was too late, with `scheduled_gone` when nothing is known of it.
    pub async fn cancel(&self, user: &str, id: &str) -> Result<Cancelled, Error> {
        let url = self.url(&["users", user, "scheduled", id]);
        self.call(Method::DELETE, url).await
    }
}
