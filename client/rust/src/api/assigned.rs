//! The channels that services put users on.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Api;
use crate::Error;

/// What became of a user who was to be put on a channel, or taken off it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Assigned {
    /// Who.
    pub user: String,
    /// `ok`: it is so. `failed`: it is not. `unknown`: the store did not say; ask again.
    pub status: String,
    /// Whether it was not so before; only where it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// Why it is not, or why it is not known (RFC 9457).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<serde_json::Value>,
}

impl Api {
    /// Puts users on a channel, at most 1 000 of them: every device of each is given what is published to it from now on.
    /// Asking again does no harm.
    ///
    /// # Errors
    /// When the call is refused; what becomes of each user is told of each.
    pub async fn put_on(&self, channel: &str, users: &[&str]) -> Result<Vec<Assigned>, Error> {
        self.assign(channel, "add", users).await
    }

    /// Takes users off a channel, at most 1 000 of them, whoever put them on it. Asking again does no harm.
    ///
    /// # Errors
    /// As [`put_on`](Self::put_on).
    pub async fn take_off(&self, channel: &str, users: &[&str]) -> Result<Vec<Assigned>, Error> {
        self.assign(channel, "remove", users).await
    }

    /// The channels that services have put a user on, by name.
    ///
    /// # Errors
    /// When they are not told.
    pub async fn assigned(&self, user: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Listed {
            channels: Vec<String>,
        }
        let url = self.url(&["users", user, "channels"]);
        let listed: Listed = self.call(Method::GET, url).await?;
        Ok(listed.channels)
    }

    async fn assign(
        &self,
        channel: &str,
        action: &str,
        users: &[&str],
    ) -> Result<Vec<Assigned>, Error> {
        #[derive(Deserialize)]
        struct Answered {
            results: Vec<Assigned>,
        }
        let url = self.url(&["channels", channel, "users"]);
        let body = json!({ "action": action, "users": users });
        let call = || self.http.post(url.clone()).json(&body);
        let answer = self.until_done(call).await?;
        let answered: Answered = self.read(&answer)?;
        Ok(answered.results)
    }
}
