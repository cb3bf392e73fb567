//! Where users are, and ending their connections.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::Error;

/// One connection of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserConnection {
    /// The device, if it names itself.
    pub device: Option<String>,
    /// The session.
    pub session: String,
    /// The gateway that holds it.
    pub gateway: String,
    /// When it was opened (RFC 3339); of a channel's members it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Which of a user's connections are to end, and how.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Disconnect<'a> {
    /// Only those of this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    /// Only that of this session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a str>,
    /// The close code: 4001, 4003, 4100, 4200, 4201 or 4203; none: 4203.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// What clients are told in the place of the code's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

impl Api {
    /// The user's connections, the oldest first.
    ///
    /// # Errors
    /// When they are not told.
    pub async fn presence(&self, user: &str) -> Result<Vec<UserConnection>, Error> {
        #[derive(Deserialize)]
        struct Present {
            connections: Vec<UserConnection>,
        }
        let url = self.url(&["users", user, "presence"]);
        let present: Present = self.call(Method::GET, url).await?;
        Ok(present.connections)
    }

    /// Has a user's connections closed, and tells how many there are. Asking again does no harm.
    ///
    /// # Errors
    /// When the call is refused.
    pub async fn disconnect(&self, user: &str, which: &Disconnect<'_>) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Disconnected {
            connections: u64,
        }
        let url = self.url(&["users", user, "disconnect"]);
        let call = || self.http.post(url.clone()).json(which);
        let answer = self.until_done(call).await?;
        let disconnected: Disconnected = self.read(&answer)?;
        Ok(disconnected.connections)
    }
}
