//! Channels: which are followed, what was published on one, who is on it.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Api, UserConnection};
use crate::Error;

/// A page of the channels that are followed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelPage {
    /// Their names, in order.
    pub channels: Vec<String>,
    /// After which there are more.
    pub next: Option<String>,
}

/// A page of a channel's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The notifications as they were published, each with its `cursor`, `stored_at` and `expires_at`.
    pub notifications: Vec<Value>,
    /// What the next page follows, now or later.
    pub next: String,
    /// Whether there is more already.
    pub more: bool,
    /// Why the page does not continue the position that was asked for, if it does not.
    #[serde(default)]
    pub gap: Option<String>,
}

/// A page of those who are on a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelPresence {
    /// How many connections are on it, all users' together.
    pub connections: u64,
    /// Users, in order.
    pub users: Vec<ChannelUser>,
    /// After whom there are more.
    #[serde(default)]
    pub next: Option<String>,
    /// How many gateways were asked, and how many answered.
    pub gateways: GatewaysAsked,
}

/// A user on a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelUser {
    /// Who.
    pub user: String,
    /// The connections that are on it.
    pub connections: Vec<UserConnection>,
}

/// Whose word it is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GatewaysAsked {
    /// How many were asked.
    pub asked: u64,
    /// How many answered in time.
    pub answered: u64,
}

impl Api {
    /// A page of the channels that are followed, by name: those that begin with `prefix`, after `after`.
    ///
    /// # Errors
    /// When they are not told.
    pub async fn channels(&self, prefix: &str, after: Option<&str>) -> Result<ChannelPage, Error> {
        #[derive(Deserialize)]
        struct Listed {
            channels: Vec<Named>,
            next: Option<String>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let url = self.asked(&["channels"], &[("prefix", prefix), ("after", after)]);
        let listed: Listed = self.call(Method::GET, url).await?;
        Ok(ChannelPage {
            channels: listed.channels.into_iter().map(|it| it.name).collect(),
            next: listed.next,
        })
    }

    /// A page of a channel's log after a position; none: from the oldest that is kept.
    ///
    /// # Errors
    /// When it is not told.
    pub async fn history(
        &self,
        channel: &str,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<History, Error> {
        let limit = limit.map(|limit| limit.to_string());
        let url = self.asked(
            &["channels", channel, "history"],
            &[("after", after), ("limit", limit.as_deref())],
        );
        self.call(Method::GET, url).await
    }

    /// A page of those who are on a channel now, after a user.
    ///
    /// # Errors
    /// When it is not told.
    pub async fn channel_presence(
        &self,
        channel: &str,
        after: Option<&str>,
    ) -> Result<ChannelPresence, Error> {
        let url = self.asked(&["channels", channel, "presence"], &[("after", after)]);
        self.call(Method::GET, url).await
    }
}
