//! A single Redis.

use std::ops::{Deref, DerefMut};

use anyhow::Result;

use super::node::{Node, Role};
use super::{Options, authority};

/// A single Redis server; see [`Node`] for what can be done to it.
#[derive(Debug)]
pub struct Standalone {
    node: Node,
}

impl Standalone {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it does not start; the error carries the tail of its log.
    pub async fn start(options: &Options) -> Result<Self> {
        Ok(Self {
            node: Node::start(Role::Data, &options.lines()).await?,
        })
    }

    /// `redis://host:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", authority([&self.node], None))
    }

    /// `redis://user:password@host:port`
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!(
            "redis://{}",
            authority([&self.node], Some((user, password)))
        )
    }
}

impl Deref for Standalone {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Standalone {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::redis::Persistence;

    async fn set(redis: &Node, value: &str) {
        redis
            .query::<()>(redis::cmd("SET").arg("key").arg(value))
            .await
            .unwrap();
    }

    async fn get(redis: &Node) -> Option<String> {
        redis.query(redis::cmd("GET").arg("key")).await.unwrap()
    }

    #[tokio::test]
    async fn persistence_decides_what_a_kill_leaves() {
        for (persistence, left) in [(Persistence::Off, None), (Persistence::Always, Some("1"))] {
            let options = Options::default().persistence(persistence);
            let mut redis = Standalone::start(&options).await.unwrap();
            let url = redis.url();
            set(&redis, "1").await;
            redis.kill().await.unwrap();
            assert!(redis.query::<String>(&redis::cmd("PING")).await.is_err());
            redis.restart().await.unwrap();
            assert_eq!(redis.url(), url);
            assert_eq!(get(&redis).await.as_deref(), left, "{persistence:?}");
        }
    }

    #[tokio::test]
    async fn an_orderly_stop_keeps_everything() {
        let options = Options::default().persistence(Persistence::EverySecond);
        let mut redis = Standalone::start(&options).await.unwrap();
        set(&redis, "1").await;
        redis.restart().await.unwrap();
        assert_eq!(get(&redis).await.as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_paused_server_answers_when_resumed() {
        let redis = Standalone::start(&Options::default()).await.unwrap();
        redis.pause();
        let mut waiting = std::pin::pin!(get(&redis));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
        assert!(early.is_err(), "a paused server answered: {early:?}");
        redis.resume();
        assert_eq!(waiting.await, None);
    }

    #[tokio::test]
    async fn users_have_the_rights_they_were_given() {
        let options = Options::default().user("reader on >secret ~* -@all +get");
        let redis = Standalone::start(&options).await.unwrap();
        let client = redis::Client::open(redis.url_as("reader", "secret")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let read: Option<String> = redis::cmd("GET")
            .arg("key")
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(read, None);
        let written = redis::cmd("SET")
            .arg("key")
            .arg("1")
            .exec_async(&mut connection)
            .await;
        assert_eq!(written.unwrap_err().code(), Some("NOPERM"));
    }

    #[tokio::test]
    async fn a_bad_configuration_is_reported_with_the_log() {
        let options = Options::default().config("no-such-setting yes");
        let error = Standalone::start(&options).await.unwrap_err().to_string();
        assert!(error.contains("no-such-setting"), "{error}");
    }
}
